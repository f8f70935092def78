"""Sleeps end and retries start when their time has come: exactly once, many in one transaction."""

import asyncio
from datetime import timedelta

from ironflow.base.time import to_datetime
from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType
from tests.support.house import open_house
from tests.support.work import LEASE_MS, Work, step, text_of

DAY_MS = 24 * 3600 * 1000


async def test_a_sleeping_run_waits_until_its_time_and_goes_on_with_its_steps(house: Work):
    run = await house.a_run()
    job = await house.claim()
    until = house.now + 30 * DAY_MS

    await house.sleep(job, step(job, "charge", 1), until=until)

    asleep = await house.run(run.id)
    assert (asleep.status.sent, asleep.pause_reason, asleep.attempt) == ("paused", "sleep", 1)
    assert asleep.next_attempt_at == to_datetime(until)
    nap = (await house.steps(run.id))[1]
    assert (nap.name, nap.step_type, nap.status, nap.sleep_until) == (
        "nap",
        StepType.SLEEP,
        StepStatus.SLEEPING,
        to_datetime(until),
    )

    house.move(30 * DAY_MS - 1)
    await house.a_worker()
    await house.loop("timers")
    assert await house.poll() == []

    house.move(1)
    await house.loop("timers")
    woken = await house.claim()

    assert (woken.run_id, woken.attempt, woken.execution_seq) == (run.id, 1, 2)
    assert [(each.name, bytes(each.output)) for each in woken.completed_steps] == [("charge", b"1"), ("nap", b"null")]
    await house.report(woken, "completed", output=None)
    assert [each.status for each in await house.steps(run.id)] == [StepStatus.COMPLETED] * 2


async def test_a_sleep_until_a_time_that_has_passed_goes_straight_on(house: Work):
    await house.a_run()
    await house.sleep(await house.claim(), until=house.now - DAY_MS)

    woken = await house.claim()

    assert [each.name for each in woken.completed_steps] == ["nap"]


async def test_a_sleeping_run_needs_no_worker_and_outlives_a_restart(database_url: str):
    async with open_house(Work, database_url) as house:
        run = await house.a_run()
        until = house.now + DAY_MS
        await house.sleep(await house.claim(), until=until)
        clock = house.clock

    clock.move(DAY_MS)
    async with open_house(Work, database_url, clock=clock) as house:
        await house.loop("timers")
        await house.a_worker()
        assert (await house.claim()).run_id == run.id


