"""A run whose function compensates on cancel is `cancelling`, is undone by one more execution, and then cancelled."""

from typing import Any

import msgspec
import pytest

from ironflow.engine.errors import RunCancelling, RunEnded, StaleExecution
from ironflow.features.bulk import contract as bulk
from ironflow.features.controls import contract as controls
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from ironflow.features.time_travel import contract as time_travel
from tests.support.work import LEASE_MS, Work, step
from tests.support.yields import invokes, waits_for

MINUTE_MS = 60_000
CONFIG: dict[str, Any] = {"compensate_on_cancel": True, "compensation_timeout_ms": MINUTE_MS, "recording": True}
GIVEN_UP = {"message": "the run has failed", "code": "GIVEN_UP", "retryable": False}


async def a_job(server: Work, **config: Any) -> Assignment:
    await server.a_run(**{**CONFIG, **config})
    job = await server.claim()
    await server.report(job, "progress", step(job, "flight"))
    return job


async def a_waiting_run(server: Work, **config: Any) -> str:
    job = await a_job(server, **config)
    await server.report(job, "yielded", yields=[waits_for(job, "paid")])
    return job.run_id


def undo(job: Assignment, name: str, **more: Any) -> dict[str, Any]:
    return step(job, f"compensate:{name}", type="compensate", compensation_for=name, **more)


async def cancel(server: Work, run_id: str, **more: Any) -> runs.Run:
    return await server.call(runs.cancel, id=run_id, **more)


async def why(server: Work, run_id: str) -> controls.Why:
    return await server.call(controls.why, id=run_id)


async def undone(server: Work, worker: str = "w1") -> str:
    """The execution that runs the compensations, at a worker; the run's id."""
    job = await server.claim(worker)
    assert job.compensating is not None
    assert msgspec.json.decode(job.compensating)["code"] == "RUN_CANCELLED"
    await server.report(job, "failed", undo(job, "flight"), error=GIVEN_UP, worker=worker)
    return job.run_id


async def test_a_run_that_waits_is_undone_and_then_cancelled(server: Work):
    run_id = await a_waiting_run(server)
    asked_at = server.now

    answer = await cancel(server, run_id, reason="not wanted")

    assert (answer.status, answer.state) == (RunStatus.RUNNING, "cancelling")
    assert answer.cancel_requested is not None
    assert answer.cancel_requested.reason == "not wanted"
    assert round(answer.cancel_requested.at.timestamp() * 1000) == asked_at
    assert (await why(server, run_id)).message.startswith("It is being cancelled since ")
    assert await undone(server) == run_id
    run = await server.run(run_id)
    assert (run.status, run.state, run.cancellation_cause) == (RunStatus.CANCELLED, "cancelled", "not wanted")
    assert (run.error, run.cancel_requested) == (None, answer.cancel_requested)
    assert [(each.name, each.stored_status) for each in await server.steps(run_id)] == [
        ("flight", "completed"),
        ("approval", "cancelled"),
        ("compensate:flight", "completed"),
    ]
    assert await server.poll() == []
    with pytest.raises(RunEnded):
        await cancel(server, run_id)


async def test_it_counts_as_running_in_lists(server: Work):
    run_id = await a_waiting_run(server)
    await cancel(server, run_id)

    assert [run.id for run in await server.runs(status="running")] == [run_id]
    for other in ("pending", "paused", "waiting", "cancelled"):
        assert await server.runs(status=other) == [], other
    await undone(server)
    assert [run.id for run in await server.runs(status="cancelled")] == [run_id]
    assert await server.runs(status="running") == []


@pytest.mark.parametrize("force", [False, True], ids=["again", "force"])
async def test_a_second_cancel_ends_it_at_once(server: Work, force: bool):
    run_id = await a_waiting_run(server)
    await cancel(server, run_id, reason="first")
    job = await server.claim()

    answer = await cancel(server, run_id, reason="second", force=force)

    assert (answer.status, answer.cancellation_cause) == (RunStatus.CANCELLED, "second")
    with pytest.raises(StaleExecution):
        await server.report(job, "failed", undo(job, "flight"), error=GIVEN_UP)


async def test_force_leaves_the_compensations_out(server: Work):
    run_id = await a_waiting_run(server)

    answer = await cancel(server, run_id, force=True)

    assert (answer.status, answer.cancel_requested) == (RunStatus.CANCELLED, None)
    assert await server.poll() == []


@pytest.mark.parametrize(
    "config",
    [{"compensate_on_cancel": False}, {"compensation_timeout_ms": 0}],
    ids=["not asked for", "an existing client"],
)
async def test_other_functions_end_at_once(server: Work, config: dict[str, Any]):
    run_id = await a_waiting_run(server, **config)

    assert (await cancel(server, run_id)).status is RunStatus.CANCELLED
    assert await server.poll() == []


