"""Workers register, ask for jobs, are made to wait, are counted, and are forgotten."""

import asyncio
from typing import Any

import pytest

from ironflow.base.spelling import BadField
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import InvalidWorker, WorkerNotFound
from ironflow.features.runs.contract import RunStatus
from tests.support.work import LEASE_MS, Work

EVICT_MS = 120_000


async def emitted(house: Work, count: int, **more: Any) -> list[str]:
    """The runs of so many orders, in order."""
    return [(await house.emit(data=number, **more)).run_ids[0] for number in range(count)]


async def test_jobs_go_out_in_the_order_of_their_runs_and_never_more_than_asked_for(house: Work):
    await house.a_function()
    await house.a_worker()
    runs = await emitted(house, 5)

    first = await house.poll(available=2)
    rest = await house.poll(available=10)

    assert [job.run_id for job in (*first, *rest)] == runs
    assert (len(first), len(rest)) == (2, 3)
    assert await house.poll() == []


async def test_a_worker_never_has_more_jobs_than_it_registered_for(house: Work):
    await house.a_function()
    await house.a_worker(jobs_max=2)
    await emitted(house, 5)

    first = await house.poll(available=10, acked=False)
    assert len(first) == 2
    assert await house.poll(available=10) == []

    await house.ack(first[0])
    assert await house.poll(available=10) == []
    await house.report(first[0], "completed")
    assert len(await house.poll(available=10)) == 1


async def test_a_poll_for_no_jobs_gets_none(house: Work):
    await house.a_run()
    assert await house.poll(available=0) == []


async def test_a_worker_gets_only_jobs_of_functions_it_lists(house: Work):
    await house.a_function("charge")
    await house.a_function("ship")
    await house.a_worker("w1", ["charge"])
    await house.a_worker("w2", ["ship", "unknown"])
    await house.emit()

    assert [job.function_id for job in await house.poll("w1", available=10)] == ["charge"]
    assert [job.function_id for job in await house.poll("w2", available=10)] == ["ship"]


async def test_jobs_of_many_functions_go_out_longest_waiting_first(house: Work):
    names = [f"f-{number:02}" for number in range(30)]
    for name in names:
        await house.a_function(name, on=None)
    await house.a_worker("w1", names, jobs_max=100)
    started: list[str] = []
    for name in reversed(names):
        house.move(1)
        started += (await house.emit(name)).run_ids

    assert [job.run_id for job in await house.poll(available=12)] == started[:12]
    assert [job.run_id for job in await house.poll(available=100)] == started[12:]


async def test_two_polls_that_race_for_one_job_do_not_both_get_it(house: Work):
    await house.a_function()
    for number in range(8):
        await house.a_worker(f"w{number}")
    await house.emit()

    claimed = await asyncio.gather(*(house.poll(f"w{number}") for number in range(8)))

    assert sorted(len(each) for each in claimed) == [0] * 7 + [1]


async def test_many_polls_at_once_share_out_all_jobs_once(house: Work):
    await house.a_function()
    for number in range(10):
        await house.a_worker(f"w{number}")
    runs = await emitted(house, 60)

    rounds = [await asyncio.gather(*(house.poll(f"w{number}", available=3) for number in range(10))) for _ in range(2)]

    claimed = [job.run_id for polls in rounds for each in polls for job in each]
    assert sorted(claimed) == sorted(runs)


async def test_a_held_poll_is_answered_by_the_emit(house: Work):
    await house.a_function()
    await house.a_worker()
    polling = asyncio.ensure_future(house.poll(wait=10))
    other = asyncio.ensure_future(house.poll(wait=0.05))
    await asyncio.wait([other])

    emission = await house.emit()

    assert [job.run_id for job in await polling] == emission.run_ids


async def test_a_held_poll_that_nothing_comes_for_is_answered_empty(house: Work):
    await house.a_function()
    await house.a_worker()

    answer = await house.call(jobs.poll, worker="w1", wait=0.02)

    assert (answer.jobs, answer.held_s) == ([], 1)
    assert (await house.call(jobs.poll, worker="w1")).held_s is None


