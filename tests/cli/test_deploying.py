"""The deployment guide: each of its commands, in order, in one shell."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "deploying.md"
# Some thirty commands, each a process.
WITHIN_S = 280
TOOLS = ("bash", "curl", "jq", "openssl")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(WITHIN_S + 20),
    pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"),
]


def test_every_command_of_the_guide_succeeds(tmp_path: Path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    # `!` does not end a shell with -e: a command that should be refused is checked by hand.
    checked = [re.sub(r"^! (.+)$", r"if \1; then exit 9; fi", block, flags=re.MULTILINE) for block in blocks]
    script = "set -e -o pipefail\ntrap 'kill $(jobs -p)' EXIT\n" + "\n".join(checked)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("IRONFLOW_", "COVERAGE"))}
    environment |= {
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "IRONFLOW_CONFIG_DIR": str(tmp_path / "settings"),
    }
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=WITHIN_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, output[-4000:]
    everything = output + (tmp_path / "server.log").read_text()
    assert "sk_live_1234" not in everything
    assert (tmp_path / "master.key").read_text().strip() not in everything
    assert "acme-prod" not in (tmp_path / "globex-admin.key").read_text()
