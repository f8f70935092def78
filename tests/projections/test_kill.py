"""Runners in processes of their own are killed again and again; the states are the fold of the log in the end."""

import random
from pathlib import Path

import pytest

from ironflow import sync
from ironflow.features.projections.contract import ProjectionNotFound
from tests.crash.processes import Process
from tests.projections.short_leases import LEASE_MS
from tests.support.waiting import eventually
from tests.wire.server_process import a_server

pytestmark = pytest.mark.processes

PARTITIONS = ["a", "b", "c"]
ROUNDS, EVENTS = 6, 60


def a_runner(folder: Path, number: int, url: str) -> Process:
    return Process(f"runner-{number}", ["tests.projections.listing_program", url], folder, {})


def test_runners_killed_at_any_moment_lose_and_repeat_nothing(tmp_path: Path):
    chance = random.Random(20261121)
    expected: dict[str, list[int]] = {each: [] for each in PARTITIONS}
    numbers = iter(range(10_000))
    with a_server(tmp_path, program="tests.projections.short_leases") as server, sync.Client(server.address) as client:
        # Two at a time: one works, the other stands by.
        runners = [a_runner(tmp_path, each, server.address) for each in range(2)]
        try:
            # One of them works before the first is killed.
            eventually(lambda: caught_up(client))
            for number in range(2, 2 + ROUNDS):
                for _ in range(EVENTS):
                    n, partition = next(numbers), chance.choice(PARTITIONS)
                    client.emit("order.placed", {"n": n, "c": partition})
                    expected[partition].append(n)
                    if chance.random() < 0.02:
                        victim = runners.pop(chance.randrange(len(runners)))
                        victim.kill()
                        runners.append(a_runner(tmp_path, 100 * number + n, server.address))
                runners.pop(0).kill()
                runners.append(a_runner(tmp_path, number, server.address))
            # The lease of one that was killed has to end first.
            eventually(lambda: caught_up(client), within_s=LEASE_MS / 1000 + 30)
            states = {each: client.projections.get("listing", partition=each).state["seen"] for each in PARTITIONS}
        finally:
            for each in runners:
                each.kill()

    assert states == expected


def caught_up(client: sync.Client) -> bool:
    try:
        return client.projections.wait("listing", timeout="1s").caught_up
    except ProjectionNotFound:
        return False
