"""Ended runs past their retention are removed with their steps, in small transactions; nothing else is."""

from ironflow.base.loop import Ran
from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from tests.support.server import open_server
from tests.support.work import Work, step

DAY_MS = 24 * 3600 * 1000


async def ended(server: Work, count: int) -> list[str]:
    """Completed runs with a step each."""
    emitted = [(await server.emit()).run_ids[0] for _ in range(count)]
    for _ in range(0, count, 50):
        claimed = await server.poll(available=50)
        reports = [
            {
                "job": job.job_id,
                "status": "completed",
                "steps": [step(job, "charge")],
                "execution_seq": job.execution_seq,
                "lease_token": job.lease_token,
            }
            for job in claimed
        ]
        await server.call(jobs.report, worker="w1", reports=reports)
    return emitted


async def test_runs_are_kept_for_ever_unless_a_retention_is_set(server: Work):
    await server.a_function()
    await server.a_worker()
    await ended(server, 1)
    server.move(10_000 * DAY_MS)

    assert await server.loop("runs-purge") == [Ran()]
    assert len(await server.runs()) == 1


async def test_only_runs_that_ended_before_the_retention_are_removed(database_url: str):
    async with open_server(Work, database_url, run_retention_days=7) as server:
        await server.a_function()
        await server.a_worker(jobs_max=100)
        await ended(server, 2)
        (open_run,) = (await server.emit()).run_ids
        job = await server.claim()
        await server.sleep(job, until=server.now + 365 * DAY_MS)
        server.move(7 * DAY_MS)
        assert (await server.loop("runs-purge"))[-1].done == {"purged": 0}
        server.move(1)
        await server.a_worker(jobs_max=100)
        (young,) = await ended(server, 1)

        assert (await server.loop("runs-purge"))[-1].done == {"purged": 2}

        assert [run.id for run in await server.runs()] == [young, open_run]
        assert len(await server.steps(young)) == 1
        # Events are a log of their own: they stay.
        assert len((await server.call(events.list_)).events) == 4


async def test_many_runs_are_removed_in_small_transactions(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await server.a_function()
        await server.a_worker(jobs_max=1_000)
        await ended(server, 250)
        server.move(DAY_MS + 1)

        rounds = await server.loop("runs-purge")

        assert rounds == [Ran({"purged": 200}, more=True), Ran({"purged": 50})]
        assert await server.runs() == []
        left = await server.db.read(lambda tx: tx.row("SELECT count(*) FROM steps"))
        assert left == (0,)
