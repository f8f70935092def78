"""Workers register, ask for jobs, are made to wait, are counted, and are forgotten."""

import asyncio
from typing import Any

import pytest

from ironflow.base.spelling import BadField
from ironflow.features.endpoints import in_tx as endpoints
from ironflow.features.endpoints.in_tx import Limits
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import InvalidWorker, WorkerNotFound
from ironflow.features.jobs.rules import EVICTED_KEPT_MS
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.contract import RunStatus
from tests.support.work import LEASE_MS, Work

EVICT_MS = 120_000


async def emitted(server: Work, count: int, **more: Any) -> list[str]:
    """The runs of so many orders, in order."""
    return [(await server.emit(data=number, **more)).run_ids[0] for number in range(count)]


async def test_jobs_go_out_in_the_order_of_their_runs_and_never_more_than_asked_for(server: Work):
    await server.a_function()
    await server.a_worker()
    runs = await emitted(server, 5)

    first = await server.poll(available=2)
    rest = await server.poll(available=10)

    assert [job.run_id for job in (*first, *rest)] == runs
    assert (len(first), len(rest)) == (2, 3)
    assert await server.poll() == []


async def test_a_worker_never_has_more_jobs_than_it_registered_for(server: Work):
    await server.a_function()
    await server.a_worker(jobs_max=2)
    await emitted(server, 5)

    first = await server.poll(available=10, acked=False)
    assert len(first) == 2
    assert await server.poll(available=10) == []

    await server.ack(first[0])
    assert await server.poll(available=10) == []
    await server.report(first[0], "completed")
    assert len(await server.poll(available=10)) == 1


async def test_a_poll_for_no_jobs_gets_none(server: Work):
    await server.a_run()
    assert await server.poll(available=0) == []


async def test_a_worker_gets_only_jobs_of_functions_it_lists(server: Work):
    await server.a_function("charge")
    await server.a_function("ship")
    await server.a_worker("w1", ["charge"])
    await server.a_worker("w2", ["ship", "unknown"])
    await server.emit()

    assert [job.function_id for job in await server.poll("w1", available=10)] == ["charge"]
    assert [job.function_id for job in await server.poll("w2", available=10)] == ["ship"]


async def test_a_worker_gets_no_jobs_of_push_functions(server: Work):
    url = "https://example.com/hook"
    await server.a_function(endpoint_url=url)
    await server.a_function("ship")
    await server.a_worker("w1", ["charge", "ship"])
    # Its circuit breaker is open, so the endpoint is not called either.
    await server.db.write(lambda tx: endpoints.failed(tx, "default", url, Limits(1), "down", server.now))
    poll = asyncio.create_task(server.poll(available=5, wait=20))
    await server.emit()
    assert [job.function_id for job in await poll] == ["ship"]
    assert await server.poll(available=5) == []

    # Registered anew as pull, its waiting runs go to workers.
    await server.a_function()
    assert [job.function_id for job in await server.poll(available=5)] == ["charge"]


async def test_jobs_of_many_functions_go_out_longest_waiting_first(server: Work):
    names = [f"f-{number:02}" for number in range(30)]
    for name in names:
        await server.a_function(name, on=None)
    await server.a_worker("w1", names, jobs_max=100)
    started: list[str] = []
    for name in reversed(names):
        server.move(1)
        started += (await server.emit(name)).run_ids

    assert [job.run_id for job in await server.poll(available=12)] == started[:12]
    assert [job.run_id for job in await server.poll(available=100)] == started[12:]


async def test_two_polls_that_race_for_one_job_do_not_both_get_it(server: Work):
    await server.a_function()
    for number in range(8):
        await server.a_worker(f"w{number}")
    await server.emit()

    claimed = await asyncio.gather(*(server.poll(f"w{number}") for number in range(8)))

    assert sorted(len(each) for each in claimed) == [0] * 7 + [1]


