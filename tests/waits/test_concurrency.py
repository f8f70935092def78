"""Concurrency limits: never more runs at a time than the limit, for each key, and no slot is ever lost."""

from ironflow.features.controls import contract as controls
from ironflow.features.functions import contract as functions
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.house import open_house
from tests.support.work import LEASE_MS, Work
from tests.support.yields import sleeps

TWO = {"limit": 2}
EACH_CUSTOMER = {"limit": 1, "key": "event.data.customer.id"}
HOUR_MS = 3_600_000


async def some_runs(house: Work, count: int, data: object = None) -> list[str]:
    """Ids of runs that one event after another started."""
    return [(await house.emit(data=data)).run_ids[0] for _ in range(count)]


async def handed_out(house: Work, worker: str = "w1") -> list[str]:
    return [job.run_id for job in await house.poll(worker, available=100)]


async def test_no_more_runs_than_the_limit_run_at_a_time_and_the_rest_follow_in_order(house: Work):
    await house.a_function(concurrency=TWO)
    await house.a_worker()
    run_ids = await some_runs(house, 5)

    taken = await house.poll(available=10)
    assert [job.run_id for job in taken] == run_ids[:2]
    assert await handed_out(house) == []

    await house.report(taken[1], "completed")
    assert await handed_out(house) == run_ids[2:3]
    await house.report(taken[0], "failed", error={"message": "no", "retryable": False})
    assert await handed_out(house) == run_ids[3:4]


async def test_without_a_limit_all_run(house: Work):
    await house.a_function()
    await house.a_worker()
    run_ids = await some_runs(house, 5)

    assert await handed_out(house) == run_ids


async def test_the_limit_is_for_each_value_of_the_key(house: Work):
    await house.a_function(concurrency=EACH_CUSTOMER)
    await house.a_worker()
    ada = await some_runs(house, 2, {"customer": {"id": "ada"}})
    bob = await some_runs(house, 2, {"customer": {"id": "bob"}})
    nobody = await some_runs(house, 2, {})

    # Runs whose event has no value at the key share one slot of their own.
    assert await handed_out(house) == [ada[0], bob[0], nobody[0]]