async def test_the_longest_waiting_poll_gets_the_job(house: Work):
    await house.a_function()
    await house.a_worker("w1")
    await house.a_worker("w2")
    first = asyncio.ensure_future(house.poll("w1", wait=10))
    await house.poll("w2")
    second = asyncio.ensure_future(house.poll("w2", wait=0.2))
    await house.poll("w2")

    await house.emit()

    assert len(await first) == 1
    assert await second == []


async def test_a_held_poll_is_answered_by_a_retry_a_sleep_and_a_lost_lease(house: Work):
    run = await house.a_run()
    job = await house.claim()

    async def next_after(by_ms: int, loop: str) -> Any:
        polling = asyncio.ensure_future(house.poll(wait=10))
        await house.poll(available=0)
        house.move(by_ms)
        await house.loop(loop)
        (job,) = await polling
        return job

    await house.report(job, "failed")
    retried = await next_after(1_000, "timers")
    assert (retried.run_id, retried.attempt) == (run.id, 2)

    await house.sleep(retried, until=house.now + 5_000)
    woken = await next_after(5_000, "timers")
    assert (woken.run_id, woken.attempt, len(woken.completed_steps)) == (run.id, 2, 1)

    regained = await next_after(LEASE_MS, "leases")
    assert (regained.run_id, regained.execution_seq) == (run.id, 4)


async def test_a_poll_that_goes_away_leaves_the_job_to_another(house: Work):
    await house.a_function()
    await house.a_worker("w1")
    await house.a_worker("w2")
    polling = asyncio.ensure_future(house.poll("w1", wait=10))
    await house.poll("w2")

    # At this moment the job may be on its way to the first poll already; then it is given back.
    await house.emit()
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling

    assert len(await house.poll("w2", wait=5)) == 1


async def test_a_poll_that_went_away_before_gets_nothing(house: Work):
    await house.a_function()
    await house.a_worker("w1")
    await house.a_worker("w2")
    polling = asyncio.ensure_future(house.poll("w1", wait=10))
    await house.poll("w2")
    polling.cancel()
    await asyncio.wait([polling])

    await house.emit()

    (job,) = await house.poll("w2")
    assert job.execution_seq == 1


async def test_a_heartbeat_renews_exactly_the_jobs_it_lists(house: Work):
    await house.a_function()
    await house.a_worker()
    kept_id, lost_id = await emitted(house, 2)
    kept, _ = await house.poll(available=2)
    house.move(60_000)

    await house.heartbeat(kept)
    house.move(LEASE_MS - 60_000)
    await house.loop("leases")

    assert (await house.run(kept_id)).status is RunStatus.RUNNING
    assert (await house.run(lost_id)).status is RunStatus.PENDING


async def test_another_workers_heartbeat_renews_nothing(house: Work):
    run = await house.a_run()
    job = await house.claim("w1")
    await house.a_worker("w2")
    house.move(60_000)

    await house.heartbeat(job, worker="w2")
    house.move(30_000)
    await house.loop("leases")

    assert (await house.run(run.id)).status is RunStatus.PENDING


async def test_registering_again_keeps_the_leases_and_takes_over_the_configuration(house: Work):
    run = await house.a_run()
    job = await house.claim()

    await house.a_worker("w1", ["charge", "ship"], jobs_max=3)

    await house.report(job, "completed")
    assert (await house.run(run.id)).status is RunStatus.COMPLETED
    (shown,) = (await house.call(jobs.list_workers)).workers
    assert (shown.function_ids, shown.max_concurrent) == (["charge", "ship"], 3)


async def test_a_worker_that_was_not_registered_is_not_found(house: Work):
    await house.a_worker("w1", env="staging")
    for env, worker in (("default", "w1"), ("staging", "w2")):
        with pytest.raises(WorkerNotFound):
            await house.poll(worker, env=env)
        with pytest.raises(WorkerNotFound):
            await house.call(jobs.heartbeat, worker=worker, env=env)