async def test_any_way_of_writing_a_time_is_understood(house: Work):
    await house.a_function()
    await house.a_worker()
    at = to_datetime(house.now + 3_600_000)
    for text in (
        text_of(house.now + 3_600_000),
        (at + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00",
        at.replace(tzinfo=None).isoformat() + "z",
        at.strftime("%Y-%m-%dT%H:%M:%S") + ".000000Z",
    ):
        (run_id,) = (await house.emit()).run_ids
        job = await house.claim()
        await house.report(job, "yielded", yielded={"type": "sleep", "step_id": f"{run_id}:nap:0", "until": text})
        assert (await house.run(run_id)).next_attempt_at == at, text


async def test_retries_wait_for_their_backoff_and_then_the_run_fails(house: Work):
    run = await house.a_run(retry={"max_attempts": 3, "initial_delay_ms": 100, "backoff_factor": 10})
    for attempt, delay_ms in ((1, 100), (2, 1_000)):
        job = await house.claim()
        assert job.attempt == attempt
        await house.report(job, "failed", step(job, "charge", attempt))
        waiting = await house.run(run.id)
        assert (waiting.status, waiting.next_attempt_at) == (RunStatus.PENDING, to_datetime(house.now + delay_ms))

        house.move(delay_ms - 1)
        await house.loop("timers")
        assert await house.poll() == []
        house.move(1)
        await house.loop("timers")

    last = await house.claim()
    assert (last.attempt, [bytes(each.output) for each in last.completed_steps]) == (3, [b"1"])
    await house.report(last, "failed", error={"message": "over", "code": "OVER", "retryable": True})

    ended = await house.run(run.id)
    assert (ended.status, ended.attempt) == (RunStatus.FAILED, 3)
    assert ended.error is not None
    assert (ended.error.message, ended.error.code, ended.error.retryable) == ("over", "OVER", True)
    assert await house.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (0,)


HINTS = [(5_000, 5_000), (5_000.7, 5_000), (10**9, 300_000), (-1, 1_000), (0, 1_000), (1e300, 1_000), (None, 1_000)]


async def test_a_retry_hint_of_the_handler_is_kept_to_within_reason(house: Work):
    for hint, delay_ms in HINTS:
        run = await house.a_run()
        error = {"message": "busy", "code": "BUSY", "retryable": True, "retry_after_ms": hint}
        await house.report(await house.claim(), "failed", error=error)

        assert (await house.run(run.id)).next_attempt_at == to_datetime(house.now + delay_ms), hint


async def test_attempts_used_up_with_pause_hold_the_run(house: Work):
    run = await house.a_run(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await house.report(await house.claim(), "failed")

    held = await house.run(run.id)
    assert (held.status, held.pause_reason, held.ended_at) == (RunStatus.PAUSED, "injection", None)
    house.move(DAY_MS)
    await house.loops()
    await house.a_worker()
    assert await house.poll() == []


async def test_an_error_that_is_not_retryable_fails_the_run_at_once(house: Work):
    run = await house.a_run()
    await house.report(await house.claim(), "failed", error={"message": "no", "retryable": False})
    assert ((await house.run(run.id)).status, await house.poll()) == (RunStatus.FAILED, [])


async def test_the_attempt_stays_the_same_over_sleeps_and_lost_leases(house: Work):
    run = await house.a_run()
    await house.report(await house.claim(), "failed")
    house.move(1_000)
    await house.loop("timers")

    job = await house.claim()
    await house.sleep(job, until=house.now + 1_000)
    house.move(1_000)
    await house.loop("timers")
    job = await house.claim()
    house.move(LEASE_MS)
    await house.loop("leases")
    job = await house.claim()

    assert (job.run_id, job.attempt, job.execution_seq) == (run.id, 2, 4)


async def test_two_thousand_timers_due_at_once_fire_before_the_first_run_is_handed_out(house: Work):
    await house.a_function()
    await house.a_worker(jobs_max=2_000)
    for _ in range(2):
        await house.call(events.emit_batch, events=[{"event": "order.placed"}] * 1_000)
    until = text_of(house.now + 60_000)
    claimed = await house.poll(available=2_000)
    reports = [
        {
            "job": job.job_id,
            "status": "yielded",
            "execution_seq": job.execution_seq,
            "lease_token": job.lease_token,
            "yield": {"type": "sleep", "step_id": f"{job.run_id}:nap:0", "until": until},
        }
        for job in claimed
    ]
    await house.call(jobs.report, worker="w1", reports=reports)
    held = asyncio.create_task(house.poll(available=2_000, wait=20))
    # Answered at the look at which the first one was found to have to wait.
    assert await house.poll() == []
    house.move(60_000)
    rounds = await house.loop("timers")

    assert sum(round_.fired for round_ in rounds) == 2_000
    assert len(rounds) <= 2
    # All in the answer of one poll, which would have been given the first 500 as soon as they were awake.
    woken = await held
    assert {job.run_id for job in woken} == {job.run_id for job in claimed}
    assert len(woken) == 2_000


async def test_the_loop_says_when_the_next_timer_is_due(house: Work):
    run = await house.a_run()
    until = house.now + 5_000
    await house.sleep(await house.claim(), until=until)

    (round_,) = await house.loop("timers")
    assert (round_.fired, round_.more, round_.next_at) == (0, False, until)

    house.move(5_000)
    (round_,) = await house.loop("timers")
    assert (round_.fired, round_.next_at) == (1, None)
    assert (await house.run(run.id)).status is RunStatus.PENDING
