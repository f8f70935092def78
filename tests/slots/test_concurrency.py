"""Concurrency limits: never more runs at a time than the limit, for each key, and no slot is ever lost."""

from ironflow.features.controls import contract as controls
from ironflow.features.functions import contract as functions
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.server import open_server
from tests.support.work import LEASE_MS, Work
from tests.support.yields import sleeps

TWO = {"limit": 2}
EACH_CUSTOMER = {"limit": 1, "key": "event.data.customer.id"}
HOUR_MS = 3_600_000


async def some_runs(server: Work, count: int, data: object = None) -> list[str]:
    """Ids of runs that one event after another started."""
    return [(await server.emit(data=data)).run_ids[0] for _ in range(count)]


async def handed_out(server: Work, worker: str = "w1") -> list[str]:
    return [job.run_id for job in await server.poll(worker, available=100)]


async def test_no_more_runs_than_the_limit_run_at_a_time_and_the_rest_follow_in_order(server: Work):
    await server.a_function(concurrency=TWO)
    await server.a_worker()
    run_ids = await some_runs(server, 5)

    taken = await server.poll(available=10)
    assert [job.run_id for job in taken] == run_ids[:2]
    assert await handed_out(server) == []

    await server.report(taken[1], "completed")
    assert await handed_out(server) == run_ids[2:3]
    await server.report(taken[0], "failed", error={"message": "no", "retryable": False})
    assert await handed_out(server) == run_ids[3:4]


async def test_without_a_limit_all_run(server: Work):
    await server.a_function()
    await server.a_worker()
    run_ids = await some_runs(server, 5)

    assert await handed_out(server) == run_ids


async def test_the_limit_is_for_each_value_of_the_key(server: Work):
    await server.a_function(concurrency=EACH_CUSTOMER)
    await server.a_worker()
    ada = await some_runs(server, 2, {"customer": {"id": "ada"}})
    bob = await some_runs(server, 2, {"customer": {"id": "bob"}})
    unnamed = await some_runs(server, 2, {})

    # Runs whose event has no value at the key share one slot of their own.
    assert await handed_out(server) == [ada[0], bob[0], unnamed[0]]


async def test_a_run_that_waits_gives_its_slot_back_and_queues_again(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    job = await server.claim()
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 1_000))

    other = await server.claim()
    assert (job.run_id, other.run_id) == (first, second)
    server.move(1_000)
    await server.loop("timers")
    assert await handed_out(server) == []
    await server.report(other, "completed")
    assert await handed_out(server) == [first]


