"""Bulk jobs: cancel, retry or resume all runs that pass a filter, a few at a time; a crash costs no progress."""

from typing import Any

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.bulk import contract as bulk
from ironflow.features.bulk.contract import Bulk, BulkEnded, BulkNotFound, InvalidBulk
from ironflow.features.bulk.loops import BATCH, AdvanceBulk
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.house import open_house
from tests.support.work import Work

FINAL = {"message": "no", "retryable": False}


async def many_runs(house: Work, count: int) -> list[str]:
    """Pending runs of `charge`, oldest first."""
    await house.a_function()
    await house.a_worker(jobs_max=1000)
    answer = await house.call(events.emit_batch, events=[{"event": "order.placed", "data": n} for n in range(count)])
    return [each.run_ids[0] for each in answer.results]


async def failed_runs(house: Work, count: int) -> list[str]:
    run_ids = await many_runs(house, count)
    for job in await house.poll(available=1000):
        await house.report(job, "failed", error=FINAL)
    return run_ids


async def start(house: Work, action: str, **wanted: Any) -> Bulk:
    return await house.call(bulk.start, action=action, **wanted)


async def counts(house: Work, job: Bulk) -> tuple[str, int, int, int]:
    found = await house.call(bulk.get, id=job.id)
    return found.status, found.matched, found.changed, found.refused


async def total(house: Work, status: str) -> int:
    return (await house.call(runs.list_, status=status, limit=1)).total_count


async def test_all_runs_that_pass_the_filter_are_cancelled_a_few_at_a_time(house: Work):
    await many_runs(house, 2 * BATCH + 10)
    await house.a_function("other", on="something.else")
    (spared,) = (await house.emit("something.else")).run_ids

    job = await start(house, "cancel", function_id="charge", reason="wrong prices")
    assert (job.status, job.matched, job.changed) == ("running", 2 * BATCH + 10, 0)

    rounds = await house.loop("bulk")
    assert [each.reached for each in rounds] == [BATCH, BATCH, 10, 0]
    assert await counts(house, job) == ("done", 2 * BATCH + 10, 2 * BATCH + 10, 0)
    assert (await house.run(spared)).status is RunStatus.PENDING
    cancelled = await house.runs(status="cancelled", limit=1)
    assert cancelled[0].cancellation_cause == "wrong prices"
    assert await house.poll(available=10) == []


async def test_failed_runs_are_retried_from_the_beginning(house: Work):
    run_ids = await failed_runs(house, 3)
    (spared,) = (await house.emit()).run_ids
    await house.call(runs.cancel, id=spared)

    job = await start(house, "retry", statuses=["failed"])
    await house.loop("bulk")

    assert await counts(house, job) == ("done", 3, 3, 0)
    assert {each.run_id for each in await house.poll(available=10)} == set(run_ids)


async def test_paused_runs_are_resumed(house: Work):
    run_ids = await many_runs(house, 3)
    for run_id in run_ids[:2]:
        await house.call(controls.pause, run_id=run_id)

    job = await start(house, "resume", statuses=["paused"])
    await house.loop("bulk")

    assert await counts(house, job) == ("done", 2, 2, 0)
    assert len(await house.poll(available=10)) == 3


async def test_what_cannot_be_done_to_a_run_is_counted_as_refused(house: Work):
    run_ids = await failed_runs(house, 2)
    await house.emit()

    job = await start(house, "retry", function_id="charge")
    await house.call(controls.resume, run_id=run_ids[0])
    await house.loop("bulk")

    assert await counts(house, job) == ("done", 3, 1, 2)


async def test_a_job_goes_on_after_a_crash_where_its_last_commit_left_it(database_url: str):
    async with open_house(Work, database_url) as house:
        await many_runs(house, 2 * BATCH)
        job = await start(house, "cancel", function_id="charge")
        (loop,) = [each for each in house.inside.all_loops if isinstance(each, AdvanceBulk)]
        assert (await loop.run_once(house.now)).reached == BATCH
        assert await counts(house, job) == ("running", 2 * BATCH, BATCH, 0)

    async with open_house(Work, database_url) as house:
        assert await counts(house, job) == ("running", 2 * BATCH, BATCH, 0)
        await house.loop("bulk")

        assert await counts(house, job) == ("done", 2 * BATCH, 2 * BATCH, 0)
        assert await total(house, "cancelled") == 2 * BATCH


