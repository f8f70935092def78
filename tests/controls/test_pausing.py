"""Pausing and resuming: at rest, at a step boundary, while something is waited for; from where it stopped or a step."""

from typing import Any

import pytest

from ironflow.base.json import read_json
from ironflow.base.time import to_datetime
from ironflow.engine import commands
from ironflow.engine.errors import RunEnded, RunNotResumable, StaleExecution, StepNotFound
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunNotFound, RunStatus, StepStatus
from tests.engine.life import Life
from tests.support.work import LEASE_MS, Work, step
from tests.support.yields import sleeps, waits_for

HOUR_MS = 3_600_000
FINAL = {"message": "no", "code": "NO", "retryable": False}


async def pause(house: Work, run: Run) -> str:
    return (await house.call(controls.pause, run_id=run.id)).status


async def resume(house: Work, run: Run, **more: Any) -> Run:
    return await house.call(controls.resume, run_id=run.id, **more)


async def test_a_run_at_rest_pauses_at_once_and_is_given_to_nobody(house: Work):
    run = await house.a_run()

    assert await pause(house, run) == "paused"
    assert await pause(house, run) == "paused"

    held = await house.run(run.id)
    assert (held.status, held.pause_reason, held.pause_requested) == (RunStatus.PAUSED, "injection", False)
    assert await house.poll() == []
    await resume(house, run)
    assert (await house.claim()).run_id == run.id


async def test_a_running_run_pauses_at_its_next_checkpoint_with_the_step_kept(house: Work):
    run = await house.a_run()
    job = await house.claim()

    assert await pause(house, run) == "pause_requested"
    assert await pause(house, run) == "pause_requested"
    running = await house.run(run.id)
    assert (running.status, running.pause_requested) == (RunStatus.RUNNING, True)

    await house.report(job, "progress", step(job, "reserve", 1))

    held = await house.run(run.id)
    assert (held.status, held.pause_requested) == (RunStatus.PAUSED, False)
    with pytest.raises(StaleExecution):
        await house.report(job, "progress", step(job, "charge", 2))
    with pytest.raises(StaleExecution):
        await house.report(job, "completed", output=1)
    assert [each.name for each in await house.steps(run.id)] == ["reserve"]

    await resume(house, run)
    again = await house.claim()
    assert (again.attempt, [each.name for each in again.completed_steps]) == (1, ["reserve"])


async def test_a_run_that_reaches_its_end_first_ends(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await pause(house, run)

    await house.report(job, "completed", output=1)

    assert (await house.run(run.id)).status is RunStatus.COMPLETED
    with pytest.raises(RunEnded):
        await pause(house, run)


async def test_a_worker_that_falls_silent_is_a_boundary_too(house: Work):
    run = await house.a_run()
    await house.claim()
    await pause(house, run)
    house.move(LEASE_MS)
    await house.loop("leases")

    assert (await house.run(run.id)).status is RunStatus.PAUSED


async def test_a_job_that_comes_back_unbegun_is_a_boundary_too(house: Work):
    run = await house.a_run()
    await house.claim(acked=False)
    await pause(house, run)
    house.move(30_000)
    await house.loop("leases")

    assert (await house.run(run.id)).status is RunStatus.PAUSED


def test_a_job_that_is_given_back_by_a_poll_that_went_away_is_a_boundary_too():
    life = Life()
    fence = life.claim("w1", acked=False)
    life.do(commands.Pause())
    life.do(commands.GiveBack(fence.job_id))

    assert (life.run.status, life.run.pause_requested) == ("paused", False)


async def test_a_sleep_that_ends_while_its_run_is_paused_is_over_after_the_resume(house: Work):
    run = await house.a_run()
    await house.sleep(await house.claim(), until=house.now + HOUR_MS)
    await pause(house, run)
    house.move(HOUR_MS)
    await house.loop("timers")

    assert (await house.run(run.id)).status is RunStatus.PAUSED
    assert [each.status for each in await house.steps(run.id)] == [StepStatus.COMPLETED]

    await house.a_worker()
    await resume(house, run)
    assert [each.name for each in (await house.claim()).completed_steps] == ["nap"]


async def test_a_sleep_that_is_not_over_goes_on_after_the_resume_until_its_own_time(house: Work):
    run = await house.a_run()
    until = house.now + HOUR_MS
    await house.sleep(await house.claim(), until=until)
    await pause(house, run)
    house.move(HOUR_MS // 2)

    resumed = await resume(house, run)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: sleep", to_datetime(until))
    assert await house.poll() == []
    house.move(HOUR_MS // 2)
    await house.loop("timers")
    await house.a_worker()
    assert (await house.claim()).run_id == run.id


async def test_an_event_that_comes_while_its_run_is_paused_is_there_after_the_resume(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.approved"))
    await pause(house, run)
    await house.emit("order.approved")
    assert (await house.run(run.id)).status is RunStatus.PAUSED
    assert await house.poll() == []

    await resume(house, run)

    assert [each.name for each in (await house.claim()).completed_steps] == ["approval"]


async def test_a_wait_that_is_still_open_goes_on_after_the_resume(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="2h"))
    until = to_datetime(house.now + 2 * HOUR_MS)
    await pause(house, run)
    house.move(HOUR_MS)

    resumed = await resume(house, run)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: wait_event", until)
    await house.emit("order.approved")
    await house.a_worker()
    assert (await house.claim()).run_id == run.id


async def a_wait_timed_out_under_pause(house: Work) -> Run:
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="2h"))
    await pause(house, run)
    house.move(2 * HOUR_MS)
    await house.loop("timers")
    await house.a_worker()
    return await house.run(run.id)


async def test_a_wait_that_times_out_while_its_run_is_paused_fails_it_when_it_is_resumed(house: Work):
    run = await a_wait_timed_out_under_pause(house)
    assert run.status is RunStatus.PAUSED
    assert [step.status for step in await house.steps(run.id)] == [StepStatus.TIMED_OUT]
    await house.emit("order.approved")
    assert (await house.run(run.id)).status is RunStatus.PAUSED
    why = await house.call(controls.why, id=run.id)
    assert (why.reason, why.event) == ("paused", "order.approved")
    assert "its wait 'approval' timed out meanwhile" in why.message

    await resume(house, run)

    failed = await house.run(run.id)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "WAIT_TIMEOUT")
    assert await house.poll() == []


