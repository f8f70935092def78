"""Pausing and resuming: at rest, at a step boundary, while something is waited for; from where it stopped or a step."""

from typing import Any

import pytest

from ironflow.base.json import read_json
from ironflow.base.time import to_datetime
from ironflow.engine import commands, facts
from ironflow.engine.errors import RunEnded, RunNotResumable, StaleExecution, StepNotFound
from ironflow.engine.evolve import evolve
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunNotFound, RunStatus, StepStatus
from tests.engine.driver import RunDriver
from tests.support.work import LEASE_MS, Work, step
from tests.support.yields import sleeps, waits_for

HOUR_MS = 3_600_000
FINAL = {"message": "no", "code": "NO", "retryable": False}


async def pause(server: Work, run: Run) -> str:
    return (await server.call(controls.pause, run_id=run.id)).status


async def resume(server: Work, run: Run, **more: Any) -> Run:
    return await server.call(controls.resume, run_id=run.id, **more)


async def test_a_run_without_a_lease_pauses_at_once_and_is_not_handed_out(server: Work):
    run = await server.a_run()

    assert await pause(server, run) == "paused"
    assert await pause(server, run) == "paused"

    held = await server.run(run.id)
    assert (held.status, held.pause_reason, held.pause_requested) == (RunStatus.PAUSED, "injection", False)
    assert await server.poll() == []
    await resume(server, run)
    assert (await server.claim()).run_id == run.id


async def test_the_answer_of_a_second_pause_is_that_it_changes_nothing(server: Work):
    resting = await server.a_run()
    assert [(await server.call(controls.pause, run_id=resting.id)).changed for _ in range(2)] == [True, False]
    (running,) = (await server.emit()).run_ids
    await server.claim()
    answers = [await server.call(controls.pause, run_id=running) for _ in range(2)]
    assert [(each.status, each.changed) for each in answers] == [("pause_requested", True), ("pause_requested", False)]


async def test_the_reason_of_a_pause_is_with_the_run_until_it_goes_on(server: Work):
    run = await server.a_run()
    await server.call(controls.pause, run_id=run.id, reason="rain")
    assert (await server.run(run.id)).pause_note == "rain"
    why = await server.call(controls.why, id=run.id)
    assert why.message == "It was paused by hand (rain). Resume it to let it go on."

    assert (await resume(server, run, reason="the sun is back")).pause_note is None


