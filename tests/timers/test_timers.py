"""Sleeps end and retries start when their time has come: exactly once, many in one transaction."""

import asyncio
from datetime import timedelta

from ironflow.base.loop import Ran
from ironflow.base.time import to_datetime
from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType
from ironflow.features.timers import store
from ironflow.features.timers.store import Timer
from tests.support.server import open_server
from tests.support.work import LEASE_MS, Work, step, text_of

DAY_MS = 24 * 3600 * 1000


async def test_a_sleeping_run_waits_until_its_time_and_goes_on_with_its_steps(server: Work):
    run = await server.a_run()
    job = await server.claim()
    until = server.now + 30 * DAY_MS

    await server.sleep(job, step(job, "charge", 1), until=until)

    asleep = await server.run(run.id)
    assert (asleep.status.sent, asleep.pause_reason, asleep.attempt) == ("paused", "sleep", 1)
    assert asleep.next_attempt_at == to_datetime(until)
    nap = (await server.steps(run.id))[1]
    assert (nap.name, nap.step_type, nap.status, nap.sleep_until) == (
        "nap",
        StepType.SLEEP,
        StepStatus.SLEEPING,
        to_datetime(until),
    )

    server.move(30 * DAY_MS - 1)
    await server.a_worker()
    await server.loop("timers")
    assert await server.poll() == []

    server.move(1)
    await server.loop("timers")
    woken = await server.claim()

    assert (woken.run_id, woken.attempt, woken.execution_seq) == (run.id, 1, 2)
    assert [(each.name, bytes(each.output)) for each in woken.completed_steps] == [("charge", b"1"), ("nap", b"null")]
    await server.report(woken, "completed", output=None)
    assert [each.status for each in await server.steps(run.id)] == [StepStatus.COMPLETED] * 2


async def test_a_sleep_until_a_time_that_has_passed_goes_straight_on(server: Work):
    await server.a_run()
    await server.sleep(await server.claim(), until=server.now - DAY_MS)

    woken = await server.claim()

    assert [each.name for each in woken.completed_steps] == ["nap"]


async def test_a_sleeping_run_needs_no_worker_and_outlives_a_restart(database_url: str):
    async with open_server(Work, database_url) as server:
        run = await server.a_run()
        until = server.now + DAY_MS
        await server.sleep(await server.claim(), until=until)
        clock = server.clock

    clock.move(DAY_MS)
    async with open_server(Work, database_url, clock=clock) as server:
        await server.loop("timers")
        await server.a_worker()
        assert (await server.claim()).run_id == run.id


