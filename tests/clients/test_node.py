"""A program in JavaScript, as a client and as a worker."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import HERE, program
from tests.wire.server_process import a_server

# Building takes minutes on a busy machine.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
WITHIN_S = 120


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `ws`; empty where Node.js has a WebSocket of its own."""
    node = program("node")
    folder = tmp_path_factory.mktemp("node-client")
    own = subprocess.run([node, "-p", "typeof WebSocket"], capture_output=True, text=True, timeout=30, check=True)
    if own.stdout.strip() == "undefined":
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is missing: this Node.js has no WebSocket of its own, and `ws` cannot be installed")
        shutil.copy(HERE / "node" / "package.json", folder)
        command = [npm, "install", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, timeout=WITHIN_S, check=True)
    return folder


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
def test_every_scenario_of_the_node_client_succeeds(node_modules: Path, tmp_path: Path, http_server: str):
    with a_server(tmp_path, http_server=http_server) as server:
        done = subprocess.run(
            [program("node"), str(HERE / "node" / "clients.mjs"), server.address],
            env=os.environ | {"NODE_CLIENT_MODULES": str(node_modules)},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert (done.returncode, done.stdout.count(": ok\n")) == (0, 4), done.stdout + done.stderr
        assert "Traceback" not in server.log
