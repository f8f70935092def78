"""The adapter and the protocol's own test client, `@vscode/debugadapter-testsupport`: a session for each request."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from ironflow.debugging.dap.session import Session
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.sync import Client
from tests.cli.run.test_inspect import ask
from tests.clients.conftest import program
from tests.support.dev_server import a_dev_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

HERE = Path(__file__).parent / "protocol_client"
NPM = Path(__file__).parents[2] / "dashboard" / "npm.py"
IRONFLOW = [sys.executable, "-m", "ironflow"]
FILE = "/srv/shop/orders.py"
INSTALL_S, SESSIONS_S, END_S = 120, 200, 20


class Held(NamedTuple):
    """A run whose first execution this test holds. job: what its reports name."""

    run_id: str
    job: dict[str, Any]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client."""
    program("node")
    folder = tmp_path_factory.mktemp("debug-client")
    (folder / "package.json").write_bytes((HERE / "package.json").read_bytes())
    command = [sys.executable, str(NPM), "--prefix", str(folder), "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, timeout=INSTALL_S, check=True)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_dev_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@contextmanager
def an_adapter(url: str) -> Iterator[int]:
    """The port of an adapter, which ends with the block whatever its sessions do."""
    command = [*IRONFLOW, "debug-adapter", "--port", "0", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().decode().rpartition(":")[2])
            process.terminate()
            process.wait(END_S)
        finally:
            process.kill()


def begun(client: Client, name: str) -> Held:
    """A recorded run at a worker."""
    ask(client, functions.register, id=name, retry={"maxAttempts": 1}, recording=True)
    ask(client, jobs.register, worker=name, function_ids=[name])
    run_id = ask(client, events.invoke, function_id=name, data={"total": 100}).run_id
    (job,) = ask(client, jobs.poll, worker=name, available=1, wait=5, acked=True).jobs
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    return Held(run_id, {"worker": name, "job": job.job_id, **fence})


def an_order(client: Client, name: str, *, fails: bool = False) -> str:
    """A run that reserves at line 10, charges in two branches, and confirms at line 20, or cannot; its id."""
    run_id, job = begun(client, name)

    def step(name: str, place: str = "", **more: Any) -> dict[str, Any]:
        step_id = f"{run_id}:{place}{name}:0"
        return {"id": step_id, "name": name, "type": "invoke", "status": "completed", "duration_ms": 12, **more}

    def report(status: str, *steps: dict[str, Any], **more: Any) -> None:
        ask(client, jobs.update, status=status, steps=list(steps), **more, **job)

    report("progress", step("reserve", output={"table": 12}, source=f"{FILE}:10"))
    for branch, amount in enumerate((70, 30)):
        report("progress", step("charge", f"pay:{branch}:", output={"amount": amount}))
    confirm = {"source": f"{FILE}:20"}
    if fails:
        error = {"message": "card declined", "code": "DECLINED", "retryable": False}
        report("failed", step("confirm", **confirm | {"status": "failed", "error": error}), error=error)
    else:
        report("completed", step("confirm", **confirm, output="sent"), output={"ok": True})
    return run_id


def test_the_protocols_own_client_has_a_session_for_each_request(modules: Path, server: str, tmp_path: Path):
    with Client(server) as client:
        runs = {"done": an_order(client, "done")}
        runs |= {name: an_order(client, name, fails=True) for name in ("failed", "patched", "restarted")}
        runs["live"] = begun(client, "live").run_id
    script = tmp_path / "adapter.py"
    # The client starts a file, without arguments.
    start = f"run_command(['debug-adapter', '--url', {server!r}])"
    script.write_text(f"from ironflow.cli.app import run_command\nraise SystemExit({start})\n")
    with an_adapter(server) as port:
        given = {"port": port, "runtime": sys.executable, "script": str(script), "runs": runs, "file": FILE}
        done = subprocess.run(
            [program("node"), str(HERE / "sessions.mjs"), msgspec.json.encode(given).decode()],
            env=os.environ | {"DEBUG_CLIENT_MODULES": str(modules)},
            capture_output=True,
            text=True,
            timeout=SESSIONS_S,
            check=False,
        )

    handled = {name.removeprefix("_on_") for name in dir(Session) if name.startswith("_on_")}
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.removesuffix(": ok") for line in done.stdout.splitlines()} == {*handled, "stdio"}