async def test_a_run_that_waits_for_its_next_attempt_gives_its_slot_back(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    _, second = await some_runs(server, 2)
    await server.report(await server.claim(), "failed")

    assert await handed_out(server) == [second]


async def test_a_lost_lease_frees_the_slot_and_the_run_queues_again(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    await server.claim()
    server.move(LEASE_MS)
    await server.loop("leases")
    await server.a_worker()

    # It waits as long as it has been back in the queue; the other one has waited longer.
    job = await server.claim()
    assert job.run_id == second
    await server.report(job, "completed")
    assert await handed_out(server) == [first]


async def test_a_job_that_no_worker_began_keeps_its_slot(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, _ = await some_runs(server, 2)
    await server.claim(acked=False)
    await some_runs(server, 1)
    assert await handed_out(server) == []
    server.move(30_000)
    await server.loop("leases")

    assert await handed_out(server) == [first]


async def test_a_cancelled_run_frees_its_slot_whether_it_runs_or_queues(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second, third = await some_runs(server, 3)
    await server.claim()

    await server.call(runs.cancel, id=second)
    assert await handed_out(server) == []
    await server.call(runs.cancel, id=first)

    assert await handed_out(server) == [third]


async def test_a_paused_run_holds_its_slot_and_goes_on_first(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    job = await server.claim()
    await server.call(controls.pause, run_id=first)
    await server.report(job, "progress")
    assert (await server.run(first)).status is RunStatus.PAUSED
    assert await handed_out(server) == []

    server.move(1_000)
    await server.call(controls.resume, run_id=first)

    again = await server.claim()
    assert again.run_id == first
    await server.report(again, "completed")
    assert await handed_out(server) == [second]


async def test_a_paused_run_of_a_function_that_releases_leaves_its_slot_to_others(server: Work):
    await server.a_function(concurrency={"limit": 1}, pause_behavior="release")
    await server.a_worker()
    first, second = await some_runs(server, 2)
    job = await server.claim()
    await server.call(controls.pause, run_id=first)
    await server.report(job, "progress")

    other = await server.claim()
    assert other.run_id == second
    await server.call(controls.resume, run_id=first)
    assert await handed_out(server) == []
    await server.report(other, "completed")
    assert await handed_out(server) == [first]


async def test_a_run_that_is_paused_while_it_has_no_slot_takes_none_from_the_others(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    asleep, busy, queued, last = await some_runs(server, 4)
    job = await server.claim()
    await server.report(job, "yielded", yielded=sleeps(job, server.now + HOUR_MS))
    job = await server.claim()
    for run_id in (asleep, queued):
        await server.call(controls.pause, run_id=run_id)
    assert (await server.call(controls.why, id=last)).held_by == [busy]

    await server.report(job, "completed")

    assert await handed_out(server) == [last]


async def test_a_run_that_was_paused_without_a_slot_queues_behind_those_that_wait_longer(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    busy, paused, next_one = await some_runs(server, 3)
    job = await server.claim()
    await server.call(controls.pause, run_id=paused)
    server.move(1_000)
    await server.call(controls.resume, run_id=paused)

    await server.report(job, "completed")

    job = await server.claim()
    assert job.run_id == next_one
    await server.report(job, "completed")
    assert await handed_out(server) == [paused]
    assert (await server.run(busy)).status is RunStatus.COMPLETED


async def test_a_paused_run_that_is_cancelled_frees_the_slot_it_held(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    job = await server.claim()
    await server.call(controls.pause, run_id=first)
    await server.report(job, "progress")

    await server.call(runs.cancel, id=first)

    assert await handed_out(server) == [second]


async def test_a_limit_that_is_raised_or_taken_away_lets_waiting_runs_go(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    run_ids = await some_runs(server, 5)
    assert await handed_out(server) == run_ids[:1]

    await server.a_function(concurrency={"limit": 3})
    await server.loop("runs-admit")
    assert await handed_out(server) == run_ids[1:3]

    await server.a_function()
    await server.loop("runs-admit")
    assert await handed_out(server) == run_ids[3:]


async def test_a_limit_that_is_lowered_takes_nothing_from_those_that_run(server: Work):
    await server.a_function(concurrency={"limit": 3})
    await server.a_worker()
    await some_runs(server, 5)
    taken = await server.poll(available=10)
    await server.a_function(concurrency={"limit": 1})

    for job in taken[:2]:
        await server.report(job, "completed")
        assert await handed_out(server) == []
    await server.report(taken[2], "completed")
    assert len(await handed_out(server)) == 1


async def test_runs_queued_for_a_deleted_function_stay_and_the_others_are_not_disturbed(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = await some_runs(server, 2)
    job = await server.claim()
    await server.call(functions.delete, id="charge")

    await server.report(job, "completed")
    await server.loop("runs-admit")

    assert (await server.run(first)).status is RunStatus.COMPLETED
    assert (await server.run(second)).status is RunStatus.PENDING


async def test_slots_outlive_a_restart_of_the_server(database_url: str):
    async with open_server(Work, database_url) as server:
        await server.a_function(concurrency={"limit": 1})
        await server.a_worker()
        run_ids = await some_runs(server, 3)
        job = await server.claim()

    async with open_server(Work, database_url) as server:
        assert await handed_out(server) == []
        await server.report(job, "completed")
        assert await handed_out(server) == run_ids[1:2]
        assert (await server.run(run_ids[0])).status is RunStatus.COMPLETED
