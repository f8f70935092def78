"""Actor keys: the runs of one key go to one worker, one after another, and move when that worker is gone."""

import asyncio

from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.work import LEASE_MS, Work
from tests.support.yields import sleeps

EVICT_MS = 120_000


async def actors(server: Work) -> None:
    """A function with an actor key and two workers for it."""
    await server.a_function(actor_key="account")
    for worker in ("w1", "w2"):
        await server.a_worker(worker)


async def a_run_of(server: Work, account: str | None) -> str:
    return (await server.emit(data={} if account is None else {"account": account})).run_ids[0]


async def handed_out(server: Work, worker: str) -> list[Assignment]:
    return await server.poll(worker, available=100)


async def test_runs_of_one_actor_are_serial_and_stay_with_their_worker(server: Work):
    await actors(server)
    first, second = await a_run_of(server, "ada"), await a_run_of(server, "ada")
    other = await a_run_of(server, "bob")

    (mine,) = await server.poll("w1")
    assert (mine.run_id, mine.actor_id) == (first, "ada")
    (its,) = await handed_out(server, "w2")
    assert its.run_id == other

    await server.report(mine, "completed")
    assert await handed_out(server, "w2") == []
    (mine,) = await handed_out(server, "w1")
    assert (mine.run_id, (await server.run(second)).actor_id) == (second, "ada")


async def test_an_actor_stays_with_its_worker_over_sleeps(server: Work):
    await actors(server)
    run = await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w2")
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 60_000), worker="w2")
    server.move(60_000)
    await server.loop("timers")

    assert await handed_out(server, "w1") == []
    assert [each.run_id for each in await handed_out(server, "w2")] == [run]


async def test_an_actor_moves_when_its_worker_has_lost_its_lease(server: Work):
    await actors(server)
    run = await a_run_of(server, "ada")
    await handed_out(server, "w1")
    server.move(LEASE_MS - 1)
    await server.loop("leases")
    assert await handed_out(server, "w2") == []

    server.move(1)
    await server.loop("leases")
    (moved,) = await handed_out(server, "w2")
    assert moved.run_id == run

    # It has moved for good.
    await server.report(moved, "completed", worker="w2")
    await server.a_worker("w1")
    await a_run_of(server, "ada")
    assert await handed_out(server, "w1") == []
    assert len(await handed_out(server, "w2")) == 1


async def test_an_idle_actor_moves_when_its_worker_was_silent_for_the_time_of_a_lease(server: Work):
    await actors(server)
    await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    await server.report(job, "completed")
    server.move(LEASE_MS - 1)
    await server.heartbeat(worker="w2")
    run = await a_run_of(server, "ada")
    assert await handed_out(server, "w2") == []

    why = await server.call(controls.why, id=run)
    server.move(1)
    (moved,) = await handed_out(server, "w2")

    assert moved.run_id == run
    assert (why.reason, why.actor_id, why.worker_id) == ("actor", "ada", "w1")
    assert why.until == to_datetime(server.now)
    assert "Actor 'ada' of its function is on worker w1, which is busy or about to ask." in why.message


async def test_a_run_that_waits_for_its_turn_shows_at_which_worker_the_actor_is(server: Work):
    await actors(server)
    first, second = await a_run_of(server, "ada"), await a_run_of(server, "ada")
    await handed_out(server, "w1")

    why = await server.call(controls.why, id=second)

    assert (why.reason, why.actor_id, why.worker_id, why.held_by) == ("no_slot", "ada", "w1", [first])
    assert why.message == f"Runs of actor 'ada' go one after another; it is the turn of {first} on worker w1."


async def test_a_worker_that_leaves_gives_its_actors_to_others_at_once(server: Work):
    await actors(server)
    await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    await server.report(job, "completed")
    run = await a_run_of(server, "ada")
    poll = asyncio.ensure_future(server.poll("w2", wait=20))
    await asyncio.sleep(0)

    await server.call(jobs.leave, worker="w1")

    (moved,) = await poll
    assert moved.run_id == run
    listed = await server.call(jobs.list_workers)
    assert [each.id for each in listed.workers] == ["w2"]
    # Once more is no error.
    await server.call(jobs.leave, worker="w1")


async def test_a_worker_that_registers_without_a_function_has_its_actors_no_more(server: Work):
    await actors(server)
    await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    await server.report(job, "completed")
    run = await a_run_of(server, "ada")

    await server.a_worker("w1", ["other"])

    assert [each.run_id for each in await handed_out(server, "w2")] == [run]


async def test_an_actor_whose_worker_lacks_the_function_goes_to_another(server: Work):
    await actors(server)
    run = await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    error = {"message": "no such function", "code": "FUNCTION_NOT_FOUND", "retryable": False}
    await server.report(job, "failed", error=error)

    assert await handed_out(server, "w1") == []
    assert [each.run_id for each in await handed_out(server, "w2")] == [run]


async def test_two_functions_with_one_key_do_not_concern_each_other(server: Work):
    for function_id in ("charge", "refund"):
        await server.a_function(function_id, actor_key="account")
    await server.a_worker("w1", ["charge", "refund"])

    await a_run_of(server, "ada")

    # Both run at the same time, and only runs of the same function wait.
    assert sorted(each.function_id for each in await handed_out(server, "w1")) == ["charge", "refund"]


async def test_an_actors_run_that_sleeps_holds_up_no_other(server: Work):
    await actors(server)
    first, second = await a_run_of(server, "ada"), await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    assert job.run_id == first

    await server.report(job, "yielded", yielded=sleeps(job, server.now + 60_000))

    assert [each.run_id for each in await handed_out(server, "w1")] == [second]


