"""Time-outs that the handler gets, and the execution that runs the compensations of a run that failed elsewhere."""

from typing import Any

import msgspec
import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment, InvalidReport
from ironflow.features.runs.contract import RunStatus, StepStatus
from tests.support.work import LEASE_MS, Work, step
from tests.support.yields import invokes, waits_for

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


async def a_job(server: Work, *, acked: bool = True, **config: Any) -> Assignment:
    await server.a_function(**config)
    await server.a_function("settle", on=None)
    await server.a_worker()
    await server.emit(data={"total": 1})
    return await server.claim(acked=acked)


def answers(yielded: dict[str, Any]) -> dict[str, Any]:
    return {**yielded, "on_timeout": "answer"}


async def timed_out(server: Work, *, acked: bool = True) -> Assignment:
    """The execution after a wait of an hour has timed out."""
    job = await a_job(server)
    await server.report(job, "yielded", step(job, "reserve"), yields=[answers(waits_for(job, "paid", timeout="1h"))])
    server.move(HOUR_MS)
    await server.loop("timers")
    return await server.claim(acked=acked)


async def test_a_wait_that_times_out_is_an_answer_for_the_handler(server: Work):
    job = await timed_out(server)

    (wait,) = [each for each in job.completed_steps if each.name == "approval"]
    assert wait.status == "timed_out"
    assert wait.error is not None
    assert msgspec.json.decode(wait.error)["code"] == "WAIT_TIMEOUT"
    assert job.attempt == 1
    await server.report(job, "completed", output="late")
    assert (await server.run(job.run_id)).status is RunStatus.COMPLETED
    assert [row.status for row in await server.steps(job.run_id)] == [StepStatus.COMPLETED, StepStatus.TIMED_OUT]


async def test_an_existing_sdk_is_handed_no_row_of_a_wait_that_timed_out(server: Work):
    job = await timed_out(server, acked=False)

    assert [each.name for each in job.completed_steps] == ["reserve"]


async def test_the_handler_of_a_repeated_execution_gets_the_time_out_again(server: Work):
    job = await timed_out(server)
    await server.report(job, "yielded", yields=[answers(waits_for(job, "paid", timeout="1h"))])

    again = await server.claim()
    assert [each.status for each in again.completed_steps] == [None, "timed_out"]


async def test_without_the_sdk_asking_for_it_a_time_out_fails_the_run(server: Work):
    job = await a_job(server)
    await server.report(job, "yielded", yields=[waits_for(job, "paid", timeout="1h")])
    server.move(HOUR_MS)
    await server.loop("timers")

    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "WAIT_TIMEOUT")


async def test_a_time_out_while_the_run_is_paused_is_an_answer_after_the_resume(server: Work):
    job = await a_job(server)
    await server.report(job, "yielded", yields=[answers(waits_for(job, "paid", timeout="1h"))])
    await server.call(controls.pause, run_id=job.run_id)
    server.move(HOUR_MS)
    await server.loop("timers")
    assert await server.poll() == []

    await server.call(controls.resume, run_id=job.run_id)

    assert [each.status for each in (await server.claim()).completed_steps] == ["timed_out"]


async def test_an_invoke_that_times_out_is_marked_in_its_error(server: Work):
    job = await a_job(server)
    await server.report(job, "yielded", yields=[answers(invokes(job, "settle", invoke_timeout_ms=1_000))])
    server.move(1_000)
    await server.loop("timers")

    ((error, status),) = [(each.error, each.status) for each in (await server.claim()).completed_steps]
    assert status == "failed"
    assert error is not None
    assert msgspec.json.decode(error)["timed_out"] is True


async def test_what_a_time_out_shall_do_is_answer_or_absent(server: Work):
    job = await a_job(server)
    with pytest.raises(InvalidReport, match="on_timeout is 'explode'; it is answer, or absent"):
        await server.report(job, "yielded", yields=[{**waits_for(job, "paid"), "on_timeout": "explode"}])


async def a_failed_execution(server: Work, *, acked: bool = True, **config: Any) -> Assignment:
    """The job after the last attempt of a run with a finished step ran longer than its function's timeout."""
    config = {"compensation_timeout_ms": MINUTE_MS, "timeout_ms": 2_000, "retry": {"max_attempts": 1}, **config}
    job = await a_job(server, **config)
    await server.report(job, "progress", step(job, "reserve"))
    server.move(2_000)
    await server.loop("leases")
    jobs = await server.poll(acked=acked)
    return jobs[0] if jobs else job


