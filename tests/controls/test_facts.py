"""What is kept of a recorded run is all that happened to it: its row is the fold of its facts, whatever people do."""

from ironflow.features.controls import contract as controls
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from tests.support.facts import check_fold
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for

RECORDED = {"recording": True, "concurrency": {"limit": 1}}
FINAL = {"message": "no", "retryable": False}


def _update(job: Assignment, status: str, **more: object) -> dict[str, object]:
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    return {"job": job.job_id, "status": status, **fence, **more}


async def test_two_reports_on_one_run_in_one_commit_are_both_kept(server: Work):
    await server.a_run(recording=True)
    job = await server.claim()
    updates = [_update(job, "progress", steps=[step(job, "reserve")]), _update(job, "completed", output=1)]

    verdicts = await server.call(jobs.report, worker="w1", reports=updates)

    assert [each.status for each in verdicts.results] == ["ok", "ok"]
    assert await check_fold(server)


async def test_a_run_through_waits_children_and_everybodys_hands(server: Work):
    await server.a_function("settle", on=None, recording=True)
    run = await server.a_run(**RECORDED)
    await server.emit()
    await server.a_worker(function_ids=("charge", "settle"))
    assert await check_fold(server)

    job = await server.claim()
    await server.report(job, "yielded", step(job, "reserve"), yielded=sleeps(job, server.now + 1_000))
    await server.call(runs.cancel, id=(await server.claim()).run_id)
    server.move(1_000)
    await server.loop("timers")
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "go"))
    await server.emit("go")
    assert await check_fold(server)

    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle"))
    await server.call(controls.pause, run_id=run.id)
    child = await server.claim()
    await server.report(child, "failed", error=FINAL)
    await server.call(controls.inject, run_id=run.id, step_id="settle", new_output=1)
    await server.call(controls.resume, run_id=run.id)
    assert await check_fold(server)

    job = await server.claim()
    await server.report(job, "failed", step(job, "ship"), error=FINAL)
    await server.call(controls.patch, step_id=f"{run.id}:ship:0", output=2)
    await server.call(controls.resume, run_id=run.id, from_step="approval")
    await server.call(controls.pause, run_id=run.id)
    await server.call(controls.resume, run_id=run.id)
    await server.report(await server.claim(), "completed")
    assert await check_fold(server)


async def test_a_run_that_is_reached_by_two_events_of_one_commit_is_kept_whole(server: Work):
    cancel_on = [{"event": "order.cancelled", "match": "id"}]
    await server.a_function(recording=True, cancel_on=cancel_on)
    await server.a_worker()
    await server.emit(data={"id": 7})
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.*"))

    await server.emit("order.cancelled", data={"id": 7})

    assert await check_fold(server)