async def test_a_run_that_has_never_started_ends_at_once(server: Work):
    run = await server.a_run(**CONFIG)

    assert (await cancel(server, run.id)).status is RunStatus.CANCELLED
    assert await server.poll() == []


async def test_a_paused_run_and_one_between_attempts_are_undone(server: Work):
    paused = await a_waiting_run(server)
    await server.call(controls.pause, run_id=paused)
    assert (await cancel(server, paused)).state == "cancelling"
    assert await undone(server) == paused

    await server.emit(data={"total": 1})
    job = await server.claim()
    await server.report(job, "failed", step(job, "flight"))
    assert (await cancel(server, job.run_id)).state == "cancelling"
    assert await undone(server) == job.run_id
    server.move(MINUTE_MS)
    await server.loop("timers")
    assert {run.status for run in await server.runs()} == {RunStatus.CANCELLED}


async def test_a_run_that_queues_for_a_slot_is_undone_once_it_has_one(server: Work):
    first = await a_job(server, concurrency={"limit": 1})
    await server.sleep(first, until=server.now + MINUTE_MS)
    await server.emit(data={"total": 2})
    second = await server.claim()
    server.move(MINUTE_MS)
    await server.loop("timers")
    assert (await why(server, first.run_id)).reason == "no_slot"

    assert (await cancel(server, first.run_id)).state == "cancelling"
    assert (await why(server, first.run_id)).reason == "no_slot"
    await server.report(second, "completed", output=1)

    assert await undone(server) == first.run_id


async def test_the_worker_of_a_run_ends_its_execution_and_what_that_did_is_undone_too(server: Work):
    job = await a_job(server)

    assert (await cancel(server, job.run_id)).state == "cancelling"

    assert (await why(server, job.run_id)).reason == "cancelling"
    (control,) = (await server.call(jobs.control, worker="w1", jobs=[job.job_id])).jobs
    assert (control.job_id, control.control) == (job.job_id, "cancelling")
    assert await server.poll() == []
    # Whatever it reports: what it has done is recorded, what it waits for is not.
    await server.report(job, "yielded", step(job, "hotel"), yields=[waits_for(job, "paid")])
    again = await server.claim()
    assert [each.name for each in again.completed_steps] == ["flight", "hotel"]
    await server.report(again, "failed", undo(again, "hotel"), undo(again, "flight"), error=GIVEN_UP)
    assert (await server.run(job.run_id)).status is RunStatus.CANCELLED
    assert [each.name for each in await server.steps(job.run_id)][2:] == ["compensate:hotel", "compensate:flight"]


async def test_a_run_that_completes_after_it_was_to_be_cancelled_is_undone(server: Work):
    job = await a_job(server)
    await cancel(server, job.run_id)

    await server.report(job, "completed", output="done")

    assert await undone(server) == job.run_id
    assert (await server.run(job.run_id)).output is None


async def test_a_checkpoint_is_recorded_and_answered_with_what_to_do(server: Work):
    job = await a_job(server)
    await cancel(server, job.run_id)
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    report = {"job_id": job.job_id, "status": "progress", "steps": [step(job, "hotel")], **fence}

    (verdict,) = (await server.call(jobs.report, worker="w1", reports=[report])).results

    assert (verdict.status, verdict.control) == ("ok", "cancelling")
    assert [each.name for each in await server.steps(job.run_id)] == ["flight", "hotel"]


async def test_a_worker_that_does_not_end_it_loses_its_lease(server: Work):
    job = await a_job(server)
    await server.a_worker("w2")
    await cancel(server, job.run_id)
    for _ in range(3):
        server.move(10_000)
        await server.heartbeat(job)
    await server.loop("leases")

    assert await undone(server, "w2") == job.run_id
    with pytest.raises(StaleExecution):
        await server.report(job, "completed", output="too late")


async def test_that_execution_is_bounded_and_handed_out_again_when_its_worker_dies(server: Work):
    run_id = await a_waiting_run(server, compensation_timeout_ms=60 * MINUTE_MS)
    await cancel(server, run_id)
    first = await server.claim()
    server.move(LEASE_MS)
    await server.loop("leases")
    second = await server.claim()
    assert (second.execution_seq, second.compensating) == (first.execution_seq + 1, first.compensating)
    for _ in range(60):
        server.move(MINUTE_MS)
        await server.heartbeat(second)
    await server.loop("leases")

    assert (await server.run(run_id)).status is RunStatus.CANCELLED
    assert await server.poll() == []


