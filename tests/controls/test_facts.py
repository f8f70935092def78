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


async def test_two_words_on_one_run_in_one_commit_are_both_kept(house: Work):
    await house.a_run(recording=True)
    job = await house.claim()
    told = [_update(job, "progress", steps=[step(job, "reserve")]), _update(job, "completed", output=1)]

    verdicts = await house.call(jobs.report, worker="w1", reports=told)

    assert [each.status for each in verdicts.results] == ["ok", "ok"]
    assert await check_fold(house)


async def test_a_run_through_waits_children_and_everybodys_hands(house: Work):
    await house.a_function("settle", on=None, recording=True)
    run = await house.a_run(**RECORDED)
    await house.emit()
    await house.a_worker(function_ids=("charge", "settle"))
    assert await check_fold(house)

    job = await house.claim()
    await house.report(job, "yielded", step(job, "reserve"), yielded=sleeps(job, house.now + 1_000))
    await house.call(runs.cancel, id=(await house.claim()).run_id)
    house.move(1_000)
    await house.loop("timers")
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "go"))
    await house.emit("go")
    assert await check_fold(house)

    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "settle"))
    await house.call(controls.pause, run_id=run.id)
    child = await house.claim()
    await house.report(child, "failed", error=FINAL)
    await house.call(controls.inject, run_id=run.id, step_id="settle", new_output=1)
    await house.call(controls.resume, run_id=run.id)
    assert await check_fold(house)

    job = await house.claim()
    await house.report(job, "failed", step(job, "ship"), error=FINAL)
    await house.call(controls.patch, step_id=f"{run.id}:ship:0", output=2)
    await house.call(controls.resume, run_id=run.id, from_step="approval")
    await house.call(controls.pause, run_id=run.id)
    await house.call(controls.resume, run_id=run.id)
    await house.report(await house.claim(), "completed")
    assert await check_fold(house)


async def test_a_run_that_is_reached_by_two_events_of_one_commit_is_kept_whole(house: Work):
    cancel_on = [{"event": "order.cancelled", "match": "id"}]
    await house.a_function(recording=True, cancel_on=cancel_on)
    await house.a_worker()
    await house.emit(data={"id": 7})
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.*"))

    await house.emit("order.cancelled", data={"id": 7})

    assert await check_fold(house)
