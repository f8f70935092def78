"""Signals to long commands: no traceback, and exit codes that scripts and supervisors know."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from ironflow.sync import Client
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

LONG = {
    "subscribe": ["subscribe", "visitor.*"],
    "tail": ["event", "tail"],
    "kv watch": ["kv", "watch", "signals"],
    "run watch": ["run", "watch", "RUN"],
    "run result": ["run", "result", "RUN", "--wait"],
    "invoke": ["invoke", "rest", "--wait"],
    "group join": ["group", "join", "signals"],
}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def sleeping_run(worker):
    with Client(worker) as client:
        client.kv.create_bucket("signals")
        client.consumer_groups.create("signals", "visitor.*")
        yield client.invoke("rest").run_id


def has_a_connection(pid):
    """Whether the process has a socket: it is past its start, and waits for the server."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        # One that is closed meanwhile is no connection.
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                return True
    return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("arguments", LONG.values(), ids=LONG.keys())
def test_a_signal_ends_a_long_command_without_a_traceback(server, sleeping_run, tmp_path, arguments, number):
    command = [sleeping_run if each == "RUN" else each for each in arguments]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ironflow", "--url", server, *command], stdout=output, stderr=output
        )
        try:
            eventually(lambda: process.poll() is not None or has_a_connection(process.pid))
            process.send_signal(number)
            code = process.wait(timeout=20)
        finally:
            process.kill()
            process.wait()

    assert (code, "Traceback" in log.read_text()) == (CODES[number], False), log.read_text()
