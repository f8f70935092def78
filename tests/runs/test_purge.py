"""Ended runs past their retention are removed with their steps, in small transactions; nothing else is."""

from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from tests.support.house import open_house
from tests.support.work import Work, step

DAY_MS = 24 * 3600 * 1000


async def ended(house: Work, count: int) -> list[str]:
    """Completed runs with a step each."""
    emitted = [(await house.emit()).run_ids[0] for _ in range(count)]
    for _ in range(0, count, 50):
        claimed = await house.poll(available=50)
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
        await house.call(jobs.report, worker="w1", reports=reports)
    return emitted


async def test_runs_are_kept_for_ever_unless_a_retention_is_set(house: Work):
    await house.a_function()
    await house.a_worker()
    await ended(house, 1)
    house.move(10_000 * DAY_MS)

    assert [round_.purged for round_ in await house.loop("runs-purge")] == [0]
    assert len(await house.runs()) == 1


async def test_only_runs_that_ended_before_the_retention_are_removed(database_url: str):
    async with open_house(Work, database_url, run_retention_days=7) as house:
        await house.a_function()
        await house.a_worker(jobs_max=100)
        await ended(house, 2)
        (open_run,) = (await house.emit()).run_ids
        job = await house.claim()
        await house.sleep(job, until=house.now + 365 * DAY_MS)
        house.move(7 * DAY_MS)
        assert (await house.loop("runs-purge"))[-1].purged == 0
        house.move(1)
        await house.a_worker(jobs_max=100)
        (young,) = await ended(house, 1)

        assert (await house.loop("runs-purge"))[-1].purged == 2

        assert [run.id for run in await house.runs()] == [young, open_run]
        assert len(await house.steps(young)) == 1
        # Events are a log of their own: they stay.
        assert len((await house.call(events.list_)).events) == 4


async def test_many_runs_are_removed_in_small_transactions(database_url: str):
    async with open_house(Work, database_url, run_retention_days=1) as house:
        await house.a_function()
        await house.a_worker(jobs_max=1_000)
        await ended(house, 250)
        house.move(DAY_MS + 1)

        rounds = await house.loop("runs-purge")

        assert [(each.purged, each.more) for each in rounds] == [(200, True), (50, False)]
        assert await house.runs() == []
        left = await house.db.read(lambda tx: tx.row("SELECT count(*) FROM steps"))
        assert left == (0,)