async def test_a_wait_that_timed_out_under_pause_can_be_given_an_event_before_the_resume(house: Work):
    run = await a_wait_timed_out_under_pause(house)
    (row,) = await house.steps(run.id)
    await house.call(controls.inject, run_id=run.id, step_id=row.id, new_output='{"data": "yes, by phone"}')

    await resume(house, run)

    job = await house.claim()
    assert [(each.name, read_json(each.output)) for each in job.completed_steps] == [
        ("approval", {"data": "yes, by phone"})
    ]
    await house.report(job, "completed")
    assert (await house.run(run.id)).status is RunStatus.COMPLETED


async def test_a_pause_that_is_asked_for_before_a_wait_holds_the_run_there(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await pause(house, run)
    await house.report(job, "yielded", yielded=sleeps(job, house.now + 1_000))
    assert (await house.run(run.id)).status is RunStatus.PAUSED
    house.move(1_000)
    await house.loop("timers")
    assert await house.poll() == []

    await resume(house, run)
    assert [each.name for each in (await house.claim()).completed_steps] == ["nap"]


async def test_a_run_paused_between_two_attempts_goes_on_with_the_next_one(house: Work):
    run = await house.a_run()
    await house.report(await house.claim(), "failed")
    await pause(house, run)
    house.move(HOUR_MS)
    await house.loop("timers")
    assert await house.poll() == []

    await resume(house, run)

    await house.a_worker()
    assert (await house.claim()).attempt == 2


async def test_a_failed_run_that_is_resumed_keeps_its_steps_and_has_a_fresh_budget(house: Work):
    run = await house.a_run(retry={"max_attempts": 2, "initial_delay_ms": 1})
    await house.report(job := await house.claim(), "failed", step(job, "reserve", 1))
    house.move(1)
    await house.loop("timers")
    await house.report(await house.claim(), "failed")
    assert (await house.run(run.id)).status is RunStatus.FAILED

    resumed = await resume(house, run)

    assert (resumed.status, resumed.attempt, resumed.error, resumed.ended_at) == (RunStatus.PENDING, 1, None, None)
    for attempt in (1, 2):
        job = await house.claim()
        assert (job.attempt, [each.name for each in job.completed_steps]) == (attempt, ["reserve"])
        await house.report(job, "failed")
        house.move(1)
        await house.loop("timers")
    assert (await house.run(run.id)).status is RunStatus.FAILED


async def test_a_run_held_with_its_attempts_used_up_has_a_fresh_budget_when_it_is_resumed(house: Work):
    run = await house.a_run(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await house.report(await house.claim(), "failed")
    assert (await house.run(run.id)).state == "paused: exhausted"

    assert (await resume(house, run)).attempt == 1
    await house.report(await house.claim(), "completed")
    assert (await house.run(run.id)).status is RunStatus.COMPLETED


async def test_a_pause_asked_for_before_the_last_attempt_failed_takes_nothing_from_the_fresh_budget(house: Work):
    run = await house.a_run(retry={"max_attempts": 2, "initial_delay_ms": 1, "on_exhausted": "pause"})
    await house.report(await house.claim(), "failed")
    house.move(1)
    await house.loop("timers")
    job = await house.claim()
    await pause(house, run)
    await house.report(job, "failed")
    held = await house.run(run.id)
    assert (held.state, held.pause_requested) == ("paused: exhausted", False)

    assert (await resume(house, run)).attempt == 1


async def test_a_resume_from_a_step_drops_it_and_all_later_ones(house: Work):
    run = await house.a_run()
    job = await house.claim()
    steps = [step(job, name, number) for number, name in enumerate(("reserve", "charge", "ship"))]
    await house.report(job, "failed", *steps, error=FINAL)
    first = (await house.steps(run.id))[1]

    for named in (first.id, first.step_id, first.name):
        resumed = await resume(house, run, from_step=named)
        assert resumed.status is RunStatus.PENDING
        assert [each.name for each in await house.steps(run.id)] == ["reserve"]
        job = await house.claim()
        assert [each.name for each in job.completed_steps] == ["reserve"]
        await house.report(job, "failed", step(job, "charge", 1), step(job, "ship", 2), error=FINAL)

    # A row id is never given again: what is kept elsewhere about the old row stays about that one.
    with pytest.raises(StepNotFound):
        await resume(house, run, from_step=first.id)


async def test_a_resume_from_a_step_forgets_what_a_later_step_waited_for(house: Work):
    run = await house.a_run()
    job = await house.claim()
    asked = waits_for(job, "order.approved", timeout="2h")
    await house.report(job, "yielded", step(job, "ask"), yielded=asked)
    await pause(house, run)

    await resume(house, run, from_step="ask")

    assert await house.steps(run.id) == []
    assert await house.db.read(lambda tx: tx.row("SELECT count(*) FROM waits")) == (0,)
    assert await house.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (0,)
    assert (await house.claim()).completed_steps == []


async def test_a_retry_runs_a_failed_run_again_from_the_beginning_or_from_a_step(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "failed", step(job, "reserve"), step(job, "charge"), error=FINAL)

    retried = await house.call(controls.retry, id=run.id, from_step="charge")
    assert (retried.status, retried.attempt, retried.id) == (RunStatus.PENDING, 1, run.id)
    job = await house.claim()
    assert [each.name for each in job.completed_steps] == ["reserve"]
    await house.report(job, "failed", error=FINAL)

    await house.call(controls.retry, id=run.id)
    job = await house.claim()
    assert (job.completed_steps, job.attempt, job.execution_seq) == ([], 1, 3)


async def test_runs_in_other_states_are_not_resumed_or_retried(house: Work):
    run = await house.a_run()
    for word, request in ((controls.resume, {"run_id": run.id}), (controls.retry, {"id": run.id})):
        with pytest.raises(RunNotResumable):
            await house.call(word, **request)
    await pause(house, run)
    with pytest.raises(RunNotResumable):
        await house.call(controls.retry, id=run.id)
    await house.call(runs.cancel, id=run.id)
    with pytest.raises(RunNotResumable):
        await resume(house, run)
    with pytest.raises(RunEnded):
        await pause(house, run)


async def test_a_run_of_another_environment_or_none_is_not_there(house: Work):
    run = await house.a_run()
    words = [
        (controls.pause, {"run_id": run.id}),
        (controls.resume, {"run_id": run.id}),
        (controls.retry, {"id": run.id}),
        (controls.paused_state, {"run_id": run.id}),
        (controls.inject, {"run_id": run.id, "step_id": "x", "new_output": 1}),
        (controls.patch, {"step_id": f"{run.id}:x:0", "output": 1}),
        (controls.why, {"id": run.id}),
    ]
    for operation, request in words:
        with pytest.raises(RunNotFound):
            await house.call(operation, env="staging", **request)


async def test_a_late_repetition_of_a_report_that_a_resume_followed_changes_nothing(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "failed", error=FINAL)
    await resume(house, run)

    await house.report(job, "failed", error=FINAL)

    assert (await house.run(run.id)).status is RunStatus.PENDING
