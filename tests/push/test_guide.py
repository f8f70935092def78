"""The guide's commands, run in its order: a real server, a real application, and the command line."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.push.processes import Process, free_port

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "push.md").read_text()


@pytest.fixture
def background() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in reversed(started):
        process.stop()


@pytest.mark.processes
def test_the_commands_of_the_guide_have_its_results(tmp_path: Path, background: list[Process]):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "app.py").write_text(code)
    server, app = free_port(), free_port()
    environment = {**os.environ, "IRONFLOW_SERVER_URL": f"http://127.0.0.1:{server}", "IRONFLOW_SIGNING_KEY": ""}
    commands = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
    outputs: list[str] = []
    for command in commands:
        arguments = shlex.split(command.replace("8000", str(app)).removesuffix("&").replace("localhost", "127.0.0.1"))
        arguments = [sys.executable, "-m", *arguments]
        if command.endswith("&"):
            if arguments[2] == "ironflow":
                arguments += ["--port", str(server)]
            port = server if arguments[2] == "ironflow" else app
            background.append(Process(arguments, tmp_path, environment, port))
            continue
        done = subprocess.run(
            arguments, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs.append(done.stdout)

    registered, emitted, functions, breakers = outputs
    assert "welcome" in registered
    assert "Hello Ada, welcome!" in emitted
    assert "push" in functions
    assert "closed" in breakers