async def test_a_run_whose_last_attempt_timed_out_has_an_execution_for_its_compensations(server: Work):
    job = await a_failed_execution(server)

    assert job.execution_seq == 2
    assert job.compensating is not None
    assert msgspec.json.decode(job.compensating)["code"] == "TIMEOUT"
    assert (await server.run(job.run_id)).status is RunStatus.RUNNING
    undone = step(job, "compensate:reserve", type="compensate", compensation_for="reserve")
    await server.report(job, "failed", undone, error={"message": "whatever", "code": "OTHER", "retryable": True})

    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "TIMEOUT")
    assert [row.name for row in await server.steps(job.run_id)] == ["reserve", "compensate:reserve"]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_whatever_that_execution_reports_the_run_has_failed(server: Work, outcome: str):
    job = await a_failed_execution(server)
    await server.report(job, outcome)

    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "TIMEOUT")


async def test_that_execution_waits_in_the_steps_of_compensations(server: Work):
    job = await a_failed_execution(server)
    await server.report(job, "yielded", yields=[answers(waits_for(job, "paid"))])
    await server.emit("paid", {"total": 1})

    job = await server.claim()
    assert job.compensating is not None
    assert [step.name for step in job.completed_steps] == ["reserve", "approval"]
    await server.report(job, "failed")
    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "TIMEOUT")


async def test_that_execution_ends_with_a_timeout_of_its_own(server: Work):
    job = await a_failed_execution(server)
    for _ in range(3):
        server.move(20_000)
        await server.heartbeat(job)
    await server.loop("leases")

    run = await server.run(job.run_id)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "TIMEOUT")
    assert await server.poll() == []


async def test_that_execution_is_handed_out_again_when_its_worker_dies(server: Work):
    job = await a_failed_execution(server, compensation_timeout_ms=HOUR_MS)
    server.move(LEASE_MS)
    await server.loop("leases")

    again = await server.claim()
    assert (again.run_id, again.execution_seq) == (job.run_id, 3)
    assert again.compensating == job.compensating


async def test_a_run_that_lost_too_many_workers_has_that_execution_too(server: Work):
    job = await a_job(server, compensation_timeout_ms=MINUTE_MS)
    await server.report(job, "progress", step(job, "reserve"))
    for _ in range(10):
        server.move(LEASE_MS)
        await server.loop("leases")
        await server.a_worker()
        job = await server.claim()

    assert job.compensating is not None
    assert msgspec.json.decode(job.compensating)["code"] == "WORKER_LOST"


async def test_an_existing_sdk_is_not_handed_that_execution(server: Work):
    await a_failed_execution(server, acked=False)

    assert await server.poll(acked=False) == []
    assert (await server.claim()).compensating is not None


@pytest.mark.parametrize(
    "config",
    [{"compensation_timeout_ms": 0}, {"retry": {"max_attempts": 1, "on_exhausted": "pause"}}],
    ids=["an existing SDK", "paused"],
)
async def test_without_the_capability_or_with_a_pause_there_is_no_such_execution(server: Work, config: dict[str, Any]):
    job = await a_failed_execution(server, **config)

    assert job.compensating is None
    assert (await server.run(job.run_id)).status in (RunStatus.FAILED, RunStatus.PAUSED)


async def test_a_run_without_a_step_has_nothing_to_undo(server: Work):
    job = await a_job(server, compensation_timeout_ms=MINUTE_MS, timeout_ms=2_000, retry={"max_attempts": 1})
    server.move(2_000)
    await server.loop("leases")

    assert (await server.run(job.run_id)).status is RunStatus.FAILED


async def test_a_failure_whose_worker_could_not_compensate_has_that_execution(server: Work):
    job = await a_job(server, compensation_timeout_ms=MINUTE_MS)
    error = {"message": "too large", "code": "OUTPUT_TOO_LARGE", "retryable": False}
    await server.report(job, "failed", step(job, "reserve"), error=error, uncompensated=True)

    job = await server.claim()
    assert job.compensating is not None


async def test_a_resumed_run_goes_forward_again(server: Work):
    job = await a_failed_execution(server)
    await server.report(job, "failed")

    await server.call(controls.resume, run_id=job.run_id)

    assert (await server.claim()).compensating is None
