"""`ironflow inspect` in a real terminal: tmux, 80 columns and 24 lines, against a real server, with a real editor."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironflow.sync import Client
from tests.cli.run.test_inspect import work
from tests.support.dev_server import a_dev_server
from tests.support.waiting import eventually

TMUX = shutil.which("tmux")

pytestmark = [pytest.mark.processes, pytest.mark.skipif(TMUX is None, reason="tmux is not installed")]


class Tmux:
    """A tmux server of its own with one window."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def run(self, *arguments: str) -> str:
        assert TMUX is not None
        command = [TMUX, "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def keys(self, *keys: str) -> None:
        self.run("send-keys", "-t", "0", *keys)

    @property
    def text(self) -> str:
        return self.run("capture-pane", "-p", "-t", "0")

    def shows(self, *texts: str) -> None:
        try:
            eventually(lambda: all(text in self.text for text in texts))
        except AssertionError:
            raise AssertionError(f"the terminal does not show {texts}:\n{self.text}") from None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with a_dev_server(tmp_path) as url:
        yield url


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    found = Tmux(tmp_path / "tmux")
    try:
        yield found
    finally:
        found.run("kill-server")


def test_a_run_is_stepped_through_and_patched_in_a_terminal(tmp_path: Path, server: str, tmux: Tmux):
    with Client(server) as client:
        run_id = work(client, "terminal", patch=False, recording=True)
        failed = work_until_failure(client)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho \'{"table": 13}\' > "$1"\n')
    editor.chmod(0o755)
    # What some shells export is not the size of the terminal.
    environment = f"COLUMNS=80 LINES=24 NO_COLOR=1 EDITOR={shlex.quote(str(editor))} IRONFLOW_SERVER_URL={server}"
    inspect = f"{shlex.quote(sys.executable)} -m ironflow inspect"
    tmux.run("new-session", "-d", "-x", "80", "-y", "24", f"env {environment} sh")
    tmux.keys(f"{inspect} {run_id}; echo 'en''ded'", "Enter")
    tmux.shows(run_id, "terminal completed", "reserve", "? help")
    tmux.keys("Home")
    tmux.shows("Created for terminal", " 1/")
    tmux.keys("f")
    tmux.shows("[error] charge", "card declined")
    tmux.run("resize-window", "-t", "0", "-x", "50", "-y", "12")
    # One of the two parts alone.
    eventually(lambda: "charge" in tmux.text and "│" not in tmux.text)
    tmux.run("resize-window", "-t", "0", "-x", "80", "-y", "24")
    tmux.keys("q")
    tmux.shows("2 of 2 runs")
    tmux.keys("q")
    tmux.shows("ended")

    tmux.keys(f"{inspect} {failed}", "Enter")
    tmux.shows("refused failed")
    tmux.keys("Up")
    tmux.shows("[output] reserve", '"table": 12')
    tmux.keys("i")
    tmux.shows("Why does reserve get another output?")
    tmux.keys("-l", "a better table")
    tmux.keys("Enter")
    tmux.shows("Replace the output of reserve?", '{"table":13}')
    tmux.keys("y")
    tmux.shows("before it was replaced", '"table": 13')
    tmux.keys("q", "q")
    with Client(server) as client:
        (reserve, _) = client.runs.steps(failed)
        assert (reserve.output, reserve.original_output) == ({"table": 13}, {"table": 12})


def work_until_failure(client: Client) -> str:
    """A run that reserves a table and fails to charge; its id."""
    from ironflow.features.events import contract as events
    from ironflow.features.functions import contract as functions
    from ironflow.features.jobs import contract as jobs
    from tests.cli.run.test_inspect import ask

    ask(client, functions.register, id="refused", retry={"maxAttempts": 1}, recording=True)
    ask(client, jobs.register, worker="refused", function_ids=["refused"])
    run_id = ask(client, events.invoke, function_id="refused", data={"total": 5}).run_id
    (job,) = ask(client, jobs.poll, worker="refused", available=1, wait=5, acked=True).jobs
    held = {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}
    named = {"type": "invoke", "duration_ms": 12}
    reserve = {"id": f"{run_id}:reserve:0", "name": "reserve", "status": "completed", "output": {"table": 12}, **named}
    error = {"message": "card declined", "retryable": False}
    charge = {"id": f"{run_id}:charge:0", "name": "charge", "status": "failed", "error": error, **named}
    ask(client, jobs.update, worker="refused", status="failed", steps=[reserve, charge], error=error, **held)
    return run_id
