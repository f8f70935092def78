"""Actor keys: the runs of one key go to one worker, one after another, and move when that worker is gone."""

from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
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


async def test_a_limit_beside_the_actor_key_is_for_all_actors_together(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 2})
    await house.a_worker()
    runs_of = {account: [await a_run_of(house, account) for _ in range(2)] for account in ("ada", "bob", "eve")}

    ada, bob = await handed_out(house, "w1")
    assert [ada.run_id, bob.run_id] == [runs_of["ada"][0], runs_of["bob"][0]]

    # Ada is free again, and so is one slot of the limit; who has waited longest gets what it needs.
    await house.report(ada, "completed")
    (next_,) = await handed_out(house, "w1")
    assert next_.run_id == runs_of["ada"][1]
    await house.report(next_, "completed")
    (next_,) = await handed_out(house, "w1")
    assert next_.run_id == runs_of["eve"][0]


async def test_a_run_that_lacks_one_of_its_slots_keeps_nobody_from_the_other(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 1, "key": "region"})
    await house.a_worker()

    async def emitted(account: str, region: str) -> str:
        return (await house.emit(data={"account": account, "region": region})).run_ids[0]

    ada_eu = await emitted("ada", "eu")
    bob_eu, bob_us = await emitted("bob", "eu"), await emitted("bob", "us")
    ada_us, eve_us = await emitted("ada", "us"), await emitted("eve", "us")

    # Bob's first waits for the region, so that his second goes; Ada's second waits for her and for the region.
    jobs = {job.run_id: job for job in await handed_out(house, "w1")}
    assert list(jobs) == [ada_eu, bob_us]
    # The region is free, and she who has waited longest for it cannot have it: her own run is not over.
    await house.report(jobs[bob_us], "completed")
    (eve,) = await handed_out(house, "w1")
    assert eve.run_id == eve_us
    await house.report(jobs[ada_eu], "completed")
    (bob,) = await handed_out(house, "w1")
    assert bob.run_id == bob_eu
    await house.report(eve, "completed")
    assert [job.run_id for job in await handed_out(house, "w1")] == [ada_us]


async def test_pausing_resuming_and_cancelling_free_and_take_both_slots(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 1}, retry={"max_attempts": 1})
    await house.a_worker()
    ada, bob, ada_again = [await a_run_of(house, account) for account in ("ada", "bob", "ada")]
    (job,) = await handed_out(house, "w1")
    await house.call(controls.pause, run_id=ada)
    await house.report(job, "progress")
    # A paused run keeps both.
    assert await handed_out(house, "w1") == []

    await house.call(controls.resume, run_id=ada)
    (job,) = await handed_out(house, "w1")
    assert job.run_id == ada
    await house.report(job, "failed")
    house.move(1)
    await house.call(controls.retry, id=ada)
    (job,) = await handed_out(house, "w1")
    assert job.run_id == bob
    await house.call(runs.cancel, id=bob)
    (job,) = await handed_out(house, "w1")
    assert job.run_id == ada_again
    await house.report(job, "yielded", yielded=sleeps(job, house.now + 60_000))
    assert [each.run_id for each in await handed_out(house, "w1")] == [ada]


async def test_runs_that_needed_a_limit_go_on_when_it_is_taken_away(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 1})
    await house.a_worker()
    ada, bob, ada_again = [await a_run_of(house, account) for account in ("ada", "bob", "ada")]
    await house.a_function(actor_key="account")
    await house.a_worker()
    await house.loop("runs-admit")

    jobs = await handed_out(house, "w1")
    assert [each.run_id for each in jobs] == [ada, bob]
    await house.report(jobs[0], "completed")
    assert [each.run_id for each in await handed_out(house, "w1")] == [ada_again]


async def test_runs_from_before_there_was_a_limit_share_it_with_those_from_after(house: Work):
    await house.a_function(concurrency={"limit": 2})
    await house.a_worker()
    old = [await a_run_of(house, "ada") for _ in range(3)]
    await house.a_function(actor_key="account", concurrency={"limit": 2})
    await house.a_worker()
    new = [await a_run_of(house, "ada") for _ in range(3)]

    order: list[list[str]] = []
    jobs: list[Assignment] = []
    for _ in range(6):
        jobs += await handed_out(house, "w1")
        order.append([job.run_id for job in jobs])
        await house.report(jobs.pop(0), "completed")
    assert order == [old[:2], old[1:], [old[2], new[0]], [new[0]], [new[1]], [new[2]]]


async def test_a_long_queue_of_one_actor_is_passed_by(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 2})
    await house.a_worker()
    ada = [await a_run_of(house, "ada") for _ in range(40)]
    bob = [await a_run_of(house, "bob") for _ in range(40)]

    assert [each.run_id for each in await handed_out(house, "w1")] == [ada[0], bob[0]]
