"""Nodes of one PostgreSQL take the time from it, and report a machine whose clock is off."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ironflow.base.settings import Settings
from ironflow.base.time import FixedClock, SystemClock, to_datetime
from ironflow.features.server_state import contract as server_state
from ironflow.server.building import build
from ironflow.server.clock import DatabaseClock, Reading
from tests.support.work import Work


class OffClock:
    """The clock of a machine that is ahead of the real time."""

    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms

    def now(self) -> int:
        return SystemClock().now() + self.ahead_ms


@asynccontextmanager
async def a_node(database_url: str, machine: OffClock) -> AsyncIterator[Work]:
    inside = await build(Settings(db=database_url, dev=True), machine=machine)
    try:
        # Tests that move no time: the clock of the server is its own.
        yield Work(inside, inside.parts.clock)  # pyright: ignore[reportArgumentType]
    finally:
        await inside.stop()


@pytest.mark.postgres
async def test_a_node_with_a_fast_clock_neither_takes_leases_nor_wakes_sleeping_runs(postgres_url: str):
    """The lease is 90 s, the sleep a minute; the other node's machine is 1000 s ahead."""
    async with a_node(postgres_url, OffClock(0)) as right, a_node(postgres_url, OffClock(1_000_000)) as fast:
        await right.a_run(status="running")
        await right.a_function("sleeper", on="sleep.wanted")
        await right.a_worker("w2", ["sleeper"])
        await right.emit("sleep.wanted")
        job = await right.claim("w2")
        until = to_datetime(right.now + 60_000)
        await right.report(job, "yielded", yielded={"type": "sleep", "step_id": "nap", "until": until.isoformat()})

        for name in ("leases", "timers", "workers"):
            await fast.loop(name)

        assert sorted(run.status for run in await fast.runs()) == ["running", "waiting"]
        assert abs(fast.now - right.now) < 500


@pytest.mark.postgres
@pytest.mark.parametrize(("ahead_ms", "warned"), [(0, None), (30_000, "30.0 s ahead of"), (-2_500, "2.5 s behind")])
async def test_a_machine_whose_clock_is_off_by_more_than_a_second_is_reported(
    postgres_url: str, caplog: pytest.LogCaptureFixture, ahead_ms: int, warned: str | None
):
    async with a_node(postgres_url, machine := OffClock(ahead_ms)) as server:
        await server.loop("clock")
        await server.loop("clock")

        answer = await server.call(server_state.ready)
        logged = [record for record in caplog.records if record.getMessage() == "clock off"]
        if warned is None:
            assert (answer.warnings, logged) == ({}, [])
        else:
            assert answer.status == "ready"
            assert warned in answer.warnings["warning_1"]
            assert [record.levelno for record in logged] == [logging.WARNING]

        machine.ahead_ms = 0
        await server.loop("clock")
        assert (await server.call(server_state.ready)).warnings == {}


async def test_the_machines_clock_counts_where_it_is_the_only_node(tmp_path: object):
    async with a_node(f"{tmp_path}/ironflow.db", OffClock(50_000)) as server:
        assert abs(server.now - SystemClock().now() - 50_000) < 500
        assert (await server.call(server_state.ready)).warnings == {}


def test_a_machine_whose_clock_is_set_changes_no_time_between_two_readings():
    machine = FixedClock()
    clock = DatabaseClock(machine)
    before = clock.now()
    machine.move(3_600_000)

    assert 0 <= clock.now() - before < 60_000


def test_a_reading_within_its_error_does_not_set_the_clock_back():
    now_ns = 0
    clock = DatabaseClock(FixedClock(10_000), lambda: now_ns)
    clock.set(Reading(at_ns=now_ns, shown=9_970, error_ms=50.0))
    assert clock.now() == 10_000

    clock.set(Reading(at_ns=now_ns, shown=9_900, error_ms=50.0))
    assert clock.now() == 9_900
    now_ns += 2_000_000_000
    assert clock.now() == 11_900
