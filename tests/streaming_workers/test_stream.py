"""A worker's stream, from `register` to its end. Source: protocol/worker-stream.md."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs import contract as runs
from ironflow.features.streaming_workers.contract import InvalidFrame, LeaseState
from tests.streaming_workers.streaming import StreamWorker, a_stream, eventually
from tests.support.work import LEASE_MS, RESERVATION_MS, Work


async def started(server: Work, **config: Any) -> str:
    """A run of `charge` that waits for a worker; its id."""
    await server.a_function(**config)
    (run_id,) = (await server.emit(data={"total": 100})).run_ids
    return run_id


def status_of(server: Work, run_id: str) -> Any:
    async def look() -> str:
        return (await server.run(run_id)).status.value

    return look


async def begun(server: Work) -> None:
    """Waits until the one job there is has begun."""

    async def state() -> Any:
        row = await server.db.read(lambda tx: tx.row("SELECT state FROM jobs"))
        return row and row[0]

    await eventually(state, "held")


async def steps_of(server: Work, run_id: str) -> list[tuple[str, str, Any]]:
    found = (await server.call(runs.steps, run_id=run_id)).steps
    return [(each.name, each.status.value, None if each.output is None else bytes(each.output)) for each in found]


# Jobs


async def test_a_stream_gets_no_jobs_of_push_functions(server: Work) -> None:
    await started(server, endpoint_url="https://example.com/hook")
    async with a_stream(server, functions=("charge", "ship")) as worker:
        await server.a_function("ship")
        await server.emit()
        assert (await worker.job()).function_id == "ship"


async def test_a_job_comes_with_its_event_its_memo_and_its_fence(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        assert (job.run_id, job.function_id, job.attempt, job.max_attempts) == (run_id, "charge", 1, 3)
        assert (job.event.name, bytes(job.event.data)) == ("order.placed", b'{"total":100}')
        assert (job.execution_seq, bool(job.lease_token), job.completed_steps) == (1, True, [])
        worker.runs_step(job, "pay", {"n": 12345678901234567890})
        until = to_datetime(server.now) + timedelta(minutes=10)
        worker.send(stepYielded=worker.of(job, stepId=f"{run_id}:nap:0", sleep={"until": until.isoformat()}))
        await eventually(status_of(server, run_id), "waiting")

        server.move(10 * 60_000)
        await server.loop("timers")

        again = await worker.job()
        assert (again.run_id, again.execution_seq) == (run_id, 2)
        assert [(each.name, each.output_json) for each in again.completed_steps] == [
            ("pay", b'{"n":12345678901234567890}'),
            ("nap", b"null"),
        ]
        worker.send(jobCompleted=worker.of(again, output={"done": True}))
        await eventually(status_of(server, run_id), "completed")
    assert await steps_of(server, run_id) == [
        ("pay", "completed", b'{"n":12345678901234567890}'),
        ("nap", "completed", b"null"),
    ]


async def test_a_worker_never_has_more_jobs_than_it_takes(server: Work) -> None:
    await server.a_function()
    for _ in range(5):
        await server.emit()
    async with a_stream(server, jobs_max=2) as worker:
        first, second = await worker.job(), await worker.job()
        await worker.receives_nothing()
        worker.send(jobCompleted=worker.of(first, output=None))
        third = await worker.job()
        await worker.receives_nothing()
        assert len({first.job_id, second.job_id, third.job_id}) == 3


async def test_a_job_that_the_worker_refuses_goes_back_and_no_attempt_is_used(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, "full") as worker, a_stream(server, "free", functions=("other",)) as other:
        job = await worker.job()
        worker.send(jobNack=worker.of(job, runId=run_id, reason="JOB_NACK_REASON_AT_CAPACITY"))
        again = await worker.job()
        assert (again.run_id, again.attempt, again.execution_seq) == (run_id, 1, 2)
        await other.receives_nothing()


async def test_a_job_that_is_not_acknowledged_goes_back_after_its_reservation(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        await worker.job()
        server.move(RESERVATION_MS)
        await server.loop("leases")
        assert (await worker.receive()).cancel is not None
        assert (await worker.job()).run_id == run_id


async def test_an_ack_begins_the_lease(server: Work) -> None:
    await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)
        server.move(RESERVATION_MS)
        await server.loop("leases")
        await worker.receives_nothing()


# Steps and ends


async def test_steps_are_recorded_as_they_end_and_those_that_run_can_be_seen(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.runs_step(job, "pay", 1)
        worker.send(stepStarted=worker.of(job, stepId=f"{run_id}:mail:0", name="mail"))

        await eventually(lambda: steps_of(server, run_id), [("pay", "completed", b"1"), ("mail", "running", None)])
        worker.send(stepFailed=worker.of(job, stepId=f"{run_id}:mail:0", error={"message": "no"}))
        await eventually(lambda: steps_of(server, run_id), [("pay", "completed", b"1"), ("mail", "failed", None)])
        worker.send(stepStarted=worker.of(job, stepId=f"{run_id}:mail:0", name="mail"))
        worker.send(stepCompleted=worker.of(job, stepId=f"{run_id}:mail:0", output="sent"))
        worker.send(jobCompleted=worker.of(job, output=[1]))
        await eventually(status_of(server, run_id), "completed")
    assert await steps_of(server, run_id) == [("pay", "completed", b"1"), ("mail", "completed", b'"sent"')]
    assert bytes((await server.run(run_id)).output or b"") == b"[1]"


async def test_a_failed_job_is_tried_again_by_policy_and_compensations_are_recorded(server: Work) -> None:
    run_id = await started(server, retry={"maxAttempts": 2, "initialDelayMs": 1000})
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.send(jobFailed=worker.of(job, error={"message": "busy", "code": "X", "retryable": True}))
        await eventually(status_of(server, run_id), "pending")
        server.move(1000)
        await server.loop("timers")
        again = await worker.job()
        assert again.attempt == 2
        undo = {
            "id": f"{run_id}:compensate\\:pay:0",
            "name": "compensate:pay",
            "type": "STEP_TYPE_COMPENSATE",
            "status": "STEP_STATUS_COMPLETED",
            "compensationFor": "pay",
        }
        worker.send(jobFailed=worker.of(again, error={"message": "broken"}, steps=[undo]))
        await eventually(status_of(server, run_id), "failed")
    assert await steps_of(server, run_id) == [("compensate:pay", "completed", b"null")]
    assert (await server.run(run_id)).error == runs.WireError(message="broken")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ({"waitEvent": {"eventName": "approved", "timeout": "2026-01-02T00:00:00Z"}}, "wait_for_event"),
        ({"invokeFunction": {"functionId": "child", "inputJson": "eyJhIjoxfQ=="}}, "invoke_function"),
    ],
)
async def test_a_job_can_yield_for_an_event_or_another_function(
    server: Work, reason: dict[str, Any], kind: str
) -> None:
    await server.a_function("child", on=None)
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.send(stepYielded=worker.of(job, stepId=f"{run_id}:it:0", **reason))
        await eventually(status_of(server, run_id), "waiting")
    (step,) = (await server.call(runs.steps, run_id=run_id)).steps
    assert (step.name, step.step_type.value) == ("it", kind)
    if kind == "wait_for_event":
        assert step.wait_timeout == to_datetime(server.now) + timedelta(days=1)
    else:
        child = await server.run(step.child_run_id or "")
        assert (child.function_id, bytes(child.input or b"")) == ("child", b'{"a":1}')


async def test_many_reports_of_many_jobs_are_each_applied_in_order(server: Work) -> None:
    await server.a_function()
    run_ids = [(await server.emit()).run_ids[0] for _ in range(30)]
    async with a_stream(server, jobs_max=30) as worker:
        for _ in run_ids:
            job = await worker.job()
            for name in ("a", "b", "c"):
                worker.runs_step(job, name, name)
                if name == "b":
                    await asyncio.sleep(0)
            worker.send(jobCompleted=worker.of(job, output="done"))
        for run_id in run_ids:
            await eventually(status_of(server, run_id), "completed")
            assert [name for name, _, _ in await steps_of(server, run_id)] == ["a", "b", "c"]


async def test_an_output_that_cannot_be_kept_fails_the_run_with_an_error(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.send(jobCompleted=worker.of(job, output="x" * 5_000_000))
        await eventually(status_of(server, run_id), "failed")
    error = (await server.run(run_id)).error
    assert error is not None
    assert error.code == "OUTPUT_TOO_LARGE"


# Leases and fences


async def test_a_report_of_an_old_execution_changes_nothing_and_its_job_is_cancelled(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, "old") as old:
        job = await old.job()
        old.send(jobAck=old.of(job))
        await begun(server)
        server.move(LEASE_MS)
        await server.loop("leases")
        cancel = (await old.receive()).cancel
        assert cancel is not None
        assert cancel.job_id == job.job_id
        again = await old.job()
        assert again.execution_seq == 2
        old.send(stepCompleted=old.of(job, stepId=f"{run_id}:pay:0", output=1))
    assert await steps_of(server, run_id) == []


async def test_a_heartbeat_with_fences_renews_leases_and_returns_their_states(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)
        server.move(LEASE_MS - 1)
        listed = [
            worker.of(job, runId=run_id),
            {"jobId": f"job_{run_id.removeprefix('run_')}_9", "runId": run_id, "executionSeq": "9"},
            {"jobId": "job_none_1", "runId": "run_none", "executionSeq": "1"},
        ]
        worker.send(heartbeat={"workerId": "s1", "activeJobs": 1, "jobs": listed[:1]})
        refresh = (await worker.receive()).lease_refresh
        assert refresh is not None
        assert [(each.run_id, each.state) for each in refresh.segments] == [(run_id, LeaseState.REFRESHED)]
        server.move(LEASE_MS - 1)
        await server.loop("leases")
        assert (await server.run(run_id)).status.value == "running"
        worker.send(heartbeat={"workerId": "s1", "jobs": listed[1:]})
        refresh = (await worker.receive()).lease_refresh
        assert refresh is not None
        assert [(each.run_id, each.state) for each in refresh.segments] == [
            (run_id, LeaseState.STALE),
            ("run_none", LeaseState.UNKNOWN),
        ]


async def test_a_worker_without_fences_gets_a_cancel_frame_for_lost_jobs(server: Work) -> None:
    await started(server)
    async with a_stream(server, runtime="node-22") as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)
        worker.send(heartbeat={"workerId": "s1", "jobs": [{"jobId": job.job_id}, {"jobId": "job_none_1"}]})
        cancel = (await worker.receive()).cancel
        assert cancel is not None
        assert cancel.job_id == "job_none_1"


async def test_a_job_that_ends_without_a_report_is_tried_again_up_to_the_limit(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, runtime="node-22") as worker:
        for _ in range(10):
            job = await worker.job()
            worker.send(jobAck=worker.of(job))
            await begun(server)
            for _ in range(2):
                worker.send(heartbeat={"workerId": "s1", "jobs": []})
        await eventually(status_of(server, run_id), "failed")
    error = (await server.run(run_id)).error
    assert error is not None
    assert error.code == "WORKER_LOST"


async def test_a_cancelled_run_stops_its_quiet_execution_at_once(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, runtime="go") as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)
        await server.call(runs.cancel, id=run_id)
        cancel = (await worker.receive()).cancel
        assert cancel is not None
        assert cancel.job_id == job.job_id


async def test_only_python_workers_are_sent_the_state_of_leases(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, runtime="go1.24") as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)
        worker.send(heartbeat={"workerId": "s1", "jobs": [{"jobId": job.job_id}]})
        worker.send(jobCompleted=worker.of(job, output=1))
        await eventually(status_of(server, run_id), "completed")
        await worker.receives_nothing()


# Streams


async def test_a_go_worker_that_leaves_gives_its_jobs_back_at_once(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, runtime="go") as first:
        job = await first.job()
        first.send(jobAck=first.of(job))
        await begun(server)
        async with a_stream(server, "s2", runtime="go") as idle:
            await first.leave()
            again = await idle.job()
    assert (again.run_id, again.attempt) == (run_id, 1)


async def test_jobs_of_a_go_worker_go_back_also_when_the_end_of_its_stream_is_cancelled_twice(server: Work) -> None:
    """A job that was not acknowledged yet would stay reserved for 30 s otherwise."""
    run_id = await started(server)
    async with a_stream(server, runtime="go") as first:
        assert (await first.job()).run_id == run_id
        await first.is_cut_twice()
        async with a_stream(server, "s2", runtime="go") as idle:
            again = await idle.job()
    assert (again.run_id, again.attempt) == (run_id, 1)


@pytest.mark.parametrize("runtime", ["go", "python-3.12"])
async def test_jobs_of_go_workers_go_back_when_the_process_of_their_streams_has_ended(
    server: Work, runtime: str
) -> None:
    """Other workers go on with theirs, and reconnect."""
    await started(server)
    async with a_stream(server, runtime=runtime) as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await begun(server)

        await server.part(Jobs).take_over(server.inside.parts.node, server.now)

        if runtime != "go":
            await worker.receives_nothing()
            return
        # The stream of this test is there: it has capacity for the job that went back.
        frames = [await worker.receive(), await worker.receive()]
        assert [each.cancel.job_id for each in frames if each.cancel] == [job.job_id]
        assert [each.job.execution_seq for each in frames if each.job] == [job.execution_seq + 1]


async def test_frames_that_arrive_before_the_end_are_applied_also_after_a_nack(server: Work) -> None:
    await server.a_function()
    first = (await server.emit(data=1)).run_ids[0]
    second = (await server.emit(data=2)).run_ids[0]
    async with a_stream(server, runtime="node-22") as worker:
        jobs_of = {(job := await worker.job()).run_id: job for _ in range(2)}
        worker.send(jobNack=worker.of(jobs_of[first], runId=first, reason="JOB_NACK_REASON_DRAINING"))
        worker.send(jobCompleted=worker.of(jobs_of[second], output=2))
        await worker.leave()
    assert (await server.run(second)).status.value == "completed"
    states = await server.db.read(lambda tx: tx.rows("SELECT run_id, state FROM jobs"))
    assert [tuple(row) for row in states] == [(first, "ready")]


async def test_a_worker_that_comes_back_goes_on_with_its_jobs(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as before:
        job = await before.job()
        before.send(jobAck=before.of(job))
        await begun(server)
        async with a_stream(server) as after:
            await before.ends()
            after.runs_step(job, "pay", 1)
            after.send(jobCompleted=after.of(job, output=2))
            await eventually(status_of(server, run_id), "completed")
    assert await steps_of(server, run_id) == [("pay", "completed", b"1")]


async def test_reports_sent_before_a_worker_left_are_applied(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.runs_step(job, "pay", 1)
        worker.send(jobCompleted=worker.of(job, output=2))
        worker.close_requests()
        await worker.ends()
    assert (await server.run(run_id)).status.value == "completed"


async def test_a_streaming_worker_is_in_the_list_of_workers(server: Work) -> None:
    async with a_stream(server):
        (worker,) = (await server.call(jobs.list_workers)).workers
    assert (worker.id, worker.transport, worker.max_concurrent) == ("s1", "streaming", 10)


async def test_when_the_server_stops_workers_are_asked_to_finish_and_the_stream_ends(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server) as busy, a_stream(server, "idle") as idle:
        first = await asyncio.wait_for(busy.job(), 5)
        server.inside.drain()
        for worker in (busy, idle):
            shutdown = (await worker.receive()).shutdown
            assert shutdown is not None
            assert shutdown.drain_timeout_ms == server.inside.settings.shutdown_ms * 2 // 5
        await idle.ends()
        busy.send(jobCompleted=busy.of(first, output=None))
        await busy.ends()
    assert (await server.run(run_id)).status.value == "completed"


@pytest.mark.parametrize(
    "frame",
    [
        {"heartbeat": {"workerId": "s1"}},
        {},
        {"register": {"workerId": ""}},
        {"register": {"workerId": "a b", "functionIds": ["f"]}},
    ],
)
async def test_a_stream_that_does_not_begin_with_a_registration_is_refused(server: Work, frame: dict[str, Any]) -> None:
    stream = StreamWorker(server)
    stream.send(**frame)
    with pytest.raises((InvalidFrame, jobs.InvalidWorker)):
        await stream.receive()


async def test_an_unknown_frame_is_ignored_and_a_second_registration_is_refused(server: Work) -> None:
    async with a_stream(server) as worker:
        worker.send(somethingNew={"a": 1})
        await worker.receives_nothing()
    async with a_stream(server) as worker:
        worker.send(register={"workerId": "s1", "functionIds": ["charge"]})
        with pytest.raises(InvalidFrame, match="registered already"):
            await worker.receive()