async def test_a_compensation_that_fails_is_tried_again_and_the_run_is_cancelled_in_the_end(server: Work):
    run_id = await a_waiting_run(server, retry={"max_attempts": 2, "initial_delay_ms": 1_000})
    await cancel(server, run_id)
    down = {"message": "down", "code": "DOWN", "retryable": True}
    job = await server.claim()
    failed = undo(job, "flight", error=down)
    await server.report(job, "failed", failed, error=GIVEN_UP, uncompensated_steps=[failed["id"]])

    run = await server.run(run_id)
    assert (run.status, run.state) == (RunStatus.RUNNING, "cancelling")
    explained = await why(server, run_id)
    assert explained.reason == "retry"
    assert "Compensations failed; they are tried again at" in explained.message
    assert [each.id for each in await server.runs(status="running")] == [run_id]
    server.move(1_000)
    await server.loop("timers")
    assert await undone(server) == run_id
    assert (await server.run(run_id)).status is RunStatus.CANCELLED


async def test_a_compensation_may_wait(server: Work):
    run_id = await a_waiting_run(server)
    await cancel(server, run_id)
    job = await server.claim()

    await server.sleep(job, until=server.now + MINUTE_MS)

    run = await server.run(run_id)
    assert (run.status, run.state) == (RunStatus.RUNNING, "cancelling")
    assert await server.poll() == []
    server.move(MINUTE_MS)
    await server.loop("timers")
    assert await undone(server) == run_id
    assert (await server.run(run_id)).status is RunStatus.CANCELLED


async def test_compensations_go_on_when_a_wait_of_theirs_has_timed_out_in_a_pause(server: Work):
    job = await a_job(server)
    error = {"message": "too large", "code": "OUTPUT_TOO_LARGE", "retryable": False}
    await server.report(job, "failed", error=error, uncompensated=True)
    undoing = await server.claim()
    await server.report(undoing, "yielded", yields=[waits_for(undoing, "refunded", timeout="1m")])
    await server.call(controls.pause, run_id=job.run_id)
    server.move(MINUTE_MS)
    await server.loop("timers")

    await server.call(controls.resume, run_id=job.run_id)

    again = await server.claim()
    assert (again.run_id, again.compensating is not None) == (job.run_id, True)
    await server.report(again, "failed", undo(again, "flight"), error=GIVEN_UP)
    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "OUTPUT_TOO_LARGE")


async def test_a_run_that_fails_and_is_undone_is_cancelled_when_that_is_asked_for_meanwhile(server: Work):
    job = await a_job(server)
    error = {"message": "too large", "code": "OUTPUT_TOO_LARGE", "retryable": False}
    await server.report(job, "failed", error=error, uncompensated=True)
    job = await server.claim()

    assert (await cancel(server, job.run_id)).state == "cancelling"
    await server.report(job, "failed", undo(job, "flight"), error=GIVEN_UP)

    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.CANCELLED, "OUTPUT_TOO_LARGE")
    assert await server.poll() == []


async def test_it_is_neither_paused_nor_begun_again_from_a_step(server: Work):
    run_id = await a_waiting_run(server)
    await cancel(server, run_id)

    with pytest.raises(RunCancelling, match="Cancel it again to end it at once"):
        await server.call(controls.pause, run_id=run_id)
    with pytest.raises(RunCancelling):
        await server.call(controls.resume, run_id=run_id, from_step="flight")


async def test_a_requested_pause_is_forgotten(server: Work):
    job = await a_job(server)
    await server.call(controls.pause, run_id=job.run_id)
    await cancel(server, job.run_id)

    await server.report(job, "failed")

    assert await undone(server) == job.run_id


async def test_children_are_cancelled_with_their_parent_and_are_undone_by_themselves(server: Work):
    await server.a_function("settle", on=None, **CONFIG)
    await server.a_worker("w1", ("charge", "settle"))
    await server.a_function(**CONFIG)
    (parent,) = (await server.emit(data={"total": 1})).run_ids
    job = await server.claim()
    await server.report(job, "yielded", step(job, "flight"), yields=[invokes(job, "settle")])
    child = await server.claim()
    await server.report(child, "yielded", step(child, "flight"), yields=[waits_for(child, "paid")])

    await cancel(server, parent)

    states = {run.id: run.state for run in await server.runs()}
    assert states == {parent: "cancelling", child.run_id: "cancelling"}
    assert {await undone(server), await undone(server)} == {parent, child.run_id}
    assert {run.status for run in await server.runs()} == {RunStatus.CANCELLED}


