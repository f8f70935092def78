"""A step invokes another function: the child's result, its failure, its time limit, and who is whose child."""

from typing import Any

import msgspec
from pytest import raises

from ironflow.base.time import to_datetime
from ironflow.engine.errors import StaleExecution
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType
from tests.support.work import Work
from tests.support.yields import invokes, waits_for

BOTH = ("charge", "settle")
CHILD_FAILED = {"message": "card declined", "code": "DECLINED", "retryable": False}


async def a_parent(server: Work, **more: Any) -> str:
    """A run of `charge` that waits for `settle`, which has no triggers; the parent's id."""
    await server.a_function()
    await server.a_function("settle", on=None)
    await server.a_worker(function_ids=BOTH)
    (parent,) = (await server.emit(data={"total": 1})).run_ids
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle", {"amount": 5}, **more))
    return parent


async def child_of(server: Work, parent: str) -> runs.Run:
    (child,) = (await server.call(runs.list_, parent_run_id=parent)).runs
    return child


def invoked(job: Assignment) -> tuple[str | None, Any, Any]:
    """The invoking step as the worker gets it: status, output, error."""
    (found,) = [each for each in job.completed_steps if each.name == "settle"]
    error = msgspec.json.decode(found.error) if found.error is not None else None
    return found.status, msgspec.json.decode(found.output), error


async def test_the_childs_output_is_the_steps_output(server: Work):
    parent = await a_parent(server)

    job = await server.claim()
    assert (job.function_id, job.attempt, job.event.name) == ("settle", 1, "ironflow/function.invoked")
    assert (msgspec.json.decode(job.event.data), job.event.source) == ({"amount": 5}, "invoke")
    await server.report(job, "completed", output={"paid": 12345678901234567890})

    back = await server.claim()
    assert (back.run_id, back.attempt) == (parent, 1)
    assert invoked(back) == (None, {"paid": 12345678901234567890}, None)


async def test_lineage_is_readable_from_parent_and_child(server: Work):
    parent = await a_parent(server)

    child = await child_of(server, parent)
    assert (child.function_id, child.parent_run_id) == ("settle", parent)
    assert child.parent_step_id == f"{parent}:settle:0"
    (row,) = await server.steps(parent)
    assert (row.name, row.step_type, row.status) == ("settle", StepType.INVOKE_FUNCTION, StepStatus.WAITING)
    assert row.child_run_id == child.id
    assert (await server.call(runs.list_, parent_run_id=child.id)).runs == []
    assert {each.id for each in await server.runs()} == {parent, child.id}


async def test_a_waiting_parent_holds_no_job_and_shows_until_when_it_waits(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=60_000)

    shown = await server.run(parent)
    assert (shown.state, shown.next_attempt_at) == ("waiting: invoke", to_datetime(server.now + 60_000))
    assert [job.function_id for job in await server.poll(available=10)] == ["settle"]


async def test_a_childs_failure_comes_back_as_a_failed_step_with_its_cause(server: Work):
    parent = await a_parent(server)
    child = await server.claim()
    await server.report(child, "failed", error=CHILD_FAILED)

    back = await server.claim()

    assert back.run_id == parent
    status, output, error = invoked(back)
    assert (status, output) == ("failed", None)
    assert (error["function_id"], error["child_run_id"]) == ("settle", child.run_id)
    assert (error["cause"], error["retryable"], error["code"]) == ("card declined", False, "DECLINED")


async def test_the_child_is_tried_again_by_its_own_policy_while_the_parent_waits(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=60_000)
    await server.report(await server.claim(), "failed")
    assert (await server.run(parent)).state == "waiting: invoke"

    server.move(1_000)
    await server.loop("timers")
    again = await server.claim()
    assert (again.function_id, again.attempt) == ("settle", 2)
    await server.report(again, "completed", output=1)

    assert (await server.claim()).run_id == parent


async def test_a_cancelled_child_comes_back_as_a_failure(server: Work):
    parent = await a_parent(server)
    await server.call(runs.cancel, id=(await child_of(server, parent)).id, reason="not today")

    status, _, error = invoked(await server.claim())

    assert (status, error["cause"]) == ("failed", "cancelled: not today")