async def test_the_reason_of_a_requested_pause_is_kept_over_the_step_boundary(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.call(controls.pause, run_id=run.id, reason="rain")
    assert (await server.run(run.id)).pause_note == "rain"
    await server.report(job, "progress", steps=[step(job, "one", 1)])

    held = await server.run(run.id)
    assert (held.status, held.pause_note) == (RunStatus.PAUSED, "rain")


def test_a_withdrawn_pause_and_an_ended_run_have_no_reason():
    driver = RunDriver()
    fence = driver.claim("w1")
    driver.do(commands.Pause("ada", "rain"))
    assert (driver.run.paused_by, driver.run.pause_note) == ("ada", "rain")
    driver.do(commands.Resume(note="no rain"))
    assert (driver.run.paused_by, driver.run.pause_note) == (None, None)
    driver.do(commands.Pause("ada", "rain"))
    driver.report(fence, "progress")
    driver.do(commands.Cancel("flood"))
    assert (driver.run.paused_by, driver.run.pause_note) == (None, None)


def test_a_run_that_is_undone_has_no_reason_of_a_pause():
    driver = RunDriver()
    driver.claim("w1")
    driver.do(commands.Pause("ada", "rain"))
    requested = evolve(driver.run, facts.CancelRequested(at=driver.now, cause="flood"))
    undone = evolve(driver.run, facts.CompensationStarted(at=driver.now, error="{}", report="", retry_at=None))

    for run in (requested, undone):
        assert (run.pause_requested, run.paused_by, run.pause_note) == (False, None, None)


async def test_a_running_run_pauses_at_its_next_checkpoint_with_the_step_kept(server: Work):
    run = await server.a_run()
    job = await server.claim()

    assert await pause(server, run) == "pause_requested"
    assert await pause(server, run) == "pause_requested"
    running = await server.run(run.id)
    assert (running.status, running.pause_requested) == (RunStatus.RUNNING, True)

    await server.report(job, "progress", step(job, "reserve", 1))

    held = await server.run(run.id)
    assert (held.status, held.pause_requested) == (RunStatus.PAUSED, False)
    with pytest.raises(StaleExecution):
        await server.report(job, "progress", step(job, "charge", 2))
    with pytest.raises(StaleExecution):
        await server.report(job, "completed", output=1)
    assert [each.name for each in await server.steps(run.id)] == ["reserve"]

    await resume(server, run)
    again = await server.claim()
    assert (again.attempt, [each.name for each in again.completed_steps]) == (1, ["reserve"])


async def test_a_resume_before_the_checkpoint_withdraws_the_pause(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    await pause(server, run)

    assert (await resume(server, run)).status is RunStatus.RUNNING

    found = await server.run(run.id)
    assert (found.status, found.pause_requested) == (RunStatus.RUNNING, False)
    await server.report(job, "progress", step(job, "reserve", 1))
    assert (await server.run(run.id)).status is RunStatus.RUNNING
    with pytest.raises(RunNotResumable):
        await resume(server, run)


async def test_a_resume_from_a_step_does_not_withdraw_a_pause(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 1))
    await pause(server, run)

    with pytest.raises(RunNotResumable):
        await resume(server, run, from_step="reserve")
    assert (await server.run(run.id)).pause_requested


async def test_a_run_that_reaches_its_end_first_ends(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await pause(server, run)

    await server.report(job, "completed", output=1)

    assert (await server.run(run.id)).status is RunStatus.COMPLETED
    with pytest.raises(RunEnded):
        await pause(server, run)


async def test_a_worker_that_falls_silent_is_a_boundary_too(server: Work):
    run = await server.a_run()
    await server.claim()
    await pause(server, run)
    server.move(LEASE_MS)
    await server.loop("leases")

    assert (await server.run(run.id)).status is RunStatus.PAUSED


async def test_a_job_that_comes_back_unbegun_is_a_boundary_too(server: Work):
    run = await server.a_run()
    await server.claim(acked=False)
    await pause(server, run)
    server.move(30_000)
    await server.loop("leases")

    assert (await server.run(run.id)).status is RunStatus.PAUSED


def test_a_job_that_is_given_back_by_a_poll_that_went_away_is_a_boundary_too():
    driver = RunDriver()
    fence = driver.claim("w1", acked=False)
    driver.do(commands.Pause())
    driver.do(commands.GiveBack(fence.job_id))

    assert (driver.run.status, driver.run.pause_requested) == ("paused", False)


async def test_a_sleep_that_ends_while_its_run_is_paused_is_over_after_the_resume(server: Work):
    run = await server.a_run()
    await server.sleep(await server.claim(), until=server.now + HOUR_MS)
    await pause(server, run)
    server.move(HOUR_MS)
    await server.loop("timers")

    assert (await server.run(run.id)).status is RunStatus.PAUSED
    assert [each.status for each in await server.steps(run.id)] == [StepStatus.COMPLETED]

    await server.a_worker()
    await resume(server, run)
    assert [each.name for each in (await server.claim()).completed_steps] == ["nap"]


async def test_a_sleep_that_is_not_over_goes_on_after_the_resume_until_its_own_time(server: Work):
    run = await server.a_run()
    until = server.now + HOUR_MS
    await server.sleep(await server.claim(), until=until)
    await pause(server, run)
    server.move(HOUR_MS // 2)

    resumed = await resume(server, run)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: sleep", to_datetime(until))
    assert await server.poll() == []
    server.move(HOUR_MS // 2)
    await server.loop("timers")
    await server.a_worker()
    assert (await server.claim()).run_id == run.id


async def test_an_event_that_comes_while_its_run_is_paused_is_there_after_the_resume(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.approved"))
    await pause(server, run)
    await server.emit("order.approved")
    assert (await server.run(run.id)).status is RunStatus.PAUSED
    assert await server.poll() == []

    await resume(server, run)

    assert [each.name for each in (await server.claim()).completed_steps] == ["approval"]


async def test_a_wait_that_is_still_open_goes_on_after_the_resume(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="2h"))
    until = to_datetime(server.now + 2 * HOUR_MS)
    await pause(server, run)
    server.move(HOUR_MS)

    resumed = await resume(server, run)

    assert (resumed.state, resumed.next_attempt_at) == ("waiting: wait_event", until)
    await server.emit("order.approved")
    await server.a_worker()
    assert (await server.claim()).run_id == run.id


async def a_wait_timed_out_under_pause(server: Work) -> Run:
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="2h"))
    await pause(server, run)
    server.move(2 * HOUR_MS)
    await server.loop("timers")
    await server.a_worker()
    return await server.run(run.id)


async def test_a_wait_that_times_out_while_its_run_is_paused_fails_it_when_it_is_resumed(server: Work):
    run = await a_wait_timed_out_under_pause(server)
    assert run.status is RunStatus.PAUSED
    assert [step.status for step in await server.steps(run.id)] == [StepStatus.TIMED_OUT]
    await server.emit("order.approved")
    assert (await server.run(run.id)).status is RunStatus.PAUSED
    why = await server.call(controls.why, id=run.id)
    assert (why.reason, why.event) == ("paused", "order.approved")
    assert "its wait 'approval' timed out meanwhile" in why.message

    await resume(server, run)

    failed = await server.run(run.id)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "WAIT_TIMEOUT")
    assert await server.poll() == []


async def test_a_wait_that_timed_out_under_pause_can_be_given_an_event_before_the_resume(server: Work):
    run = await a_wait_timed_out_under_pause(server)
    (row,) = await server.steps(run.id)
    await server.call(controls.inject, run_id=run.id, step_id=row.id, new_output='{"data": "yes, by phone"}')

    await resume(server, run)

    job = await server.claim()
    assert [(each.name, read_json(each.output)) for each in job.completed_steps] == [
        ("approval", {"data": "yes, by phone"})
    ]
    await server.report(job, "completed")
    assert (await server.run(run.id)).status is RunStatus.COMPLETED


async def test_a_pause_that_is_asked_for_before_a_wait_holds_the_run_there(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await pause(server, run)
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 1_000))
    assert (await server.run(run.id)).status is RunStatus.PAUSED
    server.move(1_000)
    await server.loop("timers")
    assert await server.poll() == []

    await resume(server, run)
    assert [each.name for each in (await server.claim()).completed_steps] == ["nap"]


