"""Emits and invocations that wait for their runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ironflow.features.events import contract as events
from ironflow.features.events.contract import CannotWait
from ironflow.features.events.service import wait_ms
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs.contract import RunNotFound, RunStatus
from tests.support.house import open_house
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000
NOBODY_ASKS = "nobody waits for the answer any more"


@pytest.mark.parametrize(
    ("asked_ms", "held_ms"), [(0, 29_750), (100, 90), (10_000, 9_750), (10**9, 599_750), (1, 1), (600_000, 599_750)]
)
def test_the_answer_comes_a_little_before_the_callers_own_deadline(asked_ms: int, held_ms: int):
    assert wait_ms(asked_ms) == held_ms


async def while_working(house: Work, emit: Coroutine[Any, Any, Any], *work: Coroutine[Any, Any, Any]) -> Any:
    """The answer of an emit that waits, while a worker claims and reports."""
    emitting = asyncio.ensure_future(emit)
    for each in work:
        await each
    return await emitting


async def claimed(house: Work) -> Assignment:
    """The job that will be there in a moment."""
    (job,) = await house.poll(wait=10)
    return job


async def complete(house: Work, output: Any) -> None:
    await house.report(await claimed(house), "completed", output=output)


async def fail(house: Work) -> None:
    error = {"message": "no such card", "code": "NO_CARD", "retryable": False}
    await house.report(await claimed(house), "failed", error=error)


async def test_a_completed_run_is_answered_with_its_output(house: Work):
    await house.a_function()
    await house.a_worker()

    answer = await while_working(
        house, house.call(events.emit_sync, event="order.placed"), complete(house, {"paid": 2**70})
    )

    (result,) = answer.results
    assert (result.status, result.wait_timed_out, result.function_id) == (RunStatus.COMPLETED, False, "charge")
    assert bytes(result.output) == b'{"paid":1180591620717411303424}'
    assert result.error is None
    assert (await house.call(events.get, id=answer.event_id)).name == "order.placed"


async def test_a_failed_run_is_answered_with_its_error(house: Work):
    await house.a_function()
    await house.a_worker()

    answer = await while_working(house, house.call(events.emit_sync, event="order.placed"), fail(house))

    (result,) = answer.results
    assert result.status is RunStatus.FAILED
    assert (result.error.message, result.error.code) == ("no such card", "NO_CARD")


async def test_all_started_runs_are_waited_for(house: Work):
    await house.a_function("charge")
    await house.a_function("ship")
    await house.a_worker(function_ids=["charge", "ship"])

    answer = await while_working(
        house, house.call(events.emit_sync, event="order.placed"), complete(house, 1), complete(house, 2)
    )

    assert [(each.function_id, each.status) for each in answer.results] == [
        ("charge", RunStatus.COMPLETED),
        ("ship", RunStatus.COMPLETED),
    ]


async def test_when_the_time_is_over_the_last_known_status_is_answered_and_the_run_goes_on(house: Work):
    await house.a_function()
    await house.a_worker()

    answer = await house.call(events.emit_sync, event="order.placed", timeout_ms=20)
    assert [(each.status, each.wait_timed_out) for each in answer.results] == [(RunStatus.PENDING, True)]

    await complete(house, 1)
    assert (await house.run(answer.results[0].run_id)).status is RunStatus.COMPLETED


async def test_a_sleeping_run_keeps_its_caller_waiting(house: Work):
    await house.a_function()
    await house.a_worker()

    async def sleep() -> None:
        await house.sleep(await claimed(house), until=house.now + 60_000)

    answer = await while_working(house, house.call(events.emit_sync, event="order.placed", timeout_ms=100), sleep())

    assert [(each.status.sent, each.wait_timed_out) for each in answer.results] == [("paused", True)]


async def test_an_event_that_matches_nothing_is_answered_at_once_without_results(house: Work):
    answer = await house.call(events.emit_sync, event="order.placed")
    assert answer.results == []
    assert (await house.call(events.get, id=answer.event_id)).name == "order.placed"


async def test_the_same_idempotency_key_waits_for_the_first_emits_runs(house: Work):
    await house.a_function()
    await house.a_worker()
    first = await house.emit(idempotency_key="k")

    again = await while_working(
        house, house.call(events.emit_sync, event="order.placed", idempotency_key="k"), complete(house, 1)
    )

    assert [each.run_id for each in again.results] == first.run_ids
    assert again.event_id == first.event_id


async def test_nobody_can_wait_for_a_debounced_function(house: Work):
    await house.a_function(debounce={"period_ms": 1_000})
    with pytest.raises(CannotWait):
        await house.call(events.emit_sync, event="order.placed")


async def test_an_invocation_waits_for_its_run(house: Work):
    await house.a_function(on=None)
    await house.a_worker()

    answer = await while_working(
        house, house.call(events.invoke_sync, function_id="charge", data=1), complete(house, "paid")
    )

    assert (answer.result.status, bytes(answer.result.output)) == (RunStatus.COMPLETED, b'"paid"')


async def test_a_caller_that_goes_away_cancels_the_run_it_invoked(house: Work):
    await house.a_function(on=None)
    await house.a_worker()
    calling = asyncio.ensure_future(house.call(events.invoke_sync, function_id="charge"))
    job = await claimed(house)

    calling.cancel(NOBODY_ASKS)
    with pytest.raises(asyncio.CancelledError):
        await calling

    run = await house.run(job.run_id)
    assert run.status is RunStatus.CANCELLED
    assert "went away" in (run.cancellation_cause or "")


async def test_a_run_that_was_removed_since_cannot_be_waited_for(database_url: str):
    async with open_house(Work, database_url, run_retention_days=1) as house:
        await house.a_function()
        await house.a_worker()
        first = await house.emit(idempotency_key="k")
        await complete(house, 1)
        house.move(3 * DAY_MS)
        await house.loop("runs-purge")

        with pytest.raises(RunNotFound):
            await house.call(events.emit_sync, event="order.placed", idempotency_key="k")
        assert await house.emit(idempotency_key="k") == first
