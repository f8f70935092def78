"""Bulk jobs: cancel, retry or resume all runs that pass a filter, a few at a time; a crash costs no progress."""

from typing import Any

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.bulk import contract as bulk
from ironflow.features.bulk import rules
from ironflow.features.bulk.contract import Bulk, BulkEnded, BulkNotFound, BulkNotUndoable, InvalidBulk
from ironflow.features.bulk.loops import BATCH, AdvanceBulk
from ironflow.features.bulk.rules import UNDO_WITHIN_MS
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.server import open_server
from tests.support.work import Work, step

FINAL = {"message": "no", "retryable": False}


async def many_runs(server: Work, count: int) -> list[str]:
    """Pending runs of `charge`, oldest first."""
    await server.a_function()
    await server.a_worker(jobs_max=1000)
    answer = await server.call(events.emit_batch, events=[{"event": "order.placed", "data": n} for n in range(count)])
    return [each.run_ids[0] for each in answer.results]


async def failed_runs(server: Work, count: int) -> list[str]:
    run_ids = await many_runs(server, count)
    for job in await server.poll(available=1000):
        await server.report(job, "failed", error=FINAL)
    return run_ids


async def start(server: Work, action: str, **wanted: Any) -> Bulk:
    return await server.call(bulk.start, action=action, **wanted)


async def counts(server: Work, job: Bulk) -> tuple[str, int, int, int]:
    found = await server.call(bulk.get, id=job.id)
    return found.status, found.matched, found.changed, found.refused


async def total(server: Work, status: str) -> int:
    return (await server.call(runs.list_, status=status, limit=1)).total_count or 0


async def test_all_runs_that_pass_the_filter_are_cancelled_a_few_at_a_time(server: Work):
    await many_runs(server, 2 * BATCH + 10)
    await server.a_function("other", on="something.else")
    (spared,) = (await server.emit("something.else")).run_ids

    job = await start(server, "cancel", function_id="charge", reason="wrong prices")
    assert (job.status, job.matched, job.changed) == ("running", 2 * BATCH + 10, 0)

    rounds = await server.loop("bulk")
    assert [each.done.get("reached", 0) for each in rounds] == [BATCH, BATCH, 10, 0]
    assert await counts(server, job) == ("done", 2 * BATCH + 10, 2 * BATCH + 10, 0)
    assert (await server.run(spared)).status is RunStatus.PENDING
    cancelled = await server.runs(status="cancelled", limit=1)
    assert cancelled[0].cancellation_cause == "wrong prices"
    assert await server.poll(available=10) == []


async def test_failed_runs_are_retried_from_the_beginning(server: Work):
    run_ids = await failed_runs(server, 3)
    (spared,) = (await server.emit()).run_ids
    await server.call(runs.cancel, id=spared)

    job = await start(server, "retry", statuses=["failed"])
    await server.loop("bulk")

    assert await counts(server, job) == ("done", 3, 3, 0)
    assert {each.run_id for each in await server.poll(available=10)} == set(run_ids)


async def test_paused_runs_are_resumed(server: Work):
    run_ids = await many_runs(server, 3)
    for run_id in run_ids[:2]:
        await server.call(controls.pause, run_id=run_id)

    job = await start(server, "resume", statuses=["paused"])
    await server.loop("bulk")

    assert await counts(server, job) == ("done", 2, 2, 0)
    assert len(await server.poll(available=10)) == 3


async def test_what_cannot_be_done_to_a_run_is_counted_as_refused(server: Work):
    run_ids = await failed_runs(server, 2)
    await server.emit()

    job = await start(server, "retry", function_id="charge")
    await server.call(controls.resume, run_id=run_ids[0])
    await server.loop("bulk")

    assert await counts(server, job) == ("done", 3, 1, 2)