async def test_a_silent_worker_is_forgotten_and_its_jobs_go_to_others(house: Work):
    run = await house.a_run()
    await house.claim("w1")
    house.move(EVICT_MS)
    await house.a_worker("w2")
    await house.loops()

    with pytest.raises(WorkerNotFound):
        await house.poll("w1")
    assert [each.id for each in (await house.call(jobs.list_workers)).workers] == ["w2"]
    assert (await house.claim("w2")).run_id == run.id


async def test_polls_and_heartbeats_keep_a_worker_alive(house: Work):
    await house.a_worker("polls")
    await house.a_worker("beats")
    for _ in range(6):
        house.move(EVICT_MS // 3)
        await house.poll("polls")
        await house.heartbeat(worker="beats")
        await house.loop("workers")

    assert [each.id for each in (await house.call(jobs.list_workers)).workers] == ["beats", "polls"]


async def test_workers_are_listed_by_pages_with_what_they_do(house: Work):
    await house.a_function()
    for number in range(3):
        await house.call(
            jobs.register,
            worker=f"w{number}",
            hostname="box",
            function_ids=["charge"],
            max_concurrent_jobs=5,
            labels={"zone": "eu"},
            version={"sdk": "1.0", "runtime": "python-3.11"},
        )
    await emitted(house, 2)
    await house.poll("w1", available=2)

    first = await house.call(jobs.list_workers, limit=2)
    rest = await house.call(jobs.list_workers, limit=2, cursor=first.next_cursor)

    assert [each.id for each in (*first.workers, *rest.workers)] == ["w0", "w1", "w2"]
    assert (first.count, rest.count, rest.next_cursor) == (2, 1, None)
    shown = first.workers[1]
    assert (shown.hostname, shown.active_jobs, shown.max_concurrent) == ("box", 2, 5)
    assert (shown.labels, shown.version.runtime, shown.transport) == ({"zone": "eu"}, "python-3.11", "polling")


NOT_VALID: list[dict[str, Any]] = [
    {"worker": "w1", "function_ids": []},
    {"worker": "", "function_ids": ["a"]},
    {"worker": "two words", "function_ids": ["a"]},
    {"worker": "a/b", "function_ids": ["a"]},
    {"worker": "a*", "function_ids": ["a"]},
    {"worker": "x" * 129, "function_ids": ["a"]},
]


async def test_a_worker_needs_an_id_and_functions(house: Work):
    for body in NOT_VALID:
        with pytest.raises(InvalidWorker):
            await house.ask(jobs.register, body)
    for body in ({"worker": "w1"} | more for more in ({"max_concurrent_jobs": 0}, {"function_ids": [1]})):
        with pytest.raises(BadField):
            await house.ask(jobs.register, body)


async def test_environments_share_neither_workers_nor_slots(house: Work):
    for env in ("default", "staging"):
        await house.a_function(env=env)
        await house.a_worker("w1", jobs_max=1, env=env)
        await house.emit(env=env)

    assert len(await house.poll("w1")) == 1
    assert len(await house.poll("w1", env="staging")) == 1
    for env in ("default", "staging"):
        (shown,) = (await house.call(jobs.list_workers, env=env)).workers
        assert shown.active_jobs == 1


async def test_a_held_poll_gets_a_job_whose_ring_was_lost(house: Work):
    await house.a_function()
    await house.a_worker()
    (run_id,) = await emitted(house, 1)
    await house.db.write(lambda tx: tx.run("UPDATE jobs SET state = 'queued'"))
    poll = asyncio.create_task(house.poll(wait=20))
    for _ in range(1_000):
        await asyncio.sleep(0)
        if house.inside.desk.waiting():
            break

    # Ready, and nobody rings.
    await house.db.write(lambda tx: tx.run("UPDATE jobs SET state = 'ready'"))
    await house.loop("jobs-offer")

    assert [job.run_id for job in await poll] == [run_id]