async def test_any_way_of_writing_a_time_is_understood(server: Work):
    await server.a_function()
    await server.a_worker()
    at = to_datetime(server.now + 3_600_000)
    for text in (
        text_of(server.now + 3_600_000),
        (at + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00",
        at.replace(tzinfo=None).isoformat() + "z",
        at.strftime("%Y-%m-%dT%H:%M:%S") + ".000000Z",
    ):
        (run_id,) = (await server.emit()).run_ids
        job = await server.claim()
        await server.report(job, "yielded", yielded={"type": "sleep", "step_id": f"{run_id}:nap:0", "until": text})
        assert (await server.run(run_id)).next_attempt_at == at, text


async def test_retries_wait_for_their_backoff_and_then_the_run_fails(server: Work):
    run = await server.a_run(retry={"max_attempts": 3, "initial_delay_ms": 100, "backoff_factor": 10})
    for attempt, delay_ms in ((1, 100), (2, 1_000)):
        job = await server.claim()
        assert job.attempt == attempt
        await server.report(job, "failed", step(job, "charge", attempt))
        waiting = await server.run(run.id)
        assert (waiting.status, waiting.next_attempt_at) == (RunStatus.PENDING, to_datetime(server.now + delay_ms))

        server.move(delay_ms - 1)
        await server.loop("timers")
        assert await server.poll() == []
        server.move(1)
        await server.loop("timers")

    last = await server.claim()
    assert (last.attempt, [bytes(each.output) for each in last.completed_steps]) == (3, [b"1"])
    await server.report(last, "failed", error={"message": "over", "code": "OVER", "retryable": True})

    ended = await server.run(run.id)
    assert (ended.status, ended.attempt) == (RunStatus.FAILED, 3)
    assert ended.error is not None
    assert (ended.error.message, ended.error.code, ended.error.retryable) == ("over", "OVER", True)
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (0,)


HINTS = [(5_000, 5_000), (5_000.7, 5_000), (10**9, 300_000), (-1, 1_000), (0, 1_000), (1e300, 1_000), (None, 1_000)]


async def test_a_retry_hint_of_the_handler_is_kept_to_within_reason(server: Work):
    for hint, delay_ms in HINTS:
        run = await server.a_run()
        error = {"message": "busy", "code": "BUSY", "retryable": True, "retry_after_ms": hint}
        await server.report(await server.claim(), "failed", error=error)

        assert (await server.run(run.id)).next_attempt_at == to_datetime(server.now + delay_ms), hint


async def test_attempts_used_up_with_pause_hold_the_run(server: Work):
    run = await server.a_run(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await server.report(await server.claim(), "failed")

    held = await server.run(run.id)
    assert (held.status, held.pause_reason, held.ended_at) == (RunStatus.PAUSED, "injection", None)
    server.move(DAY_MS)
    await server.loops()
    await server.a_worker()
    assert await server.poll() == []


async def test_an_error_that_is_not_retryable_fails_the_run_at_once(server: Work):
    run = await server.a_run()
    await server.report(await server.claim(), "failed", error={"message": "no", "retryable": False})
    assert ((await server.run(run.id)).status, await server.poll()) == (RunStatus.FAILED, [])


async def test_the_attempt_stays_the_same_over_sleeps_and_lost_leases(server: Work):
    run = await server.a_run()
    await server.report(await server.claim(), "failed")
    server.move(1_000)
    await server.loop("timers")

    job = await server.claim()
    await server.sleep(job, until=server.now + 1_000)
    server.move(1_000)
    await server.loop("timers")
    job = await server.claim()
    server.move(LEASE_MS)
    await server.loop("leases")
    job = await server.claim()

    assert (job.run_id, job.attempt, job.execution_seq) == (run.id, 2, 4)


async def test_two_thousand_timers_due_at_once_fire_before_the_first_run_is_handed_out(server: Work):
    await server.a_function()
    await server.a_worker(jobs_max=2_000)
    for _ in range(2):
        await server.call(events.emit_batch, events=[{"event": "order.placed"}] * 1_000)
    until = text_of(server.now + 60_000)
    claimed = await server.poll(available=2_000)
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
    await server.call(jobs.report, worker="w1", reports=reports)
    held = asyncio.create_task(server.poll(available=2_000, wait=20))
    # Answered at the look at which the first one was found to have to wait.
    assert await server.poll() == []
    server.move(60_000)
    rounds = await server.loop("timers")

    assert sum(round_.done["fired"] for round_ in rounds) == 2_000
    assert len(rounds) <= 2
    # All in the answer of one poll, which would have been given the first 500 as soon as they were awake.
    woken = await held
    assert {job.run_id for job in woken} == {job.run_id for job in claimed}
    assert len(woken) == 2_000


async def test_the_loop_returns_when_the_next_timer_is_due(server: Work):
    run = await server.a_run()
    until = server.now + 5_000
    await server.sleep(await server.claim(), until=until)

    (round_,) = await server.loop("timers")
    assert round_ == Ran({"fired": 0}, next_at=until)

    server.move(5_000)
    (round_,) = await server.loop("timers")
    assert round_ == Ran({"fired": 1})
    assert (await server.run(run.id)).status is RunStatus.PENDING


async def test_no_more_timers_are_taken_than_asked_for(server: Work):
    """Also by PostgreSQL where it plans for a single row."""
    first, *others = [Timer(f"run_{number}", "sleep", "nap", number) for number in range(7)]
    await server.db.write(lambda tx: store.set_timers(tx, [first], 0))
    await server.db.write(lambda tx: tx.run("ANALYZE timers", {}))
    await server.db.write(lambda tx: store.set_timers(tx, others, 0))

    for left in (5, 3):
        taken = await server.db.write(lambda tx: store.take_due(tx, 10, 2))
        assert [timer.due_at for timer in taken] == [5 - left, 6 - left]
        assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (left,)