async def test_many_polls_at_once_share_out_all_jobs_once(server: Work):
    await server.a_function()
    for number in range(10):
        await server.a_worker(f"w{number}")
    runs = await emitted(server, 60)

    rounds = [await asyncio.gather(*(server.poll(f"w{number}", available=3) for number in range(10))) for _ in range(2)]

    claimed = [job.run_id for polls in rounds for each in polls for job in each]
    assert sorted(claimed) == sorted(runs)


async def test_a_held_poll_is_answered_by_the_emit(server: Work):
    await server.a_function()
    await server.a_worker()
    polling = asyncio.ensure_future(server.poll(wait=10))
    other = asyncio.ensure_future(server.poll(wait=0.05))
    await asyncio.wait([other])

    emission = await server.emit()

    assert [job.run_id for job in await polling] == emission.run_ids


async def test_a_held_poll_that_nothing_comes_for_is_answered_empty(server: Work):
    await server.a_function()
    await server.a_worker()

    answer = await server.call(jobs.poll, worker="w1", wait=0.02)

    assert (answer.jobs, answer.held_s) == ([], 1)
    assert (await server.call(jobs.poll, worker="w1")).held_s is None


async def test_the_longest_waiting_poll_gets_the_job(server: Work):
    await server.a_function()
    await server.a_worker("w1")
    await server.a_worker("w2")
    first = asyncio.ensure_future(server.poll("w1", wait=10))
    await server.poll("w2")
    second = asyncio.ensure_future(server.poll("w2", wait=0.2))
    await server.poll("w2")

    await server.emit()

    assert len(await first) == 1
    assert await second == []


async def test_a_held_poll_is_answered_by_a_retry_a_sleep_and_a_lost_lease(server: Work):
    run = await server.a_run()
    job = await server.claim()

    async def next_after(by_ms: int, loop: str) -> Any:
        polling = asyncio.ensure_future(server.poll(wait=10))
        await server.poll(available=0)
        server.move(by_ms)
        await server.loop(loop)
        (job,) = await polling
        return job

    await server.report(job, "failed")
    retried = await next_after(1_000, "timers")
    assert (retried.run_id, retried.attempt) == (run.id, 2)

    await server.sleep(retried, until=server.now + 5_000)
    woken = await next_after(5_000, "timers")
    assert (woken.run_id, woken.attempt, len(woken.completed_steps)) == (run.id, 2, 1)

    regained = await next_after(LEASE_MS, "leases")
    assert (regained.run_id, regained.execution_seq) == (run.id, 4)


async def test_a_poll_that_goes_away_leaves_the_job_to_another(server: Work):
    await server.a_function()
    await server.a_worker("w1")
    await server.a_worker("w2")
    polling = asyncio.ensure_future(server.poll("w1", wait=10))
    await server.poll("w2")

    # At this moment the job may be on its way to the first poll already; then it is given back.
    await server.emit()
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling

    assert len(await server.poll("w2", wait=5)) == 1


async def test_a_poll_that_went_away_before_gets_nothing(server: Work):
    await server.a_function()
    await server.a_worker("w1")
    await server.a_worker("w2")
    polling = asyncio.ensure_future(server.poll("w1", wait=10))
    await server.poll("w2")
    polling.cancel()
    await asyncio.wait([polling])

    await server.emit()

    (job,) = await server.poll("w2")
    assert job.execution_seq == 1


async def test_a_heartbeat_renews_exactly_the_jobs_it_lists(server: Work):
    await server.a_function()
    await server.a_worker()
    kept_id, lost_id = await emitted(server, 2)
    kept, _ = await server.poll(available=2)
    server.move(60_000)

    await server.heartbeat(kept)
    server.move(LEASE_MS - 60_000)
    (ran,) = await server.loop("leases")

    assert ran.done == {"lost": 1}
    assert (await server.run(kept_id)).status is RunStatus.RUNNING
    assert (await server.run(lost_id)).status is RunStatus.PENDING