async def test_a_run_paused_between_two_attempts_goes_on_with_the_next_one(server: Work):
    run = await server.a_run()
    await server.report(await server.claim(), "failed")
    await pause(server, run)
    server.move(HOUR_MS)
    await server.loop("timers")
    assert await server.poll() == []

    await resume(server, run)

    await server.a_worker()
    assert (await server.claim()).attempt == 2


async def test_a_failed_run_that_is_resumed_keeps_its_steps_and_has_a_fresh_budget(server: Work):
    run = await server.a_run(retry={"max_attempts": 2, "initial_delay_ms": 1})
    await server.report(job := await server.claim(), "failed", step(job, "reserve", 1))
    server.move(1)
    await server.loop("timers")
    await server.report(await server.claim(), "failed")
    assert (await server.run(run.id)).status is RunStatus.FAILED

    resumed = await resume(server, run)

    assert (resumed.status, resumed.attempt, resumed.error, resumed.ended_at) == (RunStatus.PENDING, 1, None, None)
    for attempt in (1, 2):
        job = await server.claim()
        assert (job.attempt, [each.name for each in job.completed_steps]) == (attempt, ["reserve"])
        await server.report(job, "failed")
        server.move(1)
        await server.loop("timers")
    assert (await server.run(run.id)).status is RunStatus.FAILED


