"""Emits and invocations that wait for their runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from ironflow.base.call import CALLER_LEFT
from ironflow.features.events import contract as events
from ironflow.features.events.contract import CannotWait
from ironflow.features.events.service import wait_ms
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs.contract import RunNotFound, RunStatus
from tests.support.server import open_server
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("asked_ms", "held_ms"),
    [(0, 29_700), (30_000, 29_700), (100, 100), (1_200, 1_200), (10**9, 600_000), (1, 1), (600_000, 600_000)],
)
def test_only_the_default_wait_is_answered_a_little_early(asked_ms: int, held_ms: int):
    assert wait_ms(asked_ms) == held_ms


async def while_working(server: Work, emit: Coroutine[Any, Any, Any], *work: Coroutine[Any, Any, Any]) -> Any:
    """The answer of an emit that waits, while a worker claims and reports."""
    emitting = asyncio.ensure_future(emit)
    for each in work:
        await each
    return await emitting


async def claimed(server: Work) -> Assignment:
    """The job that will be there in a moment."""
    (job,) = await server.poll(wait=10)
    return job


async def complete(server: Work, output: Any) -> None:
    await server.report(await claimed(server), "completed", output=output)


async def fail(server: Work) -> None:
    error = {"message": "no such card", "code": "NO_CARD", "retryable": False}
    await server.report(await claimed(server), "failed", error=error)


async def test_a_completed_run_is_answered_with_its_output(server: Work):
    await server.a_function()
    await server.a_worker()

    answer = await while_working(
        server, server.call(events.emit_sync, event="order.placed"), complete(server, {"paid": 2**70})
    )

    (result,) = answer.results
    assert (result.status, result.wait_timed_out, result.function_id) == (RunStatus.COMPLETED, False, "charge")
    assert bytes(result.output) == b'{"paid":1180591620717411303424}'
    assert result.error is None
    assert (await server.call(events.get, id=answer.event_id)).name == "order.placed"


async def test_a_failed_run_is_answered_with_its_error(server: Work):
    await server.a_function()
    await server.a_worker()

    answer = await while_working(server, server.call(events.emit_sync, event="order.placed"), fail(server))

    (result,) = answer.results
    assert result.status is RunStatus.FAILED
    assert (result.error.message, result.error.code) == ("no such card", "NO_CARD")


async def test_all_started_runs_are_waited_for(server: Work):
    await server.a_function("charge")
    await server.a_function("ship")
    await server.a_worker(function_ids=["charge", "ship"])

    answer = await while_working(
        server, server.call(events.emit_sync, event="order.placed"), complete(server, 1), complete(server, 2)
    )

    assert [(each.function_id, each.status) for each in answer.results] == [
        ("charge", RunStatus.COMPLETED),
        ("ship", RunStatus.COMPLETED),
    ]


async def test_when_the_time_is_over_the_last_known_status_is_answered_and_the_run_goes_on(server: Work):
    await server.a_function()
    await server.a_worker()

    answer = await server.call(events.emit_sync, event="order.placed", timeout_ms=20)
    assert [(each.status, each.wait_timed_out) for each in answer.results] == [(RunStatus.PENDING, True)]

    await complete(server, 1)
    assert (await server.run(answer.results[0].run_id)).status is RunStatus.COMPLETED


async def test_a_sleeping_run_keeps_its_caller_waiting(server: Work):
    await server.a_function()
    await server.a_worker()

    async def sleep() -> None:
        await server.sleep(await claimed(server), until=server.now + 60_000)

    answer = await while_working(server, server.call(events.emit_sync, event="order.placed", timeout_ms=400), sleep())

    assert [(each.status.sent, each.wait_timed_out) for each in answer.results] == [("paused", True)]


async def test_an_event_that_matches_nothing_is_answered_at_once_without_results(server: Work):
    answer = await server.call(events.emit_sync, event="order.placed")
    assert answer.results == []
    assert (await server.call(events.get, id=answer.event_id)).name == "order.placed"


async def test_the_same_idempotency_key_waits_for_the_first_emits_runs(server: Work):
    await server.a_function()
    await server.a_worker()
    first = await server.emit(idempotency_key="k")

    again = await while_working(
        server, server.call(events.emit_sync, event="order.placed", idempotency_key="k"), complete(server, 1)
    )

    assert [each.run_id for each in again.results] == first.run_ids
    assert again.event_id == first.event_id


async def test_a_debounced_function_cannot_be_waited_for(server: Work):
    await server.a_function(debounce={"period_ms": 1_000})
    with pytest.raises(CannotWait):
        await server.call(events.emit_sync, event="order.placed")


async def test_an_invocation_waits_for_its_run(server: Work):
    await server.a_function(on=None)
    await server.a_worker()

    answer = await while_working(
        server, server.call(events.invoke_sync, function_id="charge", data=1), complete(server, "paid")
    )

    assert (answer.result.status, bytes(answer.result.output)) == (RunStatus.COMPLETED, b'"paid"')


async def test_a_caller_that_goes_away_cancels_the_run_it_invoked(server: Work):
    await server.a_function(on=None)
    await server.a_worker()
    calling = asyncio.ensure_future(server.call(events.invoke_sync, function_id="charge"))
    job = await claimed(server)

    calling.cancel(CALLER_LEFT)
    with pytest.raises(asyncio.CancelledError):
        await calling

    run = await server.run(job.run_id)
    assert run.status is RunStatus.CANCELLED
    assert "disconnected" in (run.cancellation_cause or "")


@pytest.mark.parametrize(
    ("reason", "more"), [(None, {}), (CALLER_LEFT, {"idempotency_key": "k"}), (CALLER_LEFT, {"detached": True})]
)
async def test_a_run_goes_on_where_its_caller_may_come_back_or_the_server_stops(
    server: Work, reason: str | None, more: dict[str, Any]
):
    await server.a_function(on=None)
    await server.a_worker()
    calling = asyncio.ensure_future(server.call(events.invoke_sync, function_id="charge", **more))
    job = await claimed(server)

    calling.cancel(reason)
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert (await server.run(job.run_id)).status is RunStatus.RUNNING


async def test_a_run_that_was_removed_since_cannot_be_waited_for(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await server.a_function()
        await server.a_worker()
        first = await server.emit(idempotency_key="k")
        await complete(server, 1)
        server.move(3 * DAY_MS)
        await server.loop("runs-purge")

        with pytest.raises(RunNotFound):
            await server.call(events.emit_sync, event="order.placed", idempotency_key="k")
        assert await server.emit(idempotency_key="k") == replace(first, duplicate=True)