async def test_a_child_that_takes_too_long_fails_the_step_and_goes_on_by_itself(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=60_000)
    child = await server.claim()
    server.move(59_999)
    await server.loops()
    assert (await server.run(parent)).state == "waiting: invoke"

    server.move(1)
    await server.loops()

    await server.a_worker(function_ids=BOTH)
    back = await server.claim()
    status, _, error = invoked(back)
    assert (status, error["cause"], error["child_run_id"]) == ("failed", "invoke timed out", child.run_id)
    await server.report(child, "completed", output="late")
    assert (await server.run(child.run_id)).status is RunStatus.COMPLETED
    await server.report(back, "completed", output="without it")
    assert [each.status for each in await server.steps(parent)] == [StepStatus.FAILED]


async def test_an_invoke_that_names_no_timeout_waits_thirty_seconds(server: Work):
    parent = await a_parent(server)

    assert (await server.run(parent)).next_attempt_at == to_datetime(server.now + 30_000)


REFUSED = [
    ("absent", "there is no function 'absent'"),
    ("resting", "function 'resting' is paused"),
    ("listening", "function 'listening' has triggers; only functions without any are invoked"),
]


async def test_targets_that_cannot_be_invoked_fail_the_step_and_no_child_starts(server: Work):
    await server.a_function()
    await server.a_function("resting", on=None)
    await server.call(functions.update_status, id="resting", status="paused")
    await server.a_function("listening", on="something")
    await server.a_worker()
    for kind in ("invoke_function", "invoke_function_async"):
        for target, cause in REFUSED:
            (parent,) = (await server.emit()).run_ids
            job = await server.claim()
            await server.report(job, "yielded", yielded=invokes(job, target, type=kind))

            back = await server.claim()

            (known,) = back.completed_steps
            assert known.error is not None
            assert (back.run_id, known.status, msgspec.json.decode(known.error)["cause"]) == (parent, "failed", cause)
            assert (await server.call(runs.list_, parent_run_id=parent)).runs == []
            await server.report(back, "completed")


async def test_an_asynchronous_invoke_gives_the_childs_id_at_once(server: Work):
    parent = await a_parent(server, type="invoke_function_async")
    child = await child_of(server, parent)

    first, second = await server.poll(available=10)
    back, other = (first, second) if first.run_id == parent else (second, first)
    assert invoked(back) == (None, {"run_id": child.id}, None)
    assert (other.run_id, child.parent_run_id) == (child.id, parent)
    await server.report(back, "completed", output="without waiting")
    await server.report(other, "failed", error=CHILD_FAILED)

    assert (await server.run(parent)).status is RunStatus.COMPLETED
    assert (await server.run(child.id)).status is RunStatus.FAILED


async def test_a_repeated_yield_starts_no_second_child(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=600_000)
    child = await child_of(server, parent)
    deadline = (await server.run(parent)).next_attempt_at
    server.move(1_000)
    await server.db.write(lambda tx: _hand_out_again(tx, parent))
    job = next(each for each in await server.poll(available=10) if each.run_id == parent)

    await server.report(job, "yielded", yielded=invokes(job, "settle", {"amount": 5}, invoke_timeout_ms=600_000))

    assert (await child_of(server, parent)).id == child.id
    shown = await server.run(parent)
    assert (shown.state, shown.next_attempt_at) == ("waiting: invoke", deadline)


def _hand_out_again(tx: Any, run_id: str) -> None:
    """Puts a waiting run back into the queue behind the engine's back: no command does, but an old worker could."""
    tx.run("UPDATE runs SET status = 'pending', reason = '' WHERE id = :id", {"id": run_id})
    tx.run(
        "INSERT INTO jobs (run_id, environment, function_id, state, ready_at, job_id, execution_seq, token, worker_id,"
        " expires_at, deadline_at, sequence_base, log_position, avoid)"
        " VALUES (:id, 'default', 'charge', 'ready', 0, '', 0, '', '', 0, 0, 0, 0, '')",
        {"id": run_id},
    )


