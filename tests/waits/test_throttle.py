"""Throttles: at most so many starts in any period, for each key; nothing is dropped."""

import asyncio

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.runs.contract import RunStatus, StepStatus
from tests.support.facts import check_fold
from tests.support.house import open_house
from tests.support.work import Work
from tests.support.yields import invokes

PERIOD_MS = 60_000
TWO_A_MINUTE = {"limit": 2, "period_ms": PERIOD_MS}


async def some_runs(house: Work, count: int, data: object = None) -> list[str]:
    return [(await house.emit(data=data)).run_ids[0] for _ in range(count)]


async def started(house: Work, run_ids: list[str]) -> list[str]:
    """Those that may start by now."""
    await house.loop("timers")
    return [run_id for run_id in run_ids if (await house.run(run_id)).state != "waiting: throttle"]


async def test_starts_beyond_the_limit_wait_for_the_next_period_and_none_is_dropped(house: Work):
    await house.a_function(throttle=TWO_A_MINUTE)
    run_ids = await some_runs(house, 5)

    assert await started(house, run_ids) == run_ids[:2]
    third = await house.run(run_ids[2])
    assert (third.status, third.next_attempt_at) == (RunStatus.PENDING, to_datetime(house.now + PERIOD_MS))

    house.move(PERIOD_MS - 1)
    assert await started(house, run_ids) == run_ids[:2]
    house.move(1)
    assert await started(house, run_ids) == run_ids[:4]
    house.move(PERIOD_MS)
    assert await started(house, run_ids) == run_ids


async def test_no_window_of_a_period_has_more_starts_than_the_limit(house: Work):
    """A fixed window would let twice as many through around its edge."""
    await house.a_function(throttle=TWO_A_MINUTE)
    first = await some_runs(house, 1)
    house.move(PERIOD_MS - 10)
    more = await some_runs(house, 2)
    assert await started(house, first + more) == [*first, more[0]]

    house.move(20)
    assert await started(house, first + more) == first + more
    last = await some_runs(house, 1)
    assert await started(house, last) == []


async def test_events_of_one_batch_are_throttled_too(house: Work):
    await house.a_function(throttle=TWO_A_MINUTE)

    answer = await house.call(events.emit_batch, events=[{"event": "order.placed"}] * 5)

    run_ids = [each.run_ids[0] for each in answer.results]
    assert await started(house, run_ids) == run_ids[:2]


async def test_each_value_of_the_key_has_starts_of_its_own(house: Work):
    await house.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "data.customer"})
    ada = await some_runs(house, 2, {"customer": "ada"})
    bob = await some_runs(house, 1, {"customer": "bob"})
    nobody = await some_runs(house, 2, {"customer": None})

    assert await started(house, ada + bob + nobody) == [ada[0], bob[0], nobody[0]]


async def test_a_run_whose_event_has_nothing_at_the_key_fails_and_can_be_resumed(house: Work):
    await house.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "data.customer"}, recording=True)
    await house.a_worker()
    first, second = await some_runs(house, 2, {})

    failed = await house.run(first)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "THROTTLE_KEY_MISSING")
    assert failed.error is not None
    assert "nothing at 'data.customer'" in failed.error.message
    assert await house.poll() == []
    # It took no start of anybody's, and is not held up when somebody wants it all the same.
    for run_id in (first, second):
        await house.call(controls.resume, run_id=run_id)
    assert {job.run_id for job in await house.poll(available=10)} == {first, second}
    assert await check_fold(house) == 2


async def test_an_invoked_function_without_the_key_fails_its_parents_step(house: Work):
    await house.a_function("parent")
    await house.a_function("child", on=None, throttle={"limit": 1, "period_ms": PERIOD_MS, "key": "customer"})
    await house.a_worker(function_ids=["parent", "child"])
    await house.emit()
    job = await house.claim()

    await house.report(job, "yielded", yielded=invokes(job, "child", {}))

    (row,) = await house.steps(job.run_id)
    assert row.status is StepStatus.FAILED
    assert (await house.claim()).run_id == job.run_id


async def test_retries_sleeps_and_resumes_are_no_starts(house: Work):
    await house.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS}, retry={"max_attempts": 3})
    await house.a_worker()
    (run_id,) = await some_runs(house, 1)
    await house.report(await house.claim(), "failed")
    house.move(1_000)
    await house.loop("timers")
    await house.report(await house.claim(), "failed", error={"message": "no", "retryable": False})
    await house.call(controls.resume, run_id=run_id)

    assert (await house.claim()).run_id == run_id


async def test_a_throttled_run_that_is_paused_starts_when_it_is_resumed_and_not_before(house: Work):
    await house.a_function(throttle={"limit": 1, "period_ms": PERIOD_MS})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    await house.call(controls.pause, run_id=second)
    house.move(PERIOD_MS)
    assert await started(house, [first, second]) == [first, second]
    assert (await house.run(second)).status is RunStatus.PAUSED

    await house.call(controls.resume, run_id=second)

    assert {job.run_id for job in await house.poll(available=10)} == {first, second}


async def test_starts_are_remembered_over_a_restart_of_the_server(database_url: str):
    async with open_house(Work, database_url) as house:
        await house.a_function(throttle=TWO_A_MINUTE)
        await some_runs(house, 2)

    async with open_house(Work, database_url) as house:
        assert await started(house, await some_runs(house, 1)) == []


@pytest.mark.postgres
async def test_two_nodes_share_the_starts_of_a_function(postgres_url: str):
    async with open_house(Work, postgres_url) as one, open_house(Work, postgres_url) as two:
        await one.a_function(throttle=TWO_A_MINUTE)
        emitted = await asyncio.gather(*(house.emit() for house in (one, two) * 5))

        run_ids = [each.run_ids[0] for each in emitted]
        assert len(await started(one, run_ids)) == 2
