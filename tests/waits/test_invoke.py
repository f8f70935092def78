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


async def a_parent(house: Work, **more: Any) -> str:
    """A run of `charge` that waits for `settle`, which has no triggers; the parent's id."""
    await house.a_function()
    await house.a_function("settle", on=None)
    await house.a_worker(function_ids=BOTH)
    (parent,) = (await house.emit(data={"total": 1})).run_ids
    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "settle", {"amount": 5}, **more))
    return parent


async def child_of(house: Work, parent: str) -> runs.Run:
    (child,) = (await house.call(runs.list_, parent_run_id=parent)).runs
    return child


def invoked(job: Assignment) -> tuple[str | None, Any, Any]:
    """What the worker is told of the invoking step: status, output, error."""
    (found,) = [each for each in job.completed_steps if each.name == "settle"]
    error = msgspec.json.decode(found.error) if found.error is not None else None
    return found.status, msgspec.json.decode(found.output), error


async def test_the_childs_output_is_the_steps_output(house: Work):
    parent = await a_parent(house)

    job = await house.claim()
    assert (job.function_id, job.attempt, job.event.name) == ("settle", 1, "ironflow/function.invoked")
    assert (msgspec.json.decode(job.event.data), job.event.source) == ({"amount": 5}, "invoke")
    await house.report(job, "completed", output={"paid": 12345678901234567890})

    back = await house.claim()
    assert (back.run_id, back.attempt) == (parent, 1)
    assert invoked(back) == (None, {"paid": 12345678901234567890}, None)


async def test_lineage_is_readable_from_both_sides(house: Work):
    parent = await a_parent(house)

    child = await child_of(house, parent)
    assert (child.function_id, child.parent_run_id) == ("settle", parent)
    assert child.parent_step_id == f"{parent}:settle:0"
    (row,) = await house.steps(parent)
    assert (row.name, row.step_type, row.status) == ("settle", StepType.INVOKE_FUNCTION, StepStatus.WAITING)
    assert row.child_run_id == child.id
    assert (await house.call(runs.list_, parent_run_id=child.id)).runs == []
    assert {each.id for each in await house.runs()} == {parent, child.id}


async def test_a_waiting_parent_holds_no_job_and_says_until_when_it_waits(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=60_000)

    shown = await house.run(parent)
    assert (shown.state, shown.next_attempt_at) == ("waiting: invoke", to_datetime(house.now + 60_000))
    assert [job.function_id for job in await house.poll(available=10)] == ["settle"]


async def test_a_childs_failure_comes_back_as_a_failed_step_with_its_cause(house: Work):
    parent = await a_parent(house)
    child = await house.claim()
    await house.report(child, "failed", error=CHILD_FAILED)

    back = await house.claim()

    assert back.run_id == parent
    status, output, error = invoked(back)
    assert (status, output) == ("failed", None)
    assert (error["function_id"], error["child_run_id"]) == ("settle", child.run_id)
    assert (error["cause"], error["retryable"], error["code"]) == ("card declined", False, "INVOKE_FAILED")


async def test_the_child_is_tried_again_by_its_own_policy_while_the_parent_waits(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=60_000)
    await house.report(await house.claim(), "failed")
    assert (await house.run(parent)).state == "waiting: invoke"

    house.move(1_000)
    await house.loop("timers")
    again = await house.claim()
    assert (again.function_id, again.attempt) == ("settle", 2)
    await house.report(again, "completed", output=1)

    assert (await house.claim()).run_id == parent


async def test_a_cancelled_child_comes_back_as_a_failure(house: Work):
    parent = await a_parent(house)
    await house.call(runs.cancel, id=(await child_of(house, parent)).id, reason="not today")

    status, _, error = invoked(await house.claim())

    assert (status, error["cause"]) == ("failed", "cancelled: not today")


async def test_a_child_that_takes_too_long_fails_the_step_and_goes_on_by_itself(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=60_000)
    child = await house.claim()
    house.move(59_999)
    await house.loops()
    assert (await house.run(parent)).state == "waiting: invoke"

    house.move(1)
    await house.loops()

    await house.a_worker(function_ids=BOTH)
    back = await house.claim()
    status, _, error = invoked(back)
    assert (status, error["cause"], error["child_run_id"]) == ("failed", "invoke timed out", child.run_id)
    await house.report(child, "completed", output="late")
    assert (await house.run(child.run_id)).status is RunStatus.COMPLETED
    await house.report(back, "completed", output="without it")
    assert [each.status for each in await house.steps(parent)] == [StepStatus.FAILED]


async def test_an_invoke_that_names_no_timeout_waits_thirty_seconds(house: Work):
    parent = await a_parent(house)

    assert (await house.run(parent)).next_attempt_at == to_datetime(house.now + 30_000)


REFUSED = [
    ("nobody", "there is no function 'nobody'"),
    ("resting", "function 'resting' is paused"),
    ("listening", "function 'listening' has triggers; only functions without any are invoked"),
]


async def test_targets_that_cannot_be_invoked_fail_the_step_and_no_child_starts(house: Work):
    await house.a_function()
    await house.a_function("resting", on=None)
    await house.call(functions.update_status, id="resting", status="paused")
    await house.a_function("listening", on="something")
    await house.a_worker()
    for kind in ("invoke_function", "invoke_function_async"):
        for target, cause in REFUSED:
            (parent,) = (await house.emit()).run_ids
            job = await house.claim()
            await house.report(job, "yielded", yielded=invokes(job, target, type=kind))

            back = await house.claim()

            (told,) = back.completed_steps
            assert told.error is not None
            assert (back.run_id, told.status, msgspec.json.decode(told.error)["cause"]) == (parent, "failed", cause)
            assert (await house.call(runs.list_, parent_run_id=parent)).runs == []
            await house.report(back, "completed")