async def test_a_run_that_waits_gives_its_slot_back_and_queues_again(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    job = await house.claim()
    await house.report(job, "yielded", yielded=sleeps(job, house.now + 1_000))

    other = await house.claim()
    assert (job.run_id, other.run_id) == (first, second)
    house.move(1_000)
    await house.loop("timers")
    assert await handed_out(house) == []
    await house.report(other, "completed")
    assert await handed_out(house) == [first]


async def test_a_run_that_waits_for_its_next_attempt_gives_its_slot_back(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    _, second = await some_runs(house, 2)
    await house.report(await house.claim(), "failed")

    assert await handed_out(house) == [second]


async def test_a_lost_lease_frees_the_slot_and_the_run_queues_again(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    await house.claim()
    house.move(LEASE_MS)
    await house.loop("leases")
    await house.a_worker()

    # It waits as long as it has been back in the queue; the other one has waited longer.
    job = await house.claim()
    assert job.run_id == second
    await house.report(job, "completed")
    assert await handed_out(house) == [first]


async def test_a_job_that_nobody_began_keeps_its_slot(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, _ = await some_runs(house, 2)
    await house.claim(acked=False)
    await some_runs(house, 1)
    assert await handed_out(house) == []
    house.move(30_000)
    await house.loop("leases")

    assert await handed_out(house) == [first]


async def test_a_cancelled_run_frees_its_slot_whether_it_runs_or_queues(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second, third = await some_runs(house, 3)
    await house.claim()

    await house.call(runs.cancel, id=second)
    assert await handed_out(house) == []
    await house.call(runs.cancel, id=first)

    assert await handed_out(house) == [third]


async def test_a_paused_run_holds_its_slot_and_goes_on_first(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    job = await house.claim()
    await house.call(controls.pause, run_id=first)
    await house.report(job, "progress")
    assert (await house.run(first)).status is RunStatus.PAUSED
    assert await handed_out(house) == []

    house.move(1_000)
    await house.call(controls.resume, run_id=first)

    again = await house.claim()
    assert again.run_id == first
    await house.report(again, "completed")
    assert await handed_out(house) == [second]


async def test_a_paused_run_of_a_function_that_releases_leaves_its_slot_to_others(house: Work):
    await house.a_function(concurrency={"limit": 1}, pause_behavior="release")
    await house.a_worker()
    first, second = await some_runs(house, 2)
    job = await house.claim()
    await house.call(controls.pause, run_id=first)
    await house.report(job, "progress")

    other = await house.claim()
    assert other.run_id == second
    await house.call(controls.resume, run_id=first)
    assert await handed_out(house) == []
    await house.report(other, "completed")
    assert await handed_out(house) == [first]


async def test_a_run_that_is_paused_while_it_has_no_slot_takes_none_from_the_others(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    asleep, busy, queued, last = await some_runs(house, 4)
    job = await house.claim()
    await house.report(job, "yielded", yielded=sleeps(job, house.now + HOUR_MS))
    job = await house.claim()
    for run_id in (asleep, queued):
        await house.call(controls.pause, run_id=run_id)
    assert (await house.call(controls.why, id=last)).held_by == [busy]

    await house.report(job, "completed")

    assert await handed_out(house) == [last]


async def test_a_run_that_was_paused_without_a_slot_queues_behind_those_that_wait_longer(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    busy, paused, next_one = await some_runs(house, 3)
    job = await house.claim()
    await house.call(controls.pause, run_id=paused)
    house.move(1_000)
    await house.call(controls.resume, run_id=paused)

    await house.report(job, "completed")

    job = await house.claim()
    assert job.run_id == next_one
    await house.report(job, "completed")
    assert await handed_out(house) == [paused]
    assert (await house.run(busy)).status is RunStatus.COMPLETED


async def test_a_paused_run_that_is_cancelled_frees_the_slot_it_held(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    job = await house.claim()
    await house.call(controls.pause, run_id=first)
    await house.report(job, "progress")

    await house.call(runs.cancel, id=first)

    assert await handed_out(house) == [second]


async def test_a_limit_that_is_raised_or_taken_away_lets_waiting_runs_go(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    run_ids = await some_runs(house, 5)
    assert await handed_out(house) == run_ids[:1]

    await house.a_function(concurrency={"limit": 3})
    await house.loop("runs-admit")
    assert await handed_out(house) == run_ids[1:3]

    await house.a_function()
    await house.loop("runs-admit")
    assert await handed_out(house) == run_ids[3:]


async def test_a_limit_that_is_lowered_takes_nothing_from_those_that_run(house: Work):
    await house.a_function(concurrency={"limit": 3})
    await house.a_worker()
    await some_runs(house, 5)
    taken = await house.poll(available=10)
    await house.a_function(concurrency={"limit": 1})

    for job in taken[:2]:
        await house.report(job, "completed")
        assert await handed_out(house) == []
    await house.report(taken[2], "completed")
    assert len(await handed_out(house)) == 1


async def test_runs_queued_for_a_deleted_function_stay_and_the_others_are_not_disturbed(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = await some_runs(house, 2)
    job = await house.claim()
    await house.call(functions.delete, id="charge")

    await house.report(job, "completed")
    await house.loop("runs-admit")

    assert (await house.run(first)).status is RunStatus.COMPLETED
    assert (await house.run(second)).status is RunStatus.PENDING


async def test_slots_outlive_a_restart_of_the_server(database_url: str):
    async with open_house(Work, database_url) as house:
        await house.a_function(concurrency={"limit": 1})
        await house.a_worker()
        run_ids = await some_runs(house, 3)
        job = await house.claim()

    async with open_house(Work, database_url) as house:
        assert await handed_out(house) == []
        await house.report(job, "completed")
        assert await handed_out(house) == run_ids[1:2]
        assert (await house.run(run_ids[0])).status is RunStatus.COMPLETED
