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


async def a_sleeping_run(server: Work, data: object = None, *specs: dict[str, str], **more: Any) -> Run:
    await server.a_function(cancel_on=list(specs) or [ON_CANCELLED], **more)
    await server.a_worker()
    (run_id,) = (await server.emit(data={"orderId": 7} if data is None else data)).run_ids
    await server.report(job := await server.claim(), "yielded", yielded=sleeps(job, server.now + HOUR_MS))
    return await server.run(run_id)


async def left_behind(server: Work) -> list[int]:
    """Rows of waits, timers and jobs."""
    tables = ("waits", "timers", "jobs")
    return [(await server.db.read(lambda tx, t=t: tx.rows(f"SELECT count(*) FROM {t}")))[0][0] for t in tables]


async def test_an_event_with_the_same_value_cancels_the_run(server: Work):
    run = await a_sleeping_run(server)

    await server.emit("order.cancelled", data={"orderId": 8})
    await server.emit("order.cancelled", data={})
    await server.emit("order.refused", data={"orderId": 7})
    await server.emit("order.cancelled", data={"orderId": 7}, env="staging")
    assert (await server.run(run.id)).status is RunStatus.WAITING

    await server.emit("order.cancelled", data={"orderId": "7"})

    cancelled = await server.run(run.id)
    assert (cancelled.status, cancelled.cancellation_cause) == (RunStatus.CANCELLED, "cancel-on-event")
    assert await left_behind(server) == [0, 0, 0]


async def test_a_missing_value_in_either_event_cancels_nothing(server: Work):
    run = await a_sleeping_run(server, {"other": 1})

    await server.emit("order.cancelled", data={})
    await server.emit("order.cancelled", data={"orderId": ""})
    await server.emit("order.cancelled", data={"orderId": None})

    assert (await server.run(run.id)).status is RunStatus.WAITING


async def test_any_one_of_several_specs_cancels(server: Work):
    specs = [ON_CANCELLED, {"event": "customer.*", "match": "customer.id"}]
    first = await a_sleeping_run(server, {"orderId": 1, "customer": {"id": "ada"}}, *specs)
    second = await a_sleeping_run(server, {"orderId": 2, "customer": {"id": "ada"}}, *specs)

    await server.emit("order.cancelled", data={"orderId": 1})
    assert [(await server.run(each.id)).status.value for each in (first, second)] == ["cancelled", "waiting"]

    await server.emit("customer.left", data={"customer": {"id": "ada"}})
    assert (await server.run(second.id)).status is RunStatus.CANCELLED


async def test_the_values_are_fixed_when_the_run_is_created(server: Work):
    run = await a_sleeping_run(server)
    await server.a_function(cancel_on=[{"event": "order.cancelled", "match": "customerId"}])

    await server.emit("order.cancelled", data={"orderId": 7})

    assert (await server.run(run.id)).status is RunStatus.CANCELLED


async def test_a_run_is_not_cancelled_by_the_event_that_started_it_but_by_the_next_one(server: Work):
    """The latest wins: each event cancels the runs of those before it."""
    await server.a_function(cancel_on=[{"event": "order.placed", "match": "orderId"}])

    first = (await server.emit(data={"orderId": 7})).run_ids[0]
    assert (await server.run(first)).status is RunStatus.PENDING

    batch = await server.call(events.emit_batch, events=[{"event": "order.placed", "data": {"orderId": 7}}] * 3)
    started = [first, *(each.run_ids[0] for each in batch.results)]

    shown = [(await server.run(each)).status.value for each in started]
    assert shown == ["cancelled", "cancelled", "cancelled", "pending"]


async def test_a_busy_worker_is_refused_after_the_cancel(server: Work):
    await server.a_function(cancel_on=[ON_CANCELLED])
    await server.a_worker()
    (run_id,) = (await server.emit(data={"orderId": 7})).run_ids
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve"))

    await server.emit("order.cancelled", data={"orderId": 7})

    with raises(StaleExecution):
        await server.report(job, "completed", output=1)
    assert (await server.run(run_id)).status is RunStatus.CANCELLED
    assert [each.name for each in await server.steps(run_id)] == ["reserve"]


async def test_a_wait_that_one_event_would_both_end_and_cancel_is_cancelled(server: Work):
    """The order of the two is nothing that a user could rely on; that the run ends is."""
    await server.a_function(cancel_on=[ON_CANCELLED])
    await server.a_worker()
    (run_id,) = (await server.emit(data={"orderId": 7})).run_ids
    await server.report(job := await server.claim(), "yielded", yielded=waits_for(job, "order.*"))

    await server.emit("order.cancelled", data={"orderId": 7})

    assert (await server.run(run_id)).status is RunStatus.CANCELLED


async def test_a_run_that_failed_and_is_resumed_can_be_cancelled_again(server: Work):
    await server.a_function(cancel_on=[ON_CANCELLED])
    await server.a_worker()
    (run_id,) = (await server.emit(data={"orderId": 7})).run_ids
    await server.report(await server.claim(), "failed", error={"message": "no", "retryable": False})
    # A run that has ended is left alone.
    await server.emit("order.cancelled", data={"orderId": 7})
    assert (await server.run(run_id)).status is RunStatus.FAILED

    await server.call(controls.resume, run_id=run_id)
    await server.emit("order.cancelled", data={"orderId": 7})

    assert (await server.run(run_id)).status is RunStatus.CANCELLED
    assert await left_behind(server) == [0, 0, 0]


async def test_runs_that_wait_for_their_start_or_for_a_slot_are_cancelled_too(server: Work):
    throttle = {"limit": 2, "period_ms": 60_000}
    await server.a_function(cancel_on=[ON_CANCELLED], concurrency={"limit": 1}, throttle=throttle)
    await server.a_worker()
    run_ids = [(await server.emit(data={"orderId": 7})).run_ids[0] for _ in range(3)]
    await server.claim()
    assert [(await server.run(each)).state for each in run_ids] == ["running", "pending", "waiting: throttle"]

    await server.emit("order.cancelled", data={"orderId": 7})

    assert {(await server.run(each)).status for each in run_ids} == {RunStatus.CANCELLED}
    assert await left_behind(server) == [0, 0, 0]
