"""Streams of workers that ask for batches: jobs that have begun, reports with verdicts. Source: ADR 0027."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from ironflow.base.call import Call
from ironflow.base.spelling import reader
from ironflow.base.time import FixedClock
from ironflow.features.jobs.loops import ReclaimLeases
from ironflow.features.runs import contract as runs
from ironflow.features.streaming_workers import contract
from ironflow.features.streaming_workers.contract import InvalidFrame, LeaseState, WorkerMessage
from tests.streaming_workers.streaming import a_stream, eventually
from tests.streaming_workers.test_stream import started, status_of, steps_of
from tests.support.server import open_server
from tests.support.work import Work


def about(job: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    """A report on the job, with its fence."""
    fence = {name: job[name] for name in ("job_id", "execution_seq", "lease_token")}
    return {**fence, "status": status, **more}


def a_step(job: dict[str, Any], name: str, output: Any) -> dict[str, Any]:
    return {"id": f"{job['run_id']}:{name}:0", "name": name, "status": "completed", "output": output}


async def test_jobs_come_begun_and_a_report_is_answered_when_it_is_kept(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, batches=True) as worker:
        (job,) = await worker.jobs()
        row = await server.db.read(lambda tx: tx.row("SELECT state FROM jobs"))
        assert row is not None
        assert row[0] == "held"
        assert (job["run_id"], job["event"]["data"]) == (run_id, {"total": 100})

        worker.reports(7, about(job, "completed", steps=[a_step(job, "pay", 1)], output={"ok": True}))

        assert await worker.verdicts(7) == {job["job_id"]: None}
        # No waiting: what is answered is in the database.
        assert (await server.run(run_id)).status.value == "completed"
        assert await steps_of(server, run_id) == [("pay", "completed", b"1")]


async def test_each_report_of_a_batch_has_its_own_verdict(server: Work) -> None:
    await server.a_function()
    emitted = [await server.emit(data={"n": number}) for number in range(3)]
    async with a_stream(server, batches=True) as worker:
        jobs: list[dict[str, Any]] = []
        while len(jobs) < 3:
            jobs += await worker.jobs()
        stale = about(jobs[1], "completed") | {"lease_token": "another's"}
        huge = about(jobs[2], "completed", output="x" * (5 * 1024 * 1024))
        worker.reports(1, about(jobs[0], "completed"), stale, huge)

        found = await worker.verdicts(1)

        assert found[jobs[0]["job_id"]] is None
        assert found[jobs[1]["job_id"]] == "STALE_EXECUTION"
        assert found[jobs[2]["job_id"]] == "OUTPUT_TOO_LARGE"
        # What was refused can still be reported differently.
        failed = about(jobs[2], "failed", error={"message": "too large", "code": "X", "retryable": False})
        worker.reports(2, failed)
        assert await worker.verdicts(2) == {jobs[2]["job_id"]: None}
    statuses = {job["run_id"]: (await server.run(job["run_id"])).status.value for job in jobs}
    assert statuses[jobs[0]["run_id"]] == "completed"
    assert statuses[jobs[2]["run_id"]] == "failed"
    assert len(emitted) == 3


async def test_a_checkpoint_is_kept_and_ends_what_could_be_seen_running(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, batches=True) as worker:
        (job,) = await worker.jobs()
        fence = {"jobId": job["job_id"], "executionSeq": str(job["execution_seq"]), "leaseToken": job["lease_token"]}
        step = a_step(job, "pay", 1)
        worker.send(stepStarted={**fence, "stepId": step["id"], "name": "pay", "stepType": "STEP_TYPE_INVOKE"})

        async def seen() -> list[tuple[str, str]]:
            return [(each.name, each.status.value) for each in (await server.call(runs.steps, run_id=run_id)).steps]

        await eventually(seen, [("pay", "running")])
        worker.reports(1, about(job, "progress", steps=[step]))
        assert await worker.verdicts(1) == {job["job_id"]: None}
        assert await seen() == [("pay", "completed")]
        # The job goes on; the worker has no place for another.
        worker.reports(2, about(job, "completed", step_offset=1))
        assert await worker.verdicts(2) == {job["job_id"]: None}
    assert (await server.run(run_id)).status.value == "completed"


async def test_a_worker_never_has_more_jobs_than_it_takes_and_gets_the_next_with_the_verdict(server: Work) -> None:
    await server.a_function()
    for number in range(3):
        await server.emit(data={"n": number})
    async with a_stream(server, jobs_max=2, batches=True) as worker:
        jobs: list[dict[str, Any]] = []
        while len(jobs) < 2:
            jobs += await worker.jobs()
        assert len(jobs) == 2
        await worker.receives_nothing()

        worker.reports(1, about(jobs[0], "completed"))

        assert await worker.verdicts(1) == {jobs[0]["job_id"]: None}
        (third,) = await worker.jobs()
        assert third["run_id"] not in {job["run_id"] for job in jobs}


@pytest.mark.parametrize(("batches", "at_once"), [(True, [2]), (False, [1, 1])])
async def test_frames_that_wait_together_are_sent_together_to_a_worker_with_batches(
    server: Work, batches: bool, at_once: list[int]
) -> None:
    await server.a_function()

    async def incoming() -> AsyncIterator[WorkerMessage]:
        register = {"workerId": "s1", "functionIds": ["charge"], "maxConcurrentJobs": 2, "batches": batches}
        yield reader(WorkerMessage).read(msgspec.json.encode({"register": register}))
        await asyncio.Event().wait()

    call = Call(environment="default", now=server.now)
    answers = server.inside.dispatch.batches(contract.connect, call, incoming())
    assert [each.registered is not None for each in await anext(answers)] == [True]
    job_ids: list[str] = []
    for _ in range(2):
        await server.emit()
        (message,) = await anext(answers)
        found = msgspec.json.decode(message.jobs.body)["jobs"] if batches else [{"job_id": message.job.job_id}]
        job_ids += [each["job_id"] for each in found]

    for job_id in job_ids:
        server.db.notify("job_revoked", f"default/s1/{job_id}", local=True)

    sent = [[each.cancel.job_id for each in await anext(answers)] for _ in at_once]
    assert [len(each) for each in sent] == at_once
    assert sorted(job_id for each in sent for job_id in each) == sorted(job_ids)
    await answers.aclose()


async def test_what_broke_off_on_its_way_to_the_worker_is_given_out_again_at_once(server: Work) -> None:
    await server.a_function()
    for number in range(2):
        await server.emit(data={"n": number})
    async with a_stream(server, batches=True) as before:
        jobs: list[dict[str, Any]] = []
        while len(jobs) < 2:
            jobs += await before.jobs()
        kept, unread = jobs
        async with a_stream(server, batches=True) as after:
            await before.ends()
            fence = {"executionSeq": str(kept["execution_seq"]), "leaseToken": kept["lease_token"]}
            held = {"jobId": kept["job_id"], "runId": kept["run_id"], **fence}
            after.send(heartbeat={"workerId": "s1", "activeJobs": 1, "jobs": [held]})
            again, refreshed = [], None
            while not again or refreshed is None:
                message = await after.receive()
                refreshed = message.lease_refresh or refreshed
                if message.jobs is not None:
                    again.append(bytes(message.jobs.body))
            assert [each.state for each in refreshed.segments] == [LeaseState.REFRESHED]
            assert unread["run_id"].encode() in again[0]
            assert kept["run_id"].encode() not in again[0]
            after.reports(1, about(kept, "completed"))
            assert await after.verdicts(1) == {kept["job_id"]: None}


async def test_a_job_that_was_lost_with_its_server_is_given_out_again_at_the_first_heartbeat(database_url: str) -> None:
    clock = FixedClock()
    async with open_server(Work, database_url, clock=clock) as server:
        run_id = await started(server)
        async with a_stream(server, batches=True, incarnation="a1", number=1) as worker:
            (held,) = await worker.jobs()
            await server.emit()
            (lost,) = await worker.jobs()
    # The server is another process; what the worker has not read went with the one before.
    async with (
        open_server(Work, database_url, clock=clock) as server,
        a_stream(server, batches=True, incarnation="a1", number=2) as worker,
    ):
        await worker.receives_nothing()

        worker.send(heartbeat={"workerId": "s1", "jobs": [{"jobId": held["job_id"], "runId": run_id}]})

        refreshed = (await worker.receive()).lease_refresh
        assert refreshed is not None
        assert [each.state for each in refreshed.segments] == [LeaseState.REFRESHED]
        (again,) = await worker.jobs()
        assert (again["run_id"], again["attempt"]) == (lost["run_id"], lost["attempt"])
        # Later heartbeats say nothing of jobs that are on their way.
        worker.send(heartbeat={"workerId": "s1", "jobs": []})
        await worker.receives_nothing()
        worker.reports(1, about(held, "completed"), about(again, "completed"), about(lost, "completed"))
        found = await worker.verdicts(1)
        assert found[held["job_id"]] is None
        assert found[again["job_id"]] is None
        assert found[lost["job_id"]] == "STALE_EXECUTION"


@pytest.mark.parametrize("batches", [True, False])
async def test_a_worker_that_is_about_to_leave_is_sent_nothing_more(server: Work, batches: bool) -> None:
    await server.a_function()
    first = (await server.emit(data={"n": 1})).run_ids[0]
    async with a_stream(server, batches=batches) as leaving:
        if batches:
            (job,) = await leaving.jobs()
            fence = {"jobId": job["job_id"], "executionSeq": str(job["execution_seq"])}
            fence["leaseToken"] = job["lease_token"]
        else:
            fence = leaving.of(await leaving.job())
        leaving.send(jobNack={**fence, "runId": first, "reason": "JOB_NACK_REASON_DRAINING"})
        async with a_stream(server, "other") as other:
            assert (await other.job()).run_id == first
            assert (await server.run(first)).attempt == 1
            await server.emit(data={"n": 2})
            second = await other.job()
            await leaving.receives_nothing()
            other.send(jobCompleted=other.of(second, output=None))
            await eventually(status_of(server, second.run_id), "completed")


@pytest.mark.parametrize("body", [{"reports": 7}, {"reports": [{"status": "completed"}]}, {}])
async def test_reports_that_cannot_be_understood_end_the_stream(server: Work, body: dict[str, Any]) -> None:
    async with a_stream(server, batches=True) as worker:
        worker.send(reports={"number": 1, "body": body})
        with pytest.raises(InvalidFrame):
            await worker.receive()


async def test_what_was_reported_before_the_worker_left_is_kept(server: Work) -> None:
    run_id = await started(server)
    async with a_stream(server, batches=True) as worker:
        (job,) = await worker.jobs()
        worker.reports(1, about(job, "completed"))
        worker.close_requests()
        async with asyncio.timeout(10):
            await worker.ends()
    assert (await server.run(run_id)).status.value == "completed"


@pytest.mark.parametrize("batches", [True, False])
async def test_a_worker_is_sent_a_cancel_at_once_and_its_slot_is_free(server: Work, batches: bool) -> None:
    run_id = await started(server)
    async with a_stream(server, jobs_max=1, batches=batches) as worker:
        first = (await worker.jobs())[0]["job_id"] if batches else (await worker.job()).job_id
        await server.call(runs.cancel, id=run_id)

        cancel = (await worker.receive()).cancel

        assert cancel is not None
        assert cancel.job_id == first
        await server.emit(data={"n": 2})
        second = (await worker.jobs())[0]["job_id"] if batches else (await worker.job()).job_id
        assert second != first


async def test_a_job_whose_function_timed_out_is_cancelled_at_once(server: Work) -> None:
    await server.a_function(timeout_ms=1_000)
    await server.emit(data={"n": 1})
    async with a_stream(server, batches=True) as worker:
        (job,) = await worker.jobs()
        server.move(1_000)
        await server.loop(ReclaimLeases.name)

        cancel = (await worker.receive()).cancel

        assert cancel is not None
        assert cancel.job_id == job["job_id"]
