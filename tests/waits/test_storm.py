"""An event storm: ten thousand events at a thousand waiting runs."""

from time import monotonic

from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.work import Work
from tests.support.yields import waits_for

WAITING = 1_000
EVENTS = 10_000
BATCH = 1_000
# Many times what it takes; a cost that grows with runs times events takes minutes.
WITHIN_S = 30.0


def _wait(job: Assignment, event: str, **filter_: str) -> dict[str, object]:
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    return {"job": job.job_id, "status": "yielded", "yield": waits_for(job, event, **filter_), **fence}


async def test_ten_thousand_events_at_a_thousand_waiting_runs_wake_each_of_them_once(server: Work):
    """Nine of ten events match no wait: they have the name that all wait for, and a value that none waits for."""
    await server.a_function()
    await server.a_worker(jobs_max=WAITING)
    await server.call(events.emit_batch, events=[{"event": "order.placed", "data": {"n": n}} for n in range(WAITING)])
    waiting = await server.poll(available=WAITING)
    yields = [_wait(job, "order.approved", match="n") for job in waiting]
    for first in range(0, WAITING, 500):
        await server.call(jobs.report, worker="w1", reports=yields[first : first + 500])
    assert (await server.call(runs.list_, status="waiting", limit=1)).total_count == WAITING

    begun = monotonic()
    for first in range(0, EVENTS, BATCH):
        # Every run's value comes by once, spread over all batches.
        values = [n // 10 if n % 10 == 0 else -n for n in range(first, first + BATCH)]
        batch = [{"event": "order.approved", "data": {"n": n}} for n in values]
        await server.call(events.emit_batch, events=batch)
    took_s = monotonic() - begun

    woken = await server.poll(available=WAITING)
    assert {job.run_id for job in woken} == {job.run_id for job in waiting}
    assert len(woken) == WAITING
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM waits")) == (0,)
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM timers")) == (0,)
    assert took_s < WITHIN_S


async def test_one_event_that_all_of_them_wait_for_wakes_all_at_one_stroke(server: Work):
    await server.a_function()
    await server.a_worker(jobs_max=WAITING)
    await server.call(events.emit_batch, events=[{"event": "order.placed"}] * WAITING)
    waiting = await server.poll(available=WAITING)
    yields = [_wait(job, "go") for job in waiting]
    await server.call(jobs.report, worker="w1", reports=yields)

    begun = monotonic()
    await server.emit("go")
    took_s = monotonic() - begun

    assert {(await server.run(job.run_id)).status for job in (waiting[0], waiting[-1])} == {RunStatus.PENDING}
    assert len(await server.poll(available=WAITING)) == WAITING
    assert took_s < WITHIN_S