async def test_a_runtime_that_sees_no_failures_fails_its_run_instead_of_invoking_again(server: Work):
    await server.a_function()
    await server.a_function("settle", on=None)
    version = {"sdk": "0.29.0", "runtime": "node-v22.1.0"}
    await server.call(jobs.register, worker="w1", function_ids=[*BOTH], version=version)
    (parent,) = (await server.emit()).run_ids
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle"))
    child = await server.claim()
    await server.report(child, "failed", error=CHILD_FAILED)

    back = await server.claim()
    assert (back.run_id, back.completed_steps) == (parent, [])
    await server.report(back, "yielded", yielded=invokes(back, "settle"))

    failed = await server.run(parent)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("DECLINED", False)
    assert "card declined" in failed.error.message
    assert (await child_of(server, parent)).id == child.run_id


async def test_cancelling_the_parent_cancels_the_child_it_waits_for_and_that_ones_child(server: Work):
    await server.a_function("notify", on=None)
    parent = await a_parent(server)
    await server.a_worker(function_ids=(*BOTH, "notify"))
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "notify"))
    busy = await server.claim()

    await server.call(runs.cancel, id=parent, reason="changed my mind")

    shown = {each.function_id: (each.status, each.cancellation_cause) for each in await server.runs()}
    assert shown == {
        "charge": (RunStatus.CANCELLED, "changed my mind"),
        "settle": (RunStatus.CANCELLED, f"its parent {parent} was cancelled"),
        "notify": (RunStatus.CANCELLED, f"its parent {job.run_id} was cancelled"),
    }
    with raises(StaleExecution):
        await server.report(busy, "completed")
    assert await server.poll(available=10) == []


async def test_an_asynchronous_child_survives_its_parents_cancel(server: Work):
    parent = await a_parent(server, type="invoke_function_async")

    await server.call(runs.cancel, id=parent)

    assert (await child_of(server, parent)).status is RunStatus.PENDING


async def test_a_paused_child_keeps_its_parent_waiting(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=3_600_000)
    child = await child_of(server, parent)
    await server.call(controls.pause, run_id=child.id)
    server.move(1_800_000)
    await server.loops()
    assert (await server.run(parent)).state == "waiting: invoke"

    await server.call(controls.resume, run_id=child.id)
    await server.a_worker(function_ids=BOTH)
    await server.report(await server.claim(), "completed", output=1)

    assert (await server.claim()).run_id == parent


async def test_a_child_that_ends_while_its_parent_is_paused_is_there_after_the_resume(server: Work):
    parent = await a_parent(server)
    await server.call(controls.pause, run_id=parent)
    await server.report(await server.claim(), "completed", output="done")
    assert (await server.run(parent)).status is RunStatus.PAUSED
    assert await server.poll() == []

    await server.call(controls.resume, run_id=parent)

    assert invoked(await server.claim()) == (None, "done", None)


async def test_a_parent_paused_and_resumed_still_waits_until_the_same_time(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=60_000)
    deadline = to_datetime(server.now + 60_000)
    await server.call(controls.pause, run_id=parent)
    server.move(10_000)

    resumed = await server.call(controls.resume, run_id=parent)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: invoke", deadline)


async def test_a_child_may_wait_for_the_event_that_also_starts_another_parent(server: Work):
    parent = await a_parent(server, invoke_timeout_ms=600_000)
    child = await server.claim()
    await server.report(child, "yielded", yielded=waits_for(child, "order.placed"))

    (other,) = (await server.emit(data={"total": 2})).run_ids

    assert {job.run_id for job in await server.poll(available=10)} == {child.run_id, other}
    assert (await server.run(parent)).state == "waiting: invoke"


async def test_an_invoke_of_itself_under_a_limit_of_one_does_not_wait_for_ever(server: Work):
    """A run that waits gives its slot back, or its own child could never start."""
    await server.a_function("settle", on=None, concurrency={"limit": 1})
    await server.a_worker(function_ids=BOTH)
    await server.call(events.invoke, function_id="settle", data=1)
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle", 2))

    child = await server.claim()
    await server.report(child, "completed", output="inner")

    assert invoked(await server.claim()) == (None, "inner", None)
