"""Throttles: at most so many starts in any period, for each key; nothing is dropped."""

import asyncio

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.runs.contract import RunStatus, StepStatus
from tests.support.facts import check_fold
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import invokes

PERIOD_MS = 60_000
TWO_A_MINUTE = {"limit": 2, "period_ms": PERIOD_MS}


async def some_runs(server: Work, count: int, data: object = None) -> list[str]:
    return [(await server.emit(data=data)).run_ids[0] for _ in range(count)]


async def started(server: Work, run_ids: list[str]) -> list[str]:
    """Those that may start by now."""
    await server.loop("timers")
    return [run_id for run_id in run_ids if (await server.run(run_id)).state != "waiting: throttle"]


async def test_starts_beyond_the_limit_wait_for_the_next_period_and_none_is_dropped(server: Work):
    await server.a_function(throttle=TWO_A_MINUTE)
    run_ids = await some_runs(server, 5)

    assert await started(server, run_ids) == run_ids[:2]
    third = await server.run(run_ids[2])
    assert (third.status, third.next_attempt_at) == (RunStatus.PENDING, to_datetime(server.now + PERIOD_MS))

    server.move(PERIOD_MS - 1)
    assert await started(server, run_ids) == run_ids[:2]
    server.move(1)
    assert await started(server, run_ids) == run_ids[:4]
    server.move(PERIOD_MS)
    assert await started(server, run_ids) == run_ids


async def test_no_window_of_a_period_has_more_starts_than_the_limit(server: Work):
    """A fixed window would let twice as many through around its edge."""
    await server.a_function(throttle=TWO_A_MINUTE)
    first = await some_runs(server, 1)
    server.move(PERIOD_MS - 10)
    more = await some_runs(server, 2)
    assert await started(server, first + more) == [*first, more[0]]

    server.move(20)
    assert await started(server, first + more) == first + more
    last = await some_runs(server, 1)
    assert await started(server, last) == []


async def test_events_of_one_batch_are_throttled_too(server: Work):
    await server.a_function(throttle=TWO_A_MINUTE)

    answer = await server.call(events.emit_batch, events=[{"event": "order.placed"}] * 5)

    run_ids = [each.run_ids[0] for each in answer.results]
    assert await started(server, run_ids) == run_ids[:2]


async def test_each_value_of_the_key_has_starts_of_its_own(server: Work):
    await server.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "data.customer"})
    ada = await some_runs(server, 2, {"customer": "ada"})
    bob = await some_runs(server, 1, {"customer": "bob"})
    unnamed = await some_runs(server, 2, {"customer": None})

    assert await started(server, ada + bob + unnamed) == [ada[0], bob[0], unnamed[0]]


async def test_a_run_whose_event_has_nothing_at_the_key_fails_and_can_be_resumed(server: Work):
    await server.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "data.customer"}, recording=True)
    await server.a_worker()
    first, second = await some_runs(server, 2, {})

    failed = await server.run(first)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "THROTTLE_KEY_MISSING")
    assert failed.error is not None
    assert "nothing at 'data.customer'" in failed.error.message
    assert await server.poll() == []
    # It took no start, and runs at once when it is resumed.
    for run_id in (first, second):
        await server.call(controls.resume, run_id=run_id)
    assert {job.run_id for job in await server.poll(available=10)} == {first, second}
    assert await check_fold(server) == 2


async def test_an_invoked_function_without_the_key_fails_its_parents_step(server: Work):
    await server.a_function("parent")
    await server.a_function("child", on=None, throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "customer"})
    await server.a_worker(function_ids=["parent", "child"])
    await server.emit()
    job = await server.claim()

    await server.report(job, "yielded", yielded=invokes(job, "child", {}))

    (row,) = await server.steps(job.run_id)
    assert row.status is StepStatus.FAILED
    assert (await server.claim()).run_id == job.run_id


async def test_retries_sleeps_and_resumes_are_no_starts(server: Work):
    await server.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS}, retry={"max_attempts": 3})
    await server.a_worker()
    (run_id,) = await some_runs(server, 1)
    await server.report(await server.claim(), "failed")
    server.move(1_000)
    await server.loop("timers")
    await server.report(await server.claim(), "failed", error={"message": "no", "retryable": False})
    await server.call(controls.resume, run_id=run_id)

    assert (await server.claim()).run_id == run_id


async def test_a_throttled_run_that_is_paused_starts_when_it_is_resumed_and_not_before(server: Work):
    await server.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    await server.call(controls.pause, run_id=second)
    server.move(PERIOD_MS)
    assert await started(server, [first, second]) == [first, second]
    assert (await server.run(second)).status is RunStatus.PAUSED

    await server.call(controls.resume, run_id=second)

    assert {job.run_id for job in await server.poll(available=10)} == {first, second}


async def test_starts_are_remembered_over_a_restart_of_the_server(database_url: str):
    async with open_server(Work, database_url) as server:
        await server.a_function(throttle=TWO_A_MINUTE)
        await some_runs(server, 2)

    async with open_server(Work, database_url) as server:
        assert await started(server, await some_runs(server, 1)) == []


@pytest.mark.postgres
async def test_two_nodes_share_the_starts_of_a_function(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        await one.a_function(throttle=TWO_A_MINUTE)
        emitted = await asyncio.gather(*(server.emit() for server in (one, two) * 5))

        run_ids = [each.run_ids[0] for each in emitted]
        assert len(await started(one, run_ids)) == 2