async def test_evicted_workers_leave_no_rows_of_their_actors(server: Work):
    await actors(server)
    await a_run_of(server, "ada")
    await handed_out(server, "w1")
    server.move(EVICT_MS)
    await server.loop("workers")

    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM actors")) == (0,)


async def test_runs_without_a_value_at_the_actor_key_share_one_actor(server: Work):
    await actors(server)
    first = await a_run_of(server, None)
    await a_run_of(server, None)

    (job,) = await handed_out(server, "w1")
    assert (job.run_id, job.actor_id) == (first, None)
    await server.report(job, "completed")
    assert len(await handed_out(server, "w2") + await handed_out(server, "w1")) == 1


async def test_a_paused_actor_keeps_the_others_of_its_key_waiting(server: Work):
    await actors(server)
    first, second = await a_run_of(server, "ada"), await a_run_of(server, "ada")
    (job,) = await handed_out(server, "w1")
    await server.call(controls.pause, run_id=first)
    await server.report(job, "progress")
    assert await handed_out(server, "w1") == []

    await server.call(controls.resume, run_id=first)

    (job,) = await handed_out(server, "w1")
    assert job.run_id == first
    await server.report(job, "completed")
    assert [each.run_id for each in await handed_out(server, "w1")] == [second]
    assert (await server.run(first)).status is RunStatus.COMPLETED


async def test_a_limit_beside_the_actor_key_is_for_all_actors_together(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 2})
    await server.a_worker()
    runs_of = {account: [await a_run_of(server, account) for _ in range(2)] for account in ("ada", "bob", "eve")}

    ada, bob = await handed_out(server, "w1")
    assert [ada.run_id, bob.run_id] == [runs_of["ada"][0], runs_of["bob"][0]]

    # Ada is free again, and so is one slot of the limit; who has waited longest gets what it needs.
    await server.report(ada, "completed")
    (next_,) = await handed_out(server, "w1")
    assert next_.run_id == runs_of["ada"][1]
    await server.report(next_, "completed")
    (next_,) = await handed_out(server, "w1")
    assert next_.run_id == runs_of["eve"][0]


async def test_a_run_that_lacks_one_of_its_slots_does_not_take_the_other(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 1, "key": "region"})
    await server.a_worker()

    async def emitted(account: str, region: str) -> str:
        return (await server.emit(data={"account": account, "region": region})).run_ids[0]

    ada_eu = await emitted("ada", "eu")
    bob_eu, bob_us = await emitted("bob", "eu"), await emitted("bob", "us")
    ada_us, eve_us = await emitted("ada", "us"), await emitted("eve", "us")

    # Bob's first waits for the region, so that his second goes; Ada's second waits for her and for the region.
    found = {job.run_id: job for job in await handed_out(server, "w1")}
    assert list(found) == [ada_eu, bob_us]
    # The region is free, and she who has waited longest for it cannot have it: her own run is not over.
    await server.report(found[bob_us], "completed")
    (eve,) = await handed_out(server, "w1")
    assert eve.run_id == eve_us
    await server.report(found[ada_eu], "completed")
    (bob,) = await handed_out(server, "w1")
    assert bob.run_id == bob_eu
    await server.report(eve, "completed")
    assert [job.run_id for job in await handed_out(server, "w1")] == [ada_us]


async def test_pausing_resuming_and_cancelling_free_and_take_both_slots(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 1}, retry={"max_attempts": 1})
    await server.a_worker()
    ada, bob, ada_again = [await a_run_of(server, account) for account in ("ada", "bob", "ada")]
    (job,) = await handed_out(server, "w1")
    await server.call(controls.pause, run_id=ada)
    await server.report(job, "progress")
    # A paused run keeps both.
    assert await handed_out(server, "w1") == []

    await server.call(controls.resume, run_id=ada)
    (job,) = await handed_out(server, "w1")
    assert job.run_id == ada
    await server.report(job, "failed")
    server.move(1)
    await server.call(controls.retry, id=ada)
    (job,) = await handed_out(server, "w1")
    assert job.run_id == bob
    await server.call(runs.cancel, id=bob)
    (job,) = await handed_out(server, "w1")
    assert job.run_id == ada_again
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 60_000))
    assert [each.run_id for each in await handed_out(server, "w1")] == [ada]


async def test_runs_that_needed_a_limit_go_on_when_it_is_taken_away(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 1})
    await server.a_worker()
    ada, bob, ada_again = [await a_run_of(server, account) for account in ("ada", "bob", "ada")]
    await server.a_function(actor_key="account")
    await server.a_worker()
    await server.loop("runs-admit")

    found = await handed_out(server, "w1")
    assert [each.run_id for each in found] == [ada, bob]
    await server.report(found[0], "completed")
    assert [each.run_id for each in await handed_out(server, "w1")] == [ada_again]


async def test_runs_from_before_there_was_a_limit_share_it_with_those_from_after(server: Work):
    await server.a_function(concurrency={"limit": 2})
    await server.a_worker()
    old = [await a_run_of(server, "ada") for _ in range(3)]
    await server.a_function(actor_key="account", concurrency={"limit": 2})
    await server.a_worker()
    new = [await a_run_of(server, "ada") for _ in range(3)]

    order: list[list[str]] = []
    taken: list[Assignment] = []
    for _ in range(6):
        taken += await handed_out(server, "w1")
        order.append([job.run_id for job in taken])
        await server.report(taken.pop(0), "completed")
    assert order == [old[:2], old[1:], [old[2], new[0]], [new[0]], [new[1]], [new[2]]]


async def test_a_long_queue_of_one_actor_is_passed_by(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 2})
    await server.a_worker()
    ada = [await a_run_of(server, "ada") for _ in range(40)]
    bob = [await a_run_of(server, "bob") for _ in range(40)]

    assert [each.run_id for each in await handed_out(server, "w1")] == [ada[0], bob[0]]