async def test_an_asynchronous_invoke_gives_the_childs_id_at_once(house: Work):
    parent = await a_parent(house, type="invoke_function_async")
    child = await child_of(house, parent)

    first, second = await house.poll(available=10)
    back, other = (first, second) if first.run_id == parent else (second, first)
    assert invoked(back) == (None, {"run_id": child.id}, None)
    assert (other.run_id, child.parent_run_id) == (child.id, parent)
    await house.report(back, "completed", output="without waiting")
    await house.report(other, "failed", error=CHILD_FAILED)

    assert (await house.run(parent)).status is RunStatus.COMPLETED
    assert (await house.run(child.id)).status is RunStatus.FAILED


async def test_a_repeated_yield_starts_no_second_child(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=600_000)
    child = await child_of(house, parent)
    deadline = (await house.run(parent)).next_attempt_at
    house.move(1_000)
    await house.db.write(lambda tx: _hand_out_again(tx, parent))
    job = next(each for each in await house.poll(available=10) if each.run_id == parent)

    await house.report(job, "yielded", yielded=invokes(job, "settle", {"amount": 5}, invoke_timeout_ms=600_000))

    assert (await child_of(house, parent)).id == child.id
    shown = await house.run(parent)
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


async def test_a_runtime_that_sees_no_failures_fails_its_run_instead_of_invoking_again(house: Work):
    await house.a_function()
    await house.a_function("settle", on=None)
    version = {"sdk": "0.29.0", "runtime": "node-v22.1.0"}
    await house.call(jobs.register, worker="w1", function_ids=[*BOTH], version=version)
    (parent,) = (await house.emit()).run_ids
    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "settle"))
    child = await house.claim()
    await house.report(child, "failed", error=CHILD_FAILED)

    back = await house.claim()
    assert (back.run_id, back.completed_steps) == (parent, [])
    await house.report(back, "yielded", yielded=invokes(back, "settle"))

    failed = await house.run(parent)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("INVOKE_FAILED", False)
    assert "card declined" in failed.error.message
    assert (await child_of(house, parent)).id == child.run_id


async def test_cancelling_the_parent_cancels_the_child_it_waits_for_and_that_ones_child(house: Work):
    await house.a_function("notify", on=None)
    parent = await a_parent(house)
    await house.a_worker(function_ids=(*BOTH, "notify"))
    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "notify"))
    busy = await house.claim()

    await house.call(runs.cancel, id=parent, reason="changed my mind")

    shown = {each.function_id: (each.status, each.cancellation_cause) for each in await house.runs()}
    assert shown == {
        "charge": (RunStatus.CANCELLED, "changed my mind"),
        "settle": (RunStatus.CANCELLED, f"its parent {parent} was cancelled"),
        "notify": (RunStatus.CANCELLED, f"its parent {job.run_id} was cancelled"),
    }
    with raises(StaleExecution):
        await house.report(busy, "completed")
    assert await house.poll(available=10) == []


async def test_a_child_that_nobody_waits_for_survives_its_parents_cancel(house: Work):
    parent = await a_parent(house, type="invoke_function_async")

    await house.call(runs.cancel, id=parent)

    assert (await child_of(house, parent)).status is RunStatus.PENDING


async def test_a_paused_child_keeps_its_parent_waiting(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=3_600_000)
    child = await child_of(house, parent)
    await house.call(controls.pause, run_id=child.id)
    house.move(1_800_000)
    await house.loops()
    assert (await house.run(parent)).state == "waiting: invoke"

    await house.call(controls.resume, run_id=child.id)
    await house.a_worker(function_ids=BOTH)
    await house.report(await house.claim(), "completed", output=1)

    assert (await house.claim()).run_id == parent


async def test_a_child_that_ends_while_its_parent_is_paused_is_there_after_the_resume(house: Work):
    parent = await a_parent(house)
    await house.call(controls.pause, run_id=parent)
    await house.report(await house.claim(), "completed", output="done")
    assert (await house.run(parent)).status is RunStatus.PAUSED
    assert await house.poll() == []

    await house.call(controls.resume, run_id=parent)

    assert invoked(await house.claim()) == (None, "done", None)


async def test_a_parent_paused_and_resumed_still_waits_until_the_same_time(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=60_000)
    deadline = to_datetime(house.now + 60_000)
    await house.call(controls.pause, run_id=parent)
    house.move(10_000)

    resumed = await house.call(controls.resume, run_id=parent)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: invoke", deadline)


async def test_a_child_may_wait_for_the_event_that_also_starts_another_parent(house: Work):
    parent = await a_parent(house, invoke_timeout_ms=600_000)
    child = await house.claim()
    await house.report(child, "yielded", yielded=waits_for(child, "order.placed"))

    (other,) = (await house.emit(data={"total": 2})).run_ids

    assert {job.run_id for job in await house.poll(available=10)} == {child.run_id, other}
    assert (await house.run(parent)).state == "waiting: invoke"


async def test_an_invoke_of_itself_under_a_limit_of_one_does_not_wait_for_ever(house: Work):
    """A run that waits gives its slot back, or its own child could never start."""
    await house.a_function("settle", on=None, concurrency={"limit": 1})
    await house.a_worker(function_ids=BOTH)
    await house.call(events.invoke, function_id="settle", data=1)
    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "settle", 2))

    child = await house.claim()
    await house.report(child, "completed", output="inner")

    assert invoked(await house.claim()) == (None, "inner", None)
