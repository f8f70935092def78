"""`kill -9` of the server between request and record, of the endpoint, and of both: each step is recorded once.

The endpoint writes a line for each step body that it runs: a step may run again once per kill, a recorded one never.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ironflow.base.errors import IronflowError
from ironflow.sync import Client
from tests.push.processes import DEADLINE_S, LOOK_S, Process, free_port

pytestmark = pytest.mark.processes

APP = """
import os, time
from ironflow import function, Retry
from ironflow.serve import serve

def body(run_id, name):
    with open("journal", "a") as journal:
        journal.write(f"{run_id} {name}\\n")
        journal.flush()
        os.fsync(journal.fileno())
    time.sleep(0.15)
    return name

@function("steps", on="begin", retry=Retry(max_attempts=20, initial_delay="0.2s", backoff_factor=1))
async def steps(ctx):
    return [await ctx.step.run(f"s{n}", body, ctx.run.id, f"s{n}") for n in range(4)]

app = serve([steps])
"""
RUNS = 6
KILLS = 2
STEPS = [f"s{number}" for number in range(4)]


class World:
    """A server and an endpoint, which can be killed and started again where they were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "app.py").write_text(APP)
        self._ports = (free_port(), free_port())
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.endpoint_url = f"http://127.0.0.1:{self._ports[1]}/api/ironflow"
        self._environment = {
            **os.environ,
            "IRONFLOW_SERVER_URL": self.url,
            "IRONFLOW_SIGNING_KEY": "whsec",
            # Its breaker would hold the runs for a minute after the kills.
            "IRONFLOW_PUSH_FAILURE_THRESHOLD": "1000",
        }
        self.server, self.endpoint = self._server(), self._endpoint()

    def _server(self) -> Process:
        arguments = ["-m", "ironflow", "serve", "--dev", "--port", str(self._ports[0]), "--db", "ironflow.db"]
        return Process([sys.executable, *arguments], self.folder, self._environment, self._ports[0])

    def _endpoint(self) -> Process:
        arguments = ["-m", "uvicorn", "app:app", "--port", str(self._ports[1]), "--log-level", "warning"]
        return Process([sys.executable, *arguments], self.folder, self._environment, self._ports[1])

    def kill(self, *names: str) -> None:
        for name in names:
            (self.server if name == "server" else self.endpoint).kill()
        if "server" in names:
            self.server = self._server()
        if "endpoint" in names:
            self.endpoint = self._endpoint()

    def register(self) -> None:
        arguments = [sys.executable, "-m", "ironflow", "register", self.endpoint_url]
        done = subprocess.run(
            arguments, env=self._environment, check=False, capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert done.returncode == 0, done.stderr

    def journal(self) -> Counter[tuple[str, ...]]:
        """How often each (run, step) has run."""
        file = self.folder / "journal"
        return Counter(tuple(line.split()) for line in file.read_text().splitlines()) if file.exists() else Counter()

    def stop(self) -> None:
        self.endpoint.stop()
        self.server.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if true():
                return
        except IronflowError:
            # The server was killed and is about to start.
            pass
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)


KILLED = [("server",), ("endpoint",), ("server", "endpoint")]


@pytest.mark.parametrize("killed", KILLED, ids=" and ".join)
def test_a_kill_between_request_and_record_repeats_a_step_at_most_once(world: World, killed: tuple[str, ...]):
    world.register()
    with Client(world.url) as client:
        run_ids = [client.emit("begin", {}).run_ids[0] for _ in range(RUNS)]
        # What was recorded before a kill, and how often it had run by then.
        known: list[tuple[set[tuple[str, str]], Counter[tuple[str, ...]]]] = []
        for number in range(1, KILLS + 1):
            eventually(lambda number=number: world.journal().total() >= number * RUNS)
            recorded = {(run_id, each.name) for run_id in run_ids for each in client.runs.steps(run_id)}
            known.append((recorded, world.journal()))
            world.kill(*killed)
        eventually(lambda: all(client.runs.get(run_id).status == "completed" for run_id in run_ids))

        ran = world.journal()
        assert set(ran) == {(run_id, name) for run_id in run_ids for name in STEPS}
        assert max(ran.values()) <= 1 + KILLS
        for recorded, before in known:
            assert {key: ran[key] for key in recorded} == {key: before[key] for key in recorded}
        for run_id in run_ids:
            assert [each.name for each in client.runs.steps(run_id)] == STEPS
            assert client.runs.get(run_id).output == STEPS
