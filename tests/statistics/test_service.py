"""Statistics of real runs, on both databases."""

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.features.controls import contract as controls
from ironflow.features.statistics import contract
from tests.support.work import Work

FAILURE = {"message": "card 42 declined", "retryable": False}


async def a_failed_run(server: Work) -> str:
    run = await server.a_run(status="pending")
    job = await server.claim()
    await server.report(job, "failed", error=FAILURE)
    return run.id


async def test_runs_are_counted_by_status_and_function(server: Work):
    failed = await a_failed_run(server)
    await server.emit(data={})

    found = await server.call(contract.runs, slices=1)

    (counted,) = found.slices
    assert (counted.failed, counted.unfinished, counted.completed) == (1, 1, 0)
    assert found.unfinished == {"pending": 1, "running": 0, "waiting": 0, "paused": 0}
    assert (found.scanned, found.truncated) == (2, False)
    (function,) = found.functions
    assert (function.function_id, function.runs, function.failed) == ("charge", 2, 1)
    assert (function.latest_failed_run_id, function.latest_error) == (failed, "card 42 declined")


async def test_failures_are_grouped_and_filtered_by_function(server: Work):
    failed = await a_failed_run(server)

    found = await server.call(contract.failures)
    (group,) = found.groups
    others = await server.call(contract.failures, function_id="other")

    assert (group.function_id, group.pattern, group.count) == ("charge", "card … declined", 1)
    assert group.latest_run_id == failed
    assert sum(group.counts) == 1
    assert others.groups == []


async def test_what_led_to_what_is_counted_in_pages(server: Work):
    failed = await a_failed_run(server)
    run = await server.run(failed)
    await server.emit("order.refused", {})
    await server.emit("stock.changed", {})

    first = await server.call(contract.flows)
    pages = [await server.call(contract.flows, limit=1)]
    while (cursor := pages[-1].next_cursor) is not None:
        pages.append(await server.call(contract.flows, limit=1, cursor=cursor))

    started = contract.Flow(
        source_kind="event", source=run.event_name or "", target_kind="function", target="charge", count=1, failed=1
    )
    assert started in first.flows
    assert {each.name for each in first.names} >= {"order.refused", "stock.changed"}
    assert first.next_cursor is None
    assert sorted(str(each) for page in pages for each in page.names) == sorted(str(each) for each in first.names)
    assert sorted(str(each) for page in pages for each in page.flows) == sorted(str(each) for each in first.flows)
    for wrong in ("run_1", "1.2", "run_1.x"):
        with pytest.raises(InvalidArgument):
            await server.call(contract.flows, cursor=wrong)


async def test_runs_of_other_environments_and_older_ones_are_not_counted(server: Work):
    await a_failed_run(server)
    server.move(2 * 3_600_000)

    found = await server.call(contract.runs)
    elsewhere = await server.call(contract.failures, env="staging")

    assert (found.scanned, elsewhere.groups) == (0, [])


async def test_a_run_that_waits_long_for_a_worker_is_stuck_with_the_reason(server: Work):
    await server.a_function()
    (run_id,) = (await server.emit(data={})).run_ids
    before = await server.call(controls.stuck)
    server.move(10_000)

    (found,) = (await server.call(controls.stuck)).runs

    assert before.runs == []
    assert (found.run_id, found.function_id, found.why.reason) == (run_id, "charge", "no_worker")


async def test_a_paused_run_is_stuck_at_once(server: Work):
    run = await server.a_run()
    await server.call(controls.pause, run_id=run.id)

    (found,) = (await server.call(controls.stuck)).runs

    assert (found.run_id, found.why.reason) == (run.id, "paused")