async def test_a_lost_worker_is_one_line_in_the_log(server: Work, caplog: pytest.LogCaptureFixture):
    await server.a_function()
    await server.a_worker()
    run_ids = await emitted(server, 2)
    for job in await server.poll(available=2):
        await server.heartbeat(job)
    server.move(LEASE_MS)

    await server.loop("leases")

    (record,) = [each for each in caplog.records if each.name == "ironflow.features.jobs.loops"]
    assert (record.message, record.levelname) == ("worker lost", "WARNING")
    fields = (record.environment, record.worker_id, record.runs, sorted(record.run_ids))  # type: ignore[attr-defined]
    assert fields == ("default", "w1", 2, sorted(run_ids))


async def test_another_workers_heartbeat_renews_nothing(server: Work):
    run = await server.a_run()
    job = await server.claim("w1")
    await server.a_worker("w2")
    server.move(60_000)

    await server.heartbeat(job, worker="w2")
    server.move(30_000)
    await server.loop("leases")

    assert (await server.run(run.id)).status is RunStatus.PENDING


async def test_registering_again_keeps_the_leases_and_takes_over_the_configuration(server: Work):
    run = await server.a_run()
    job = await server.claim()

    await server.a_worker("w1", ["charge", "ship"], jobs_max=3)

    await server.report(job, "completed")
    assert (await server.run(run.id)).status is RunStatus.COMPLETED
    (shown,) = (await server.call(jobs.list_workers)).workers
    assert (shown.function_ids, shown.max_concurrent) == (["charge", "ship"], 3)


async def test_a_worker_that_was_not_registered_is_not_found(server: Work):
    await server.a_worker("w1", env="staging")
    for env, worker in (("default", "w1"), ("staging", "w2")):
        with pytest.raises(WorkerNotFound):
            await server.poll(worker, env=env)
        with pytest.raises(WorkerNotFound):
            await server.call(jobs.heartbeat, worker=worker, env=env)


async def listed(server: Work) -> list[str]:
    return [each.id for each in (await server.call(jobs.list_workers)).workers]


async def test_a_silent_worker_is_evicted_and_its_jobs_go_to_others(server: Work):
    run = await server.a_run()
    await server.claim("w1")
    server.move(EVICT_MS)
    await server.a_worker("w2")
    await server.loops()

    assert await listed(server) == ["w2"]
    assert (await server.claim("w2")).run_id == run.id


@pytest.mark.parametrize("sign", ["poll", "heartbeat"])
async def test_a_worker_that_comes_back_after_an_outage_is_revived_with_its_functions(server: Work, sign: str):
    """Workers of the Go SDK never register a second time."""
    await server.a_function()
    await server.a_worker("w1")
    server.move(EVICT_MS + 30_000)
    await server.loops()
    assert await listed(server) == []

    if sign == "heartbeat":
        await server.call(jobs.heartbeat, worker="w1")
    run_id = (await server.emit()).run_ids[0]

    assert (await server.claim("w1")).run_id == run_id
    assert await listed(server) == ["w1"]
    await server.loops()
    assert await listed(server) == ["w1"]


async def test_an_evicted_worker_is_forgotten_in_the_end(server: Work):
    await server.a_worker("w1")
    for wait_ms in (EVICT_MS, EVICTED_KEPT_MS):
        server.move(wait_ms)
        await server.loops()
    with pytest.raises(WorkerNotFound):
        await server.poll("w1")


