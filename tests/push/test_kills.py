"""`kill -9` of the server between request and record, of the endpoint, and of both: each step is recorded once.

The endpoint writes a line for each step body that it runs: a step may run again once per kill, a recorded one never.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

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

@function("steps", on="begin", retry=Retry(max_attempts=200, initial_delay="0.2s", backoff_factor=1))
async def steps(ctx):
    return [await ctx.step.run(f"s{n}", body, ctx.run.id, f"s{n}") for n in range(4)]

app = serve([steps])
"""
# Changes its state before, between and after steps; `pending` shows that nothing is half done at the end.
ENTITY_APP = """
import time
from ironflow import Retry, entity
from ironflow.serve import serve

account = entity("account", key="id", initial={"balance": 0, "seen": []})

@account.handler(retry=Retry(max_attempts=200, initial_delay="0.2s", backoff_factor=1))
async def add(ctx, data):
    before = ctx.state["balance"]
    ctx.state["pending"] = data["n"]
    ctx.state["balance"] += data["amount"]
    await ctx.step.run("work", time.sleep, 0.1)
    if data["n"] % 3 == 0:
        await ctx.step.sleep("nap", "30ms")
    ctx.state["seen"].append(data["n"])
    await ctx.step.run("more", time.sleep, 0.05)
    del ctx.state["pending"]
    return [before, ctx.state["balance"]]

app = serve(account.functions)
"""
RUNS = 6
KILLS = 2
STEPS = [f"s{number}" for number in range(4)]


class World:
    """A server and an endpoint, which can be killed and started again where they were."""

    def __init__(self, folder: Path, database_url: str, app: str) -> None:
        self.folder, self.database_url = folder, database_url
        (folder / "app.py").write_text(app)
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
        arguments = ["-m", "ironflow", "serve", "--dev", "--port", str(self._ports[0]), "--db", self.database_url]
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
    world = World(tmp_path, "ironflow.db", APP)
    yield world
    world.stop()


@pytest.fixture
def bank(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = World(tmp_path, database_url, ENTITY_APP)
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


KEYS = ("a", "b")
CALLS = 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", KILLED, ids=" and ".join)
def test_a_kill_leaves_each_change_of_an_entity_once_and_the_fold_of_its_stream(bank: World, killed: tuple[str, ...]):
    bank.register()
    chance = Random(17)
    with Client(bank.url) as client:
        sent: dict[str, list[str]] = {key: [] for key in KEYS}
        for n in range(CALLS):
            for key in KEYS:
                run = client.entities.send(
                    "account", key, "add", {"n": n, "amount": n + 1}, idempotency_key=f"{key}{n}"
                )
                sent[key].append(run.run_id)
        for kill in range(KILLS):
            # Somewhere between a request, the reports of its steps, and its answer.
            eventually(lambda kill=kill: ended(client, sent) >= 2 * kill)
            time.sleep(chance.uniform(0, 0.3))
            bank.kill(*killed)
        eventually(lambda: ended(client, sent) == len(KEYS) * CALLS)

        for key in KEYS:
            runs = [client.runs.get(run_id) for run_id in sent[key]]
            state = client.entities.get("account", key)
            events = list(client.entities.history("account", key))

            assert [(run.status, run.error) for run in runs] == [("completed", None)] * CALLS
            balances = [sum(range(1, n + 1)) for n in range(CALLS + 1)]
            assert [run.output for run in runs] == [list(pair) for pair in pairwise(balances)]
            assert state.state == {"balance": balances[-1], "seen": list(range(CALLS))}
            assert (state.state, state.version) == (events[-1].data, events[-1].entity_version)
            # Each change is one event: before the first step, before the second, and at the end.
            assert [event.run_id for event in events] == [run_id for run_id in sent[key] for _ in range(3)]


def ended(client: Client, sent: dict[str, list[str]]) -> int:
    return sum(client.runs.get(run_id).ended_at is not None for run_ids in sent.values() for run_id in run_ids)