async def test_a_parent_that_is_cancelled_changes_nothing_for_a_child_that_is_being_cancelled(server: Work):
    await server.a_function("settle", on=None, **CONFIG)
    await server.a_worker("w1", ("charge", "settle"))
    await server.a_function()
    (parent,) = (await server.emit(data={"total": 1})).run_ids
    job = await server.claim()
    await server.report(job, "yielded", yields=[invokes(job, "settle")])
    child = await server.claim()
    await server.report(child, "yielded", step(child, "flight"), yields=[waits_for(child, "paid")])
    await cancel(server, child.run_id, reason="first")

    await cancel(server, parent, reason="second")

    run = await server.run(child.run_id)
    assert (run.state, run.cancel_requested and run.cancel_requested.reason) == ("cancelling", "first")
    assert await undone(server) == child.run_id


async def test_a_forced_cancel_forces_the_children(server: Work):
    await server.a_function("settle", on=None, **CONFIG)
    await server.a_worker("w1", ("charge", "settle"))
    await server.a_function(**CONFIG)
    (parent,) = (await server.emit(data={"total": 1})).run_ids
    job = await server.claim()
    await server.report(job, "yielded", yields=[invokes(job, "settle")])
    child = await server.claim()
    await server.report(child, "yielded", step(child, "flight"), yields=[waits_for(child, "paid")])

    await cancel(server, parent, force=True)

    assert {run.status for run in await server.runs()} == {RunStatus.CANCELLED}


async def test_an_event_cancels_it_in_the_same_way_and_a_second_event_changes_nothing(server: Work):
    run_id = await a_waiting_run(server, cancel_on=[{"event": "order.cancelled", "match": "total"}])

    for _ in range(2):
        await server.emit("order.cancelled", {"total": 100})

    run = await server.run(run_id)
    assert (run.state, run.cancel_requested and run.cancel_requested.reason) == ("cancelling", "cancel-on-event")
    assert await undone(server) == run_id


async def test_in_bulk_runs_that_are_being_cancelled_are_left_alone_without_force(server: Work):
    first = await a_waiting_run(server)
    await server.emit(data={"total": 1})
    job = await server.claim()
    await server.report(job, "yielded", step(job, "flight"), yields=[waits_for(job, "paid")])
    await cancel(server, first)

    await server.call(bulk.start, action="cancel", function_id="charge")
    await server.loop("bulk")

    (job_row,) = (await server.call(bulk.list_)).jobs
    assert (job_row.status, job_row.matched, job_row.changed, job_row.refused) == ("done", 2, 1, 1)
    assert {run.state for run in await server.runs()} == {"cancelling"}
    await server.call(bulk.start, action="cancel", function_id="charge", force=True)
    await server.loop("bulk")
    assert {run.state for run in await server.runs()} == {"cancelled"}
    with pytest.raises(bulk.InvalidBulk, match="force is of a cancel"):
        await server.call(bulk.start, action="retry", function_id="charge", force=True)


async def test_a_run_whose_key_another_takes_is_undone_beside_it(server: Work):
    keyed = {**CONFIG, "run_key": "data.total", "if_running": "replace"}
    first = await a_waiting_run(server, **keyed)

    (second,) = (await server.emit(data={"total": 100})).run_ids

    assert second != first
    assert (await server.run(first)).state == "cancelling"
    assert (await server.call(runs.get, id="charge:100")).id == second
    found = {each.run_id: each for each in await server.poll(available=2)}
    undoing = found[first]
    await server.report(undoing, "failed", undo(undoing, "flight"), error=GIVEN_UP)
    assert (await server.run(first)).status is RunStatus.CANCELLED
    assert (await server.call(runs.get, id="charge:100")).id == second


async def test_its_history_shows_it(server: Work):
    run_id = await a_waiting_run(server)
    server.move(1_000)
    await cancel(server, run_id, reason="not wanted")
    at = server.now
    server.move(1_000)
    await undone(server)

    found = (await server.call(time_travel.timeline, run_id=run_id)).events
    asked = [each.summary for each in found if each.event_type == "run.cancel_requested"]
    assert asked == ["To be cancelled, after its compensations: not wanted"]
    summaries = [each.summary for each in found]
    assert "Being cancelled; its compensations are to run" in summaries
    assert summaries[-1] == "Cancelled: not wanted"
    (entry,) = [each for each in found if each.event_type == "run.cancel_requested"]
    then = await server.call(time_travel.state_at, run_id=run_id, entry=entry.id)
    assert (then.state, then.status) == ("cancelling", "running")
    assert then.cancel_requested is not None
    assert round(then.cancel_requested.at.timestamp() * 1000) == at
    assert (await server.call(time_travel.state_at, run_id=run_id)).state == "cancelled"


async def test_a_reservation_is_given_up_at_once(server: Work):
    run_id = await a_waiting_run(server)
    await server.emit("paid", {"total": 100})
    reserved = await server.claim(acked=False)

    await cancel(server, run_id)

    with pytest.raises(StaleExecution):
        await server.ack(reserved)
    assert await undone(server) == run_id