async def test_runs_created_after_the_job_are_none_of_its_business(house: Work):
    await many_runs(house, 5)
    job = await start(house, "cancel", function_id="charge")
    house.move(1)
    (late,) = (await house.emit()).run_ids

    await house.loop("bulk")

    assert await counts(house, job) == ("done", 5, 5, 0)
    assert (await house.run(late)).status is RunStatus.PENDING


async def test_a_retry_does_not_meet_its_own_runs_again(house: Work):
    """They fail while it is under way: to go on with them would never end."""
    await failed_runs(house, 2 * BATCH)
    job = await start(house, "retry", statuses=["failed"])
    (loop,) = [each for each in house.inside.all_loops if isinstance(each, AdvanceBulk)]
    await loop.run_once(house.now)
    verdicts = [
        {
            "job": each.job_id,
            "status": "failed",
            "error": FINAL,
            "execution_seq": each.execution_seq,
            "lease_token": each.lease_token,
        }
        for each in await house.poll(available=1000)
    ]
    await house.call(jobs.report, worker="w1", reports=verdicts)

    await house.loop("bulk")

    assert await counts(house, job) == ("done", 2 * BATCH, 2 * BATCH, 0)


async def test_a_dry_run_only_counts(house: Work):
    await many_runs(house, 3)

    job = await start(house, "cancel", function_id="charge", dry_run=True)
    await house.loop("bulk")

    assert (job.status, job.matched) == ("dry_run", 3)
    assert await total(house, "pending") == 3
    with pytest.raises(BulkNotFound):
        await house.call(bulk.get, id=job.id)


async def test_a_stopped_job_leaves_the_rest_alone(house: Work):
    await many_runs(house, BATCH + 5)
    job = await start(house, "cancel", function_id="charge")
    (loop,) = [each for each in house.inside.all_loops if isinstance(each, AdvanceBulk)]
    await loop.run_once(house.now)

    stopped = await house.call(bulk.stop, id=job.id)
    await house.loop("bulk")

    assert (stopped.status, stopped.changed) == ("stopped", BATCH)
    assert await total(house, "pending") == 5
    with pytest.raises(BulkEnded):
        await house.call(bulk.stop, id=job.id)


async def test_jobs_are_done_one_after_another_and_listed_newest_first(house: Work):
    await many_runs(house, 3)
    first = await start(house, "cancel", function_id="charge")
    house.move(1_000)
    second = await start(house, "retry", statuses=["failed"])
    await start(house, "cancel", function_id="charge", env="staging")

    found = await house.call(bulk.list_)
    assert [each.id for each in found.jobs] == [second.id, first.id]
    assert found.jobs[1].created_at == to_datetime(house.now - 1_000)
    page = await house.call(bulk.list_, limit=1)
    rest = await house.call(bulk.list_, limit=1, cursor=page.next_cursor)
    assert [each.id for each in (*page.jobs, *rest.jobs)] == [second.id, first.id]

    await house.loop("bulk")
    assert {each.status for each in (await house.call(bulk.list_)).jobs} == {"done"}


async def test_the_filter_is_that_of_the_list_of_runs(house: Work):
    run_ids = await many_runs(house, 2)
    house.move(60_000)
    since = to_datetime(house.now)
    late = await house.emit()
    wanted = [
        ({"since": since.isoformat()}, 1),
        ({"until": since.isoformat()}, 2),
        ({"event_id": late.event_id}, 1),
        ({"search": "order.placed"}, 3),
        ({"search": run_ids[0]}, 1),
        ({"statuses": ["pending", "running"]}, 3),
        ({"statuses": ["failed"], "function_id": "charge"}, 0),
    ]
    for filter_, matched in wanted:
        assert (await start(house, "cancel", dry_run=True, **filter_)).matched == matched, filter_


async def test_a_job_for_every_run_there_is_is_refused(house: Work):
    for request in ({"action": "cancel"}, {"action": "explode", "function_id": "x"}, {"action": ""}):
        with pytest.raises(InvalidBulk):
            await house.call(bulk.start, **request)
    for word in (bulk.get, bulk.stop):
        with pytest.raises(BulkNotFound):
            await house.call(word, id="bulk_none")