async def test_polls_and_heartbeats_keep_a_worker_alive(server: Work):
    await server.a_worker("polls")
    await server.a_worker("beats")
    for _ in range(6):
        server.move(EVICT_MS // 3)
        await server.poll("polls")
        await server.heartbeat(worker="beats")
        await server.loop("workers")

    assert [each.id for each in (await server.call(jobs.list_workers)).workers] == ["beats", "polls"]


async def test_workers_are_listed_by_pages_with_what_they_do(server: Work):
    await server.a_function()
    for number in range(3):
        await server.call(
            jobs.register,
            worker=f"w{number}",
            hostname="box",
            function_ids=["charge"],
            max_concurrent_jobs=5,
            labels={"zone": "eu"},
            version={"sdk": "1.0", "runtime": "python-3.11"},
        )
    await emitted(server, 2)
    await server.poll("w1", available=2)

    first = await server.call(jobs.list_workers, limit=2)
    rest = await server.call(jobs.list_workers, limit=2, cursor=first.next_cursor)

    assert [each.id for each in (*first.workers, *rest.workers)] == ["w0", "w1", "w2"]
    assert (first.count, rest.count, rest.next_cursor) == (2, 1, None)
    shown = first.workers[1]
    assert (shown.hostname, shown.active_jobs, shown.max_concurrent) == ("box", 2, 5)
    assert (shown.labels, shown.version.runtime, shown.transport) == ({"zone": "eu"}, "python-3.11", "rest-polling")


async def test_a_worker_that_has_drained_is_listed_no_more(server: Work):
    await server.a_function()
    await server.a_worker("w1")
    await server.a_worker("w2")

    await server.call(jobs.leave, worker="w1")

    assert [each.id for each in (await server.call(jobs.list_workers)).workers] == ["w2"]


NOT_VALID: list[dict[str, Any]] = [
    {"worker": "", "function_ids": ["a"]},
    {"worker": "two tokens", "function_ids": ["a"]},
    {"worker": "a/b", "function_ids": ["a"]},
    {"worker": "a*", "function_ids": ["a"]},
    {"worker": "x" * 129, "function_ids": ["a"]},
]


async def test_a_worker_without_functions_is_taken(server: Work):
    """A worker that only runs projections lists none."""
    await server.ask(jobs.register, {"worker": "w1", "function_ids": []})
    assert await server.poll("w1", available=2) == []


async def test_a_worker_needs_an_id_that_is_one_token(server: Work):
    for body in NOT_VALID:
        with pytest.raises(InvalidWorker):
            await server.ask(jobs.register, body)
    for body in ({"worker": "w1"} | more for more in ({"max_concurrent_jobs": 0}, {"function_ids": [1]})):
        with pytest.raises(BadField):
            await server.ask(jobs.register, body)


async def test_environments_share_neither_workers_nor_slots(server: Work):
    for env in ("default", "staging"):
        await server.a_function(env=env)
        await server.a_worker("w1", jobs_max=1, env=env)
        await server.emit(env=env)

    assert len(await server.poll("w1")) == 1
    assert len(await server.poll("w1", env="staging")) == 1
    for env in ("default", "staging"):
        (shown,) = (await server.call(jobs.list_workers, env=env)).workers
        assert shown.active_jobs == 1


async def test_a_held_poll_gets_a_job_whose_notification_was_lost(server: Work):
    await server.a_function()
    await server.a_worker()
    (run_id,) = await emitted(server, 1)
    await server.db.write(lambda tx: tx.run("UPDATE jobs SET state = 'queued'"))
    poll = asyncio.create_task(server.poll(wait=20))
    for _ in range(1_000):
        await asyncio.sleep(0)
        if server.part(Jobs).matcher.waiting():
            break

    # Ready, without a notification.
    await server.db.write(lambda tx: tx.run("UPDATE jobs SET state = 'ready'"))
    await server.loop("jobs-offer")

    assert [job.run_id for job in await poll] == [run_id]


async def test_a_held_poll_without_capacity_is_answered_when_a_job_of_its_worker_ends(server: Work):
    await server.a_function()
    await server.a_worker(jobs_max=2)
    runs = await emitted(server, 3)
    # The worker has dropped one of the two, and asks for two.
    _, job = await server.poll(available=2)
    poll = asyncio.create_task(server.poll(available=2, wait=20))
    # Answered after the first look of the held poll.
    assert await server.poll(available=2) == []

    await server.report(job, "completed")

    assert [each.run_id for each in await poll] == runs[2:]