async def test_a_job_goes_on_after_a_crash_where_its_last_commit_left_it(database_url: str):
    async with open_server(Work, database_url) as server:
        await many_runs(server, 2 * BATCH)
        job = await start(server, "cancel", function_id="charge")
        (loop,) = [each for each in server.inside.all_loops if isinstance(each, AdvanceBulk)]
        assert (await loop.run_once(server.now)).done == {"reached": BATCH}
        assert await counts(server, job) == ("running", 2 * BATCH, BATCH, 0)

    async with open_server(Work, database_url) as server:
        assert await counts(server, job) == ("running", 2 * BATCH, BATCH, 0)
        await server.loop("bulk")

        assert await counts(server, job) == ("done", 2 * BATCH, 2 * BATCH, 0)
        assert await total(server, "cancelled") == 2 * BATCH


async def test_runs_created_after_the_job_are_none_of_its_business(server: Work):
    await many_runs(server, 5)
    job = await start(server, "cancel", function_id="charge")
    server.move(1)
    (late,) = (await server.emit()).run_ids

    await server.loop("bulk")

    assert await counts(server, job) == ("done", 5, 5, 0)
    assert (await server.run(late)).status is RunStatus.PENDING


async def test_a_retry_does_not_meet_its_own_runs_again(server: Work):
    """They fail while it is under way: to go on with them would never end."""
    await failed_runs(server, 2 * BATCH)
    job = await start(server, "retry", statuses=["failed"])
    (loop,) = [each for each in server.inside.all_loops if isinstance(each, AdvanceBulk)]
    await loop.run_once(server.now)
    verdicts = [
        {
            "job": each.job_id,
            "status": "failed",
            "error": FINAL,
            "execution_seq": each.execution_seq,
            "lease_token": each.lease_token,
        }
        for each in await server.poll(available=1000)
    ]
    await server.call(jobs.report, worker="w1", reports=verdicts)

    await server.loop("bulk")

    assert await counts(server, job) == ("done", 2 * BATCH, 2 * BATCH, 0)


async def test_a_resume_is_undone_for_the_runs_that_it_resumed(server: Work):
    run_ids = await many_runs(server, 2 * BATCH + 3)
    for run_id in run_ids[1:]:
        await server.call(controls.pause, run_id=run_id)
    job = await start(server, "resume", function_id="charge")
    await server.loop("bulk")
    assert await counts(server, job) == ("done", 2 * BATCH + 3, 2 * BATCH + 2, 1)
    await server.call(runs.cancel, id=run_ids[1])

    undo = await server.call(bulk.undo, id=job.id)
    again = await server.call(bulk.undo, id=job.id)
    await server.loop("bulk")

    assert (undo.action, undo.undoes, undo.matched) == ("pause", job.id, 2 * BATCH + 2)
    assert await counts(server, undo) == ("done", 2 * BATCH + 2, 2 * BATCH + 1, 1)
    assert (await counts(server, again))[2:] == (0, 0)
    assert [run.id for run in await server.runs(status="pending")] == [run_ids[0]]
    assert await total(server, "paused") == 2 * BATCH + 1


async def test_a_pause_is_undone_by_a_resume(server: Work):
    await many_runs(server, 3)
    job = await start(server, "pause", function_id="charge")
    await server.loop("bulk")
    assert await total(server, "paused") == 3
    assert {run.paused_by for run in await server.runs()} == {f"bulk job {job.id}"}

    undo = await server.call(bulk.undo, id=job.id)
    await server.loop("bulk")

    assert await counts(server, undo) == ("done", 3, 3, 0)
    assert len(await server.poll(available=10)) == 3


