"""A worker's stream, from `register` to its end. Source: protocol/worker-stream.md."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.jobs import contract as jobs
from ironflow.features.runs import contract as runs
from ironflow.features.streaming_workers.contract import InvalidFrame, LeaseState
from tests.streaming_workers.streaming import StreamWorker, a_stream, eventually
from tests.support.work import LEASE_MS, RESERVATION_MS, Work


async def started(house: Work, **config: Any) -> str:
    """A run of `charge` that waits for a worker; its id."""
    await house.a_function(**config)
    (run_id,) = (await house.emit(data={"total": 100})).run_ids
    return run_id


def status_of(house: Work, run_id: str) -> Any:
    async def look() -> str:
        return (await house.run(run_id)).status.value

    return look


async def begun(house: Work) -> None:
    """Waits until the one job there is has begun."""

    async def state() -> Any:
        row = await house.db.read(lambda tx: tx.row("SELECT state FROM jobs"))
        return row and row[0]

    await eventually(state, "held")


async def steps_of(house: Work, run_id: str) -> list[tuple[str, str, Any]]:
    found = (await house.call(runs.steps, run_id=run_id)).steps
    return [(each.name, each.status.value, None if each.output is None else bytes(each.output)) for each in found]


# Jobs


async def test_a_job_comes_with_its_event_its_memo_and_its_fence(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        assert (job.run_id, job.function_id, job.attempt, job.max_attempts) == (run_id, "charge", 1, 3)
        assert (job.event.name, bytes(job.event.data)) == ("order.placed", b'{"total":100}')
        assert (job.execution_seq, bool(job.lease_token), job.completed_steps) == (1, True, [])
        worker.runs_step(job, "pay", {"n": 12345678901234567890})
        until = to_datetime(house.now) + timedelta(minutes=10)
        worker.says(stepYielded=worker.of(job, stepId=f"{run_id}:nap:0", sleep={"until": until.isoformat()}))
        await eventually(status_of(house, run_id), "waiting")

        house.move(10 * 60_000)
        await house.loop("timers")

        again = await worker.job()
        assert (again.run_id, again.execution_seq) == (run_id, 2)
        assert [(each.name, each.output_json) for each in again.completed_steps] == [
            ("pay", b'{"n":12345678901234567890}'),
            ("nap", b"null"),
        ]
        worker.says(jobCompleted=worker.of(again, output={"done": True}))
        await eventually(status_of(house, run_id), "completed")
    assert await steps_of(house, run_id) == [
        ("pay", "completed", b'{"n":12345678901234567890}'),
        ("nap", "completed", b"null"),
    ]


async def test_a_worker_never_has_more_jobs_than_it_takes(house: Work) -> None:
    await house.a_function()
    for _ in range(5):
        await house.emit()
    async with a_stream(house, jobs_max=2) as worker:
        first, second = await worker.job(), await worker.job()
        await worker.hears_nothing()
        worker.says(jobCompleted=worker.of(first, output=None))
        third = await worker.job()
        await worker.hears_nothing()
        assert len({first.job_id, second.job_id, third.job_id}) == 3


async def test_a_job_that_the_worker_refuses_goes_back_and_no_attempt_is_used(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house, "full") as worker, a_stream(house, "free", functions=("other",)) as other:
        job = await worker.job()
        worker.says(jobNack=worker.of(job, runId=run_id, reason="JOB_NACK_REASON_AT_CAPACITY"))
        again = await worker.job()
        assert (again.run_id, again.attempt, again.execution_seq) == (run_id, 1, 2)
        await other.hears_nothing()


async def test_a_job_that_nobody_begins_goes_back_after_its_reservation(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        await worker.job()
        house.move(RESERVATION_MS)
        await house.loop("leases")
        assert (await worker.job()).run_id == run_id


async def test_an_ack_begins_the_lease(house: Work) -> None:
    await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.says(jobAck=worker.of(job))
        await begun(house)
        house.move(RESERVATION_MS)
        await house.loop("leases")
        await worker.hears_nothing()


# Steps and ends


async def test_steps_are_recorded_as_they_end_and_those_that_run_can_be_seen(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.runs_step(job, "pay", 1)
        worker.says(stepStarted=worker.of(job, stepId=f"{run_id}:mail:0", name="mail"))

        await eventually(lambda: steps_of(house, run_id), [("pay", "completed", b"1"), ("mail", "running", None)])
        worker.says(stepFailed=worker.of(job, stepId=f"{run_id}:mail:0", error={"message": "no"}))
        await eventually(lambda: steps_of(house, run_id), [("pay", "completed", b"1"), ("mail", "failed", None)])
        worker.says(stepStarted=worker.of(job, stepId=f"{run_id}:mail:0", name="mail"))
        worker.says(stepCompleted=worker.of(job, stepId=f"{run_id}:mail:0", output="sent"))
        worker.says(jobCompleted=worker.of(job, output=[1]))
        await eventually(status_of(house, run_id), "completed")
    assert await steps_of(house, run_id) == [("pay", "completed", b"1"), ("mail", "completed", b'"sent"')]
    assert bytes((await house.run(run_id)).output or b"") == b"[1]"


async def test_a_failed_job_is_tried_again_by_policy_and_compensations_are_recorded(house: Work) -> None:
    run_id = await started(house, retry={"maxAttempts": 2, "initialDelayMs": 1000})
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.says(jobFailed=worker.of(job, error={"message": "busy", "code": "X", "retryable": True}))
        await eventually(status_of(house, run_id), "pending")
        house.move(1000)
        await house.loop("timers")
        again = await worker.job()
        assert again.attempt == 2
        undo = {
            "id": f"{run_id}:compensate\\:pay:0",
            "name": "compensate:pay",
            "type": "STEP_TYPE_COMPENSATE",
            "status": "STEP_STATUS_COMPLETED",
            "compensationFor": "pay",
        }
        worker.says(jobFailed=worker.of(again, error={"message": "broken"}, steps=[undo]))
        await eventually(status_of(house, run_id), "failed")
    assert await steps_of(house, run_id) == [("compensate:pay", "completed", b"null")]
    assert (await house.run(run_id)).error == runs.WireError(message="broken")


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"waitEvent": {"eventName": "approved", "timeout": "2026-01-02T00:00:00Z"}}, "wait_for_event"),
        ({"invokeFunction": {"functionId": "child", "inputJson": "eyJhIjoxfQ=="}}, "invoke_function"),
    ],
)
async def test_a_job_can_yield_for_an_event_or_another_function(house: Work, told: dict[str, Any], kind: str) -> None:
    await house.a_function("child", on=None)
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.says(stepYielded=worker.of(job, stepId=f"{run_id}:it:0", **told))
        await eventually(status_of(house, run_id), "waiting")
    (step,) = (await house.call(runs.steps, run_id=run_id)).steps
    assert (step.name, step.step_type.value) == ("it", kind)
    if kind == "wait_for_event":
        assert step.wait_timeout == to_datetime(house.now) + timedelta(days=1)
    else:
        child = await house.run(step.child_run_id or "")
        assert (child.function_id, bytes(child.input or b"")) == ("child", b'{"a":1}')


async def test_many_words_of_many_jobs_are_each_heard_in_order(house: Work) -> None:
    await house.a_function()
    run_ids = [(await house.emit()).run_ids[0] for _ in range(30)]
    async with a_stream(house, jobs_max=30) as worker:
        for _ in run_ids:
            job = await worker.job()
            for name in ("a", "b", "c"):
                worker.runs_step(job, name, name)
                if name == "b":
                    await asyncio.sleep(0)
            worker.says(jobCompleted=worker.of(job, output="done"))
        for run_id in run_ids:
            await eventually(status_of(house, run_id), "completed")
            assert [name for name, _, _ in await steps_of(house, run_id)] == ["a", "b", "c"]


async def test_an_output_that_cannot_be_kept_fails_the_run_and_says_so(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.says(jobCompleted=worker.of(job, output="x" * 5_000_000))
        await eventually(status_of(house, run_id), "failed")
    error = (await house.run(run_id)).error
    assert error is not None
    assert error.code == "OUTPUT_TOO_LARGE"


# Leases and fences


async def test_a_word_of_an_old_execution_changes_nothing_and_the_worker_is_told_to_stop(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house, "old") as old:
        job = await old.job()
        old.says(jobAck=old.of(job))
        await begun(house)
        house.move(LEASE_MS)
        await house.loop("leases")
        again = await old.job()
        assert again.execution_seq == 2
        old.says(stepCompleted=old.of(job, stepId=f"{run_id}:pay:0", output=1))
        cancel = (await old.hears()).cancel
        assert cancel is not None
        assert cancel.job_id == job.job_id
    assert await steps_of(house, run_id) == []


async def test_a_heartbeat_with_fences_renews_leases_and_tells_what_became_of_them(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.says(jobAck=worker.of(job))
        await begun(house)
        house.move(LEASE_MS - 1)
        listed = [
            worker.of(job, runId=run_id),
            {"jobId": f"job_{run_id.removeprefix('run_')}_9", "runId": run_id, "executionSeq": "9"},
            {"jobId": "job_none_1", "runId": "run_none", "executionSeq": "1"},
        ]
        worker.says(heartbeat={"workerId": "s1", "activeJobs": 1, "jobs": listed[:1]})
        refresh = (await worker.hears()).lease_refresh
        assert refresh is not None
        assert [(each.run_id, each.state) for each in refresh.segments] == [(run_id, LeaseState.REFRESHED)]
        house.move(LEASE_MS - 1)
        await house.loop("leases")
        assert (await house.run(run_id)).status.value == "running"
        worker.says(heartbeat={"workerId": "s1", "jobs": listed[1:]})
        refresh = (await worker.hears()).lease_refresh
        assert refresh is not None
        assert [(each.run_id, each.state) for each in refresh.segments] == [
            (run_id, LeaseState.STALE),
            ("run_none", LeaseState.UNKNOWN),
        ]


async def test_a_worker_without_fences_is_told_to_cancel_what_is_lost(house: Work) -> None:
    await started(house)
    async with a_stream(house, runtime="node-22") as worker:
        job = await worker.job()
        worker.says(jobAck=worker.of(job))
        await begun(house)
        worker.says(heartbeat={"workerId": "s1", "jobs": [{"jobId": job.job_id}, {"jobId": "job_none_1"}]})
        cancel = (await worker.hears()).cancel
        assert cancel is not None
        assert cancel.job_id == "job_none_1"


async def test_a_job_that_ended_without_a_word_is_tried_again_and_not_for_ever(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house, runtime="node-22") as worker:
        for _ in range(10):
            job = await worker.job()
            worker.says(jobAck=worker.of(job))
            await begun(house)
            for _ in range(2):
                worker.says(heartbeat={"workerId": "s1", "jobs": []})
        await eventually(status_of(house, run_id), "failed")
    error = (await house.run(run_id)).error
    assert error is not None
    assert error.code == "WORKER_LOST"


# Streams


async def test_a_worker_that_comes_back_goes_on_with_its_jobs(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as before:
        job = await before.job()
        before.says(jobAck=before.of(job))
        await begun(house)
        async with a_stream(house) as after:
            await before.ends()
            after.runs_step(job, "pay", 1)
            after.says(jobCompleted=after.of(job, output=2))
            await eventually(status_of(house, run_id), "completed")
    assert await steps_of(house, run_id) == [("pay", "completed", b"1")]


async def test_what_a_worker_said_before_it_left_is_heard(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as worker:
        job = await worker.job()
        worker.runs_step(job, "pay", 1)
        worker.says(jobCompleted=worker.of(job, output=2))
        worker.says_no_more()
        await worker.ends()
    assert (await house.run(run_id)).status.value == "completed"


async def test_a_streaming_worker_is_in_the_list_of_workers(house: Work) -> None:
    async with a_stream(house):
        (worker,) = (await house.call(jobs.list_workers)).workers
    assert (worker.id, worker.transport, worker.max_concurrent) == ("s1", "streaming", 10)


async def test_when_the_server_stops_workers_are_asked_to_finish_and_the_stream_ends(house: Work) -> None:
    run_id = await started(house)
    async with a_stream(house) as busy, a_stream(house, "idle") as idle:
        first = await asyncio.wait_for(busy.job(), 5)
        house.inside.let_go()
        for worker in (busy, idle):
            shutdown = (await worker.hears()).shutdown
            assert shutdown is not None
            assert shutdown.drain_timeout_ms == 5000
        await idle.ends()
        busy.says(jobCompleted=busy.of(first, output=None))
        await busy.ends()
    assert (await house.run(run_id)).status.value == "completed"


@pytest.mark.parametrize(
    "frame",
    [
        {"heartbeat": {"workerId": "s1"}},
        {},
        {"register": {"workerId": ""}},
        {"register": {"workerId": "a b", "functionIds": ["f"]}},
        {"register": {"workerId": "s1"}},
    ],
)
async def test_a_stream_that_does_not_begin_with_a_registration_is_refused(house: Work, frame: dict[str, Any]) -> None:
    stream = StreamWorker(house)
    stream.says(**frame)
    with pytest.raises((InvalidFrame, jobs.InvalidWorker)):
        await stream.hears()


async def test_a_frame_that_says_nothing_known_is_passed_over_and_a_second_registration_is_not(house: Work) -> None:
    async with a_stream(house) as worker:
        worker.says(somethingNew={"a": 1})
        await worker.hears_nothing()
    async with a_stream(house) as worker:
        worker.says(register={"workerId": "s1", "functionIds": ["charge"]})
        with pytest.raises(InvalidFrame, match="registered already"):
            await worker.hears()
