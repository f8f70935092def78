"""Events that cancel runs: by the values that a run's own event had when it was created."""

from typing import Any

from pytest import raises

from ironflow.engine.errors import StaleExecution
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.runs.contract import Run, RunStatus
from tests.support.work import Work, step
from tests.support.yields import sleeps, waits_for

ON_CANCELLED = {"event": "order.cancelled", "match": "data.orderId"}
HOUR_MS = 3_600_000


async def a_sleeping_run(house: Work, data: object = None, *specs: dict[str, str], **more: Any) -> Run:
    await house.a_function(cancel_on=list(specs) or [ON_CANCELLED], **more)
    await house.a_worker()
    (run_id,) = (await house.emit(data={"orderId": 7} if data is None else data)).run_ids
    await house.report(job := await house.claim(), "yielded", yielded=sleeps(job, house.now + HOUR_MS))
    return await house.run(run_id)


async def left_behind(house: Work) -> list[int]:
    """Rows of waits, timers and jobs."""
    tables = ("waits", "timers", "jobs")
    return [(await house.db.read(lambda tx, t=t: tx.rows(f"SELECT count(*) FROM {t}")))[0][0] for t in tables]


async def test_an_event_with_the_same_value_cancels_the_run(house: Work):
    run = await a_sleeping_run(house)

    await house.emit("order.cancelled", data={"orderId": 8})
    await house.emit("order.cancelled", data={})
    await house.emit("order.refused", data={"orderId": 7})
    await house.emit("order.cancelled", data={"orderId": 7}, env="staging")
    assert (await house.run(run.id)).status is RunStatus.WAITING

    await house.emit("order.cancelled", data={"orderId": "7"})

    cancelled = await house.run(run.id)
    assert (cancelled.status, cancelled.cancellation_cause) == (RunStatus.CANCELLED, "cancel-on-event")
    assert await left_behind(house) == [0, 0, 0]


async def test_a_missing_value_on_either_side_cancels_nothing(house: Work):
    run = await a_sleeping_run(house, {"other": 1})

    await house.emit("order.cancelled", data={})
    await house.emit("order.cancelled", data={"orderId": ""})
    await house.emit("order.cancelled", data={"orderId": None})

    assert (await house.run(run.id)).status is RunStatus.WAITING


async def test_any_one_of_several_specs_cancels(house: Work):
    specs = [ON_CANCELLED, {"event": "customer.*", "match": "customer.id"}]
    first = await a_sleeping_run(house, {"orderId": 1, "customer": {"id": "ada"}}, *specs)
    second = await a_sleeping_run(house, {"orderId": 2, "customer": {"id": "ada"}}, *specs)

    await house.emit("order.cancelled", data={"orderId": 1})
    assert [(await house.run(each.id)).status.value for each in (first, second)] == ["cancelled", "waiting"]

    await house.emit("customer.left", data={"customer": {"id": "ada"}})
    assert (await house.run(second.id)).status is RunStatus.CANCELLED


async def test_the_values_are_those_of_the_creation_whatever_the_function_says_later(house: Work):
    run = await a_sleeping_run(house)
    await house.a_function(cancel_on=[{"event": "order.cancelled", "match": "customerId"}])

    await house.emit("order.cancelled", data={"orderId": 7})

    assert (await house.run(run.id)).status is RunStatus.CANCELLED


async def test_a_run_is_not_cancelled_by_the_event_that_started_it_but_by_the_next_one(house: Work):
    """The latest wins: each event cancels the runs of those before it."""
    await house.a_function(cancel_on=[{"event": "order.placed", "match": "orderId"}])

    first = (await house.emit(data={"orderId": 7})).run_ids[0]
    assert (await house.run(first)).status is RunStatus.PENDING

    batch = await house.call(events.emit_batch, events=[{"event": "order.placed", "data": {"orderId": 7}}] * 3)
    started = [first, *(each.run_ids[0] for each in batch.results)]

    shown = [(await house.run(each)).status.value for each in started]
    assert shown == ["cancelled", "cancelled", "cancelled", "pending"]


async def test_a_busy_worker_is_refused_after_the_cancel(house: Work):
    await house.a_function(cancel_on=[ON_CANCELLED])
    await house.a_worker()
    (run_id,) = (await house.emit(data={"orderId": 7})).run_ids
    job = await house.claim()
    await house.report(job, "progress", step(job, "reserve"))

    await house.emit("order.cancelled", data={"orderId": 7})

    with raises(StaleExecution):
        await house.report(job, "completed", output=1)
    assert (await house.run(run_id)).status is RunStatus.CANCELLED
    assert [each.name for each in await house.steps(run_id)] == ["reserve"]


async def test_a_wait_that_one_event_would_both_end_and_cancel_is_cancelled(house: Work):
    """The order of the two is nothing that a user could rely on; that the run ends is."""
    await house.a_function(cancel_on=[ON_CANCELLED])
    await house.a_worker()
    (run_id,) = (await house.emit(data={"orderId": 7})).run_ids
    await house.report(job := await house.claim(), "yielded", yielded=waits_for(job, "order.*"))

    await house.emit("order.cancelled", data={"orderId": 7})

    assert (await house.run(run_id)).status is RunStatus.CANCELLED


async def test_a_run_that_failed_and_is_resumed_can_be_cancelled_again(house: Work):
    await house.a_function(cancel_on=[ON_CANCELLED])
    await house.a_worker()
    (run_id,) = (await house.emit(data={"orderId": 7})).run_ids
    await house.report(await house.claim(), "failed", error={"message": "no", "retryable": False})
    # A run that has ended is left alone.
    await house.emit("order.cancelled", data={"orderId": 7})
    assert (await house.run(run_id)).status is RunStatus.FAILED

    await house.call(controls.resume, run_id=run_id)
    await house.emit("order.cancelled", data={"orderId": 7})

    assert (await house.run(run_id)).status is RunStatus.CANCELLED
    assert await left_behind(house) == [0, 0, 0]


async def test_runs_that_wait_for_their_start_or_for_a_slot_are_cancelled_too(house: Work):
    throttle = {"limit": 2, "period_ms": 60_000}
    await house.a_function(cancel_on=[ON_CANCELLED], concurrency={"limit": 1}, throttle=throttle)
    await house.a_worker()
    run_ids = [(await house.emit(data={"orderId": 7})).run_ids[0] for _ in range(3)]
    await house.claim()
    assert [(await house.run(each)).state for each in run_ids] == ["running", "pending", "waiting: throttle"]

    await house.emit("order.cancelled", data={"orderId": 7})

    assert {(await house.run(each)).status for each in run_ids} == {RunStatus.CANCELLED}
    assert await left_behind(house) == [0, 0, 0]