async def test_the_undo_of_a_pause_leaves_runs_that_have_ended_or_are_paused_for_another_reason(server: Work):
    """To resume those would begin a failed run again: the pause did not end it."""
    await server.a_function(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await server.a_worker(jobs_max=10)
    for _ in range(4):
        await server.emit()
    failed, exhausted, paused, asked = await server.poll(available=4)
    job = await start(server, "pause", function_id="charge")
    await server.loop("bulk")
    await server.report(failed, "failed", error=FINAL)
    await server.call(controls.resume, run_id=exhausted.run_id)
    await server.report(exhausted, "failed")
    await server.report(paused, "progress", step(paused, "reserve", 1))
    before = [(await server.run(each.run_id)).state for each in (failed, exhausted, paused, asked)]
    assert before == ["failed", "paused: exhausted", "paused: injection", "running"]

    undo = await server.call(bulk.undo, id=job.id)
    await server.loop("bulk")

    assert await counts(server, undo) == ("done", 4, 2, 2)
    after = [await server.run(each.run_id) for each in (failed, exhausted, paused, asked)]
    assert [each.state for each in after] == ["failed", "paused: exhausted", "pending", "running"]
    assert not after[3].pause_requested


async def test_what_cannot_be_undone_is_refused_with_the_reason(server: Work):
    await failed_runs(server, 1)
    retry = await start(server, "retry", statuses=["failed"])
    resume = await start(server, "resume", statuses=["failed"])
    for job, reason in ((retry, "A retry cannot be undone"), (resume, "still running")):
        with pytest.raises(BulkNotUndoable, match=reason):
            await server.call(bulk.undo, id=job.id)

    await server.loop("bulk")
    undo = await server.call(bulk.undo, id=resume.id)
    with pytest.raises(BulkNotUndoable, match="takes another back"):
        await server.call(bulk.undo, id=undo.id)
    server.move(UNDO_WITHIN_MS + 1)
    with pytest.raises(BulkNotUndoable, match="more than a day old"):
        await server.call(bulk.undo, id=resume.id)
    with pytest.raises(BulkNotFound):
        await server.call(bulk.undo, id="bulk_none")


async def test_changes_are_forgotten_after_a_day(server: Work):
    await many_runs(server, 2)
    await start(server, "pause", function_id="charge")
    await server.loop("bulk")

    server.move(UNDO_WITHIN_MS + 1)

    assert [each.done for each in await server.loop("bulk")] == [{"forgotten": 2}]


async def test_a_dry_run_only_counts(server: Work):
    await many_runs(server, 3)

    job = await start(server, "cancel", function_id="charge", dry_run=True)
    await server.loop("bulk")

    assert (job.status, job.matched) == ("dry_run", 3)
    assert await total(server, "pending") == 3
    with pytest.raises(BulkNotFound):
        await server.call(bulk.get, id=job.id)


async def test_runs_are_counted_up_to_a_bound_and_an_ended_job_has_all(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "COUNT_MAX", 2)
    await many_runs(server, 3)
    counted = await start(server, "cancel", function_id="charge", dry_run=True)
    assert (counted.matched, counted.more) == (2, True)

    job = await start(server, "cancel", function_id="charge")
    await server.loop("bulk")
    ended = await server.call(bulk.get, id=job.id)
    assert (ended.status, ended.matched, ended.more, ended.changed) == ("done", 3, False, 3)


async def test_a_text_is_looked_for_in_some_runs_at_a_time(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "SCAN_MAX", 2)
    await server.a_function(on="order.*")
    first = (await server.emit("order.first")).run_ids[0]
    await many_runs(server, 4)

    counted = await start(server, "cancel", search="order.first", dry_run=True)
    assert (counted.matched, counted.more) == (0, True)
    job = await start(server, "cancel", search="order.first")
    await server.loop("bulk")
    ended = await server.call(bulk.get, id=job.id)
    assert (ended.status, ended.matched, ended.more, ended.changed) == ("done", 1, False, 1)
    assert (await server.run(first)).status == "cancelled"


async def test_ended_runs_are_deleted_and_the_others_stay(server: Work):
    await failed_runs(server, BATCH + 1)
    (pending,) = (await server.emit()).run_ids

    job = await start(server, "delete", function_id="charge")
    await server.loop("bulk")

    assert await counts(server, job) == ("done", BATCH + 2, BATCH + 1, 1)
    assert [run.id for run in await server.runs()] == [pending]


async def test_a_stopped_job_leaves_the_rest_alone(server: Work):
    await many_runs(server, BATCH + 5)
    job = await start(server, "cancel", function_id="charge")
    (loop,) = [each for each in server.inside.all_loops if isinstance(each, AdvanceBulk)]
    await loop.run_once(server.now)

    stopped = await server.call(bulk.stop, id=job.id)
    await server.loop("bulk")

    assert (stopped.status, stopped.changed) == ("stopped", BATCH)
    assert await total(server, "pending") == 5
    with pytest.raises(BulkEnded):
        await server.call(bulk.stop, id=job.id)


async def test_jobs_are_done_one_after_another_and_listed_newest_first(server: Work):
    await many_runs(server, 3)
    first = await start(server, "cancel", function_id="charge")
    server.move(1_000)
    second = await start(server, "retry", statuses=["failed"])
    await start(server, "cancel", function_id="charge", env="staging")

    found = await server.call(bulk.list_)
    assert [each.id for each in found.jobs] == [second.id, first.id]
    assert found.jobs[1].created_at == to_datetime(server.now - 1_000)
    page = await server.call(bulk.list_, limit=1)
    rest = await server.call(bulk.list_, limit=1, cursor=page.next_cursor)
    assert [each.id for each in (*page.jobs, *rest.jobs)] == [second.id, first.id]

    await server.loop("bulk")
    assert {each.status for each in (await server.call(bulk.list_)).jobs} == {"done"}


async def test_the_filter_is_that_of_the_list_of_runs(server: Work):
    run_ids = await many_runs(server, 2)
    server.move(60_000)
    since = to_datetime(server.now)
    late = await server.emit()
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
        assert (await start(server, "cancel", dry_run=True, **filter_)).matched == matched, filter_


async def test_a_job_for_every_run_there_is_is_refused(server: Work):
    for request in ({"action": "cancel"}, {"action": "explode", "function_id": "x"}, {"action": ""}):
        with pytest.raises(InvalidBulk):
            await server.call(bulk.start, **request)
    for operation in (bulk.get, bulk.stop):
        with pytest.raises(BulkNotFound):
            await server.call(operation, id="bulk_none")


async def test_only_runs_of_one_version_of_the_function_are_reached(server: Work):
    old = await many_runs(server, 2)
    await server.a_function(description="another version")
    (new,) = (await server.emit()).run_ids

    job = await start(server, "cancel", function_id="charge", function_version=1)
    await server.loop("bulk")

    assert await counts(server, job) == ("done", 2, 2, 0)
    assert {each: (await server.run(each)).status for each in (*old, new)} == {
        **dict.fromkeys(old, RunStatus.CANCELLED),
        new: RunStatus.PENDING,
    }
    with pytest.raises(InvalidBulk, match="send its function_id"):
        await start(server, "cancel", function_version=1)


async def test_the_runs_that_the_steps_of_a_run_started_are_cancelled(server: Work):
    """By the id of their parent, or by its function and key; a preview counts them and changes nothing."""
    await server.a_function("parent", on=None)
    await server.a_function("child", on=None)
    await server.a_worker(function_ids=["parent"])
    parent = (await server.call(events.invoke, function_id="parent", key="p")).run_id
    spared = (await server.call(events.invoke, function_id="child")).run_id
    assert parent is not None
    assert spared is not None
    job = await server.claim()
    starts = [
        {"type": "start_function", "step_id": f"{parent}:child:{n}", "function_id": "child", "input": n}
        for n in range(3)
    ]
    await server.report(job, "progress", yields=starts)
    await server.report(job, "completed", output=1)

    for name in (parent, "parent:p"):
        preview = await start(server, "cancel", parent_run_id=name, dry_run=True)
        assert (preview.status, preview.matched) == ("dry_run", 3)
    assert await total(server, "cancelled") == 0

    cancel = await start(server, "cancel", parent_run_id="parent:p", reason="not wanted")
    await server.loop("bulk")

    assert await counts(server, cancel) == ("done", 3, 3, 0)
    cancelled = await server.runs(status="cancelled")
    assert {(each.function_id, each.parent_run_id, each.cancellation_cause) for each in cancelled} == {
        ("child", parent, "not wanted")
    }
    assert (await server.run(spared)).status is RunStatus.PENDING