async def test_a_run_held_with_its_attempts_used_up_has_a_fresh_budget_when_it_is_resumed(server: Work):
    run = await server.a_run(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await server.report(await server.claim(), "failed")
    assert (await server.run(run.id)).state == "paused: exhausted"

    assert (await resume(server, run)).attempt == 1
    await server.report(await server.claim(), "completed")
    assert (await server.run(run.id)).status is RunStatus.COMPLETED


async def test_a_pause_asked_for_before_the_last_attempt_failed_takes_nothing_from_the_fresh_budget(server: Work):
    run = await server.a_run(retry={"max_attempts": 2, "initial_delay_ms": 1, "on_exhausted": "pause"})
    await server.report(await server.claim(), "failed")
    server.move(1)
    await server.loop("timers")
    job = await server.claim()
    await pause(server, run)
    await server.report(job, "failed")
    held = await server.run(run.id)
    assert (held.state, held.pause_requested) == ("paused: exhausted", False)

    assert (await resume(server, run)).attempt == 1


async def test_a_resume_from_a_step_drops_it_and_all_later_ones(server: Work):
    run = await server.a_run()
    job = await server.claim()
    steps = [step(job, name, number) for number, name in enumerate(("reserve", "charge", "ship"))]
    await server.report(job, "failed", *steps, error=FINAL)
    first = (await server.steps(run.id))[1]

    for named in (first.id, first.step_id, first.name):
        resumed = await resume(server, run, from_step=named)
        assert resumed.status is RunStatus.PENDING
        assert [each.name for each in await server.steps(run.id)] == ["reserve"]
        job = await server.claim()
        assert [each.name for each in job.completed_steps] == ["reserve"]
        await server.report(job, "failed", step(job, "charge", 1), step(job, "ship", 2), error=FINAL)

    # A row id is never given again: what is kept elsewhere about the old row stays about that one.
    with pytest.raises(StepNotFound):
        await resume(server, run, from_step=first.id)


async def test_a_resume_from_a_step_forgets_what_a_later_step_waited_for(server: Work):
    run = await server.a_run()
    job = await server.claim()
    asked = waits_for(job, "order.approved", timeout="2h")
    await server.report(job, "yielded", step(job, "ask"), yielded=asked)
    await pause(server, run)

    await resume(server, run, from_step="ask")

    assert await server.steps(run.id) == []
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM waits")) == (0,)
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (0,)
    assert (await server.claim()).completed_steps == []


async def test_a_retry_runs_a_failed_run_again_from_the_beginning_or_from_a_step(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "failed", step(job, "reserve"), step(job, "charge"), error=FINAL)

    retried = await server.call(controls.retry, id=run.id, from_step="charge")
    assert (retried.status, retried.attempt, retried.id) == (RunStatus.PENDING, 1, run.id)
    job = await server.claim()
    assert [each.name for each in job.completed_steps] == ["reserve"]
    await server.report(job, "failed", error=FINAL)

    await server.call(controls.retry, id=run.id)
    job = await server.claim()
    assert (job.completed_steps, job.attempt, job.execution_seq) == ([], 1, 3)


async def test_a_run_that_waits_is_not_resumed_and_the_refusal_names_its_wait(server: Work):
    run = await server.a_run()
    await server.sleep(await server.claim(), until=server.now + 60_000)

    with pytest.raises(RunNotResumable, match=r"is paused \(pause_reason sleep\) by its own code") as refused:
        await resume(server, run)

    shown = await server.run(run.id)
    assert (shown.status.sent, shown.pause_reason) == ("paused", "sleep")
    assert "continues by itself" in refused.value.message


async def test_runs_in_other_states_are_not_resumed_or_retried(server: Work):
    run = await server.a_run()
    for operation, request in ((controls.resume, {"run_id": run.id}), (controls.retry, {"id": run.id})):
        with pytest.raises(RunNotResumable):
            await server.call(operation, **request)
    await pause(server, run)
    with pytest.raises(RunNotResumable):
        await server.call(controls.retry, id=run.id)
    await server.call(runs.cancel, id=run.id)
    with pytest.raises(RunNotResumable):
        await resume(server, run)
    with pytest.raises(RunEnded):
        await pause(server, run)


async def test_a_run_of_another_environment_or_none_is_not_there(server: Work):
    run = await server.a_run()
    calls = [
        (controls.pause, {"run_id": run.id}),
        (controls.resume, {"run_id": run.id}),
        (controls.retry, {"id": run.id}),
        (controls.paused_state, {"run_id": run.id}),
        (controls.inject, {"run_id": run.id, "step_id": "x", "new_output": 1}),
        (controls.patch, {"step_id": f"{run.id}:x:0", "output": 1}),
        (controls.why, {"id": run.id}),
    ]
    for operation, request in calls:
        with pytest.raises(RunNotFound):
            await server.call(operation, env="staging", **request)


async def test_a_late_repetition_of_a_report_that_a_resume_followed_changes_nothing(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "failed", error=FINAL)
    await resume(server, run)

    await server.report(job, "failed", error=FINAL)

    assert (await server.run(run.id)).status is RunStatus.PENDING
