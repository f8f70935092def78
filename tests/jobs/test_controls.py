"""What the answer to a report asks of the worker: go on, pause, paused, cancelled, lost."""

import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment, Verdict
from ironflow.features.runs import contract as runs
from tests.support.work import Work, step


async def report(server: Work, job: Assignment, status: str = "progress", **more: object) -> Verdict:
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    update = {"job_id": job.job_id, "status": status, **fence, **more}
    (verdict,) = (await server.ask(jobs.report, {"worker": "w1", "reports": [update]})).results
    return verdict


async def test_an_execution_that_goes_on_or_has_ended_is_asked_for_nothing(server: Work):
    await server.a_run()
    job = await server.claim()

    assert await report(server, job) == Verdict(job_id=job.job_id, status="ok")
    assert await report(server, job, "completed") == Verdict(job_id=job.job_id, status="ok")


async def test_a_pause_waits_for_running_bodies_and_then_ends_the_execution(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.call(controls.pause, run_id=run.id)

    verdict = await report(server, job, steps=[step(job, "a", 1)], running=1)
    assert (verdict.status, verdict.control) == ("ok", "pause")
    assert (await server.run(run.id)).status.value == "running"

    verdict = await report(server, job, steps=[step(job, "b", 2)])
    assert (verdict.status, verdict.control) == ("ok", "paused")
    assert [each.name for each in await server.steps(run.id)] == ["a", "b"]

    verdict = await report(server, job, steps=[step(job, "c", 3)])
    assert (verdict.error, verdict.control) == ("STALE_EXECUTION", "paused")


@pytest.mark.parametrize("ended", ["cancelled", "lost"])
async def test_the_answer_names_why_an_execution_is_over(server: Work, ended: str):
    run = await server.a_run()
    job = await server.claim()
    if ended == "cancelled":
        await server.call(runs.cancel, id=run.id)
    else:
        server.move(10 * 60_000)
        await server.loop("leases")

    verdict = await report(server, job, steps=[step(job, "a", 1)])

    assert (verdict.error, verdict.control) == ("STALE_EXECUTION", ended)
    assert await server.steps(run.id) == []


async def test_workers_of_ours_are_handed_failures_that_are_kept_and_others_are_not(server: Work):
    run = await server.a_run()
    await server.a_worker()
    job = await server.claim()
    failure = {"message": "declined", "retryable": False}
    failed = {"id": f"{run.id}:charge:0", "status": "failed", "error": failure, "keeps_failure": True}
    await server.report(job, "progress", failed)
    await server.sleep(job, until=server.now + 1)
    server.move(1)
    await server.loop("timers")

    theirs = await server.claim(acked=False)
    await server.ack(theirs)
    assert [(each.name, each.status) for each in theirs.completed_steps] == [("nap", None)]
    await server.sleep(theirs, until=server.now + 1, name="nap again")
    server.move(1)
    await server.loop("timers")

    (ours,) = (await server.call(jobs.poll, worker="w1", acked=True)).jobs
    assert [(each.name, each.status) for each in ours.completed_steps] == [
        ("charge", "failed"),
        ("nap", None),
        ("nap again", None),
    ]
