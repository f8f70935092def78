"""Actor keys: the runs of one key go to one worker, one after another, and move when that worker is gone."""

from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs.contract import RunStatus
from tests.support.work import LEASE_MS, Work
from tests.support.yields import sleeps

EVICT_MS = 120_000


async def actors(house: Work) -> None:
    """A function with an actor key and two workers for it."""
    await house.a_function(actor_key="account")
    for worker in ("w1", "w2"):
        await house.a_worker(worker)


async def a_run_of(house: Work, account: str | None) -> str:
    return (await house.emit(data={} if account is None else {"account": account})).run_ids[0]


async def handed_out(house: Work, worker: str) -> list[Assignment]:
    return await house.poll(worker, available=100)


async def test_runs_of_one_actor_are_serial_and_stay_with_their_worker(house: Work):
    await actors(house)
    first, second = await a_run_of(house, "ada"), await a_run_of(house, "ada")
    other = await a_run_of(house, "bob")

    (mine,) = await house.poll("w1")
    assert (mine.run_id, mine.actor_id) == (first, "ada")
    (its,) = await handed_out(house, "w2")
    assert its.run_id == other

    await house.report(mine, "completed")
    assert await handed_out(house, "w2") == []
    (mine,) = await handed_out(house, "w1")
    assert (mine.run_id, (await house.run(second)).actor_id) == (second, "ada")


async def test_an_actor_stays_with_its_worker_over_sleeps(house: Work):
    await actors(house)
    run = await a_run_of(house, "ada")
    (job,) = await handed_out(house, "w2")
    await house.report(job, "yielded", yielded=sleeps(job, house.now + 60_000), worker="w2")
    house.move(60_000)
    await house.loop("timers")

    assert await handed_out(house, "w1") == []
    assert [each.run_id for each in await handed_out(house, "w2")] == [run]


async def test_an_actor_moves_when_its_worker_has_not_been_heard_of(house: Work):
    await actors(house)
    run = await a_run_of(house, "ada")
    await handed_out(house, "w1")
    house.move(LEASE_MS)
    await house.loop("leases")
    # The lease is lost, but its worker might still come back: it is not forgotten yet.
    assert await handed_out(house, "w2") == []

    house.move(EVICT_MS - LEASE_MS - 1)
    await house.a_worker("w2")
    assert await handed_out(house, "w2") == []
    house.move(1)
    (moved,) = await handed_out(house, "w2")
    assert moved.run_id == run

    # It has moved for good.
    await house.report(moved, "completed", worker="w2")
    await house.a_worker("w1")
    await a_run_of(house, "ada")
    assert await handed_out(house, "w1") == []
    assert len(await handed_out(house, "w2")) == 1


async def test_evicted_workers_leave_no_rows_of_their_actors(house: Work):
    await actors(house)
    await a_run_of(house, "ada")
    await handed_out(house, "w1")
    house.move(EVICT_MS)
    await house.loop("workers")

    assert await house.db.read(lambda tx: tx.row("SELECT count(*) FROM actors")) == (0,)


async def test_runs_without_a_value_at_the_actor_key_share_one_actor(house: Work):
    await actors(house)
    first = await a_run_of(house, None)
    await a_run_of(house, None)

    (job,) = await handed_out(house, "w1")
    assert (job.run_id, job.actor_id) == (first, None)
    await house.report(job, "completed")
    assert len(await handed_out(house, "w2") + await handed_out(house, "w1")) == 1


async def test_a_paused_actor_keeps_the_others_of_its_key_waiting(house: Work):
    await actors(house)
    first, second = await a_run_of(house, "ada"), await a_run_of(house, "ada")
    (job,) = await handed_out(house, "w1")
    await house.call(controls.pause, run_id=first)
    await house.report(job, "progress")
    assert await handed_out(house, "w1") == []

    await house.call(controls.resume, run_id=first)

    (job,) = await handed_out(house, "w1")
    assert job.run_id == first
    await house.report(job, "completed")
    assert [each.run_id for each in await handed_out(house, "w1")] == [second]
    assert (await house.run(first)).status is RunStatus.COMPLETED


async def test_an_actor_key_takes_the_place_of_a_concurrency_limit(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 1})
    await house.a_worker()
    for account in ("ada", "bob", "eve"):
        await a_run_of(house, account)

    assert len(await handed_out(house, "w1")) == 3
