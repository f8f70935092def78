"""The client's methods for the past of a run, over HTTP with a server in this process."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ironflow.base.time import Millis, to_datetime
from ironflow.engine.errors import StepNotFound
from ironflow.features.time_travel.contract import BeforeTheRun, RunNotRecorded
from ironflow.sdk.client.client import Client
from tests.support.server import open_server
from tests.support.wire import Wire
from tests.support.work import Work, step


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Work, Client]]:
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
        client = Client("http://server", transport=Wire(server))
        yield server, client
        await client.close()


async def a_patched_run(server: Work, client: Client) -> tuple[str, Millis]:
    """A recorded run whose step `price` was patched; its id, and the moment before the patch."""
    run = await server.a_run(recording=True)
    server.move(1_000)
    job = await server.claim()
    await server.report(job, "progress", step(job, "price", {"euros": 2**70}))
    await client.runs.pause(run.id)
    await server.report(job, "progress")
    before = server.now
    server.move(1_000)
    (row,) = await client.runs.steps(run.id)
    await client.runs.patch_step(row.id, {"euros": 1}, reason="a typo")
    return run.id, before


async def test_a_run_is_read_as_it_was_at_a_moment_and_as_it_is(both: tuple[Work, Client]):
    server, client = both
    run_id, before = await a_patched_run(server, client)

    then, now = await client.runs.state_at(run_id, to_datetime(before)), await client.runs.state_at(run_id)

    assert (then.status, then.timestamp, then.input) == ("paused", to_datetime(before), {"total": 100})
    assert [(each.name, each.output, each.patched) for each in then.steps] == [("price", {"euros": 2**70}, False)]
    (price,) = now.steps
    assert (price.output, price.original_output, price.patched) == ({"euros": 1}, {"euros": 2**70}, True)
    assert price.started_at is None or price.started_at <= now.timestamp


async def test_a_steps_output_is_read_as_it_was_before_and_after_a_patch(both: tuple[Work, Client]):
    server, client = both
    run_id, before = await a_patched_run(server, client)

    then = await client.runs.step_output_at(run_id, "price", to_datetime(before))
    now = await client.runs.step_output_at(run_id, "price")

    assert (then.output, then.original_output, then.patched) == ({"euros": 2**70}, None, False)
    assert (now.output, now.original_output, now.patched, now.injected) == (
        {"euros": 1},
        {"euros": 2**70},
        True,
        False,
    )


async def test_timeline_and_audit_trail_are_read_page_by_page(both: tuple[Work, Client]):
    server, client = both
    run_id, _ = await a_patched_run(server, client)

    events = [event async for event in client.runs.timeline(run_id, page_size=2)]
    trail = [event async for event in client.runs.audit(run_id, page_size=2)]

    assert [event.event_type for event in events][:2] == ["run.created", "run.started"]
    assert [event.id for event in events] == [event.id for event in trail]
    assert events[-1].event_type == "step.patched"
    assert trail[-1].payload["previous_output"] == {"euros": 2**70}
    assert trail[-1].payload["reason"] == "a typo"


async def test_the_audit_trail_is_filtered_by_type_and_time(both: tuple[Work, Client]):
    server, client = both
    run_id, before = await a_patched_run(server, client)
    moment = to_datetime(before) + timedelta(milliseconds=1)

    patched = [event.event_type async for event in client.runs.audit(run_id, event_type="step.patched")]
    later = [event.event_type async for event in client.runs.audit(run_id, since=moment)]
    earlier = [event.event_type async for event in client.runs.audit(run_id, until=moment)]

    assert patched == later == ["step.patched"]
    assert earlier[0] == "run.created"
    assert "step.patched" not in earlier


async def test_what_cannot_be_looked_back_at_raises_the_error_of_the_server(both: tuple[Work, Client]):
    server, client = both
    run_id, before = await a_patched_run(server, client)
    await server.a_function("plain", on="plain")
    (unrecorded,) = (await server.emit("plain")).run_ids

    with pytest.raises(RunNotRecorded):
        await client.runs.state_at(unrecorded)
    with pytest.raises(RunNotRecorded):
        [event async for event in client.runs.timeline(unrecorded)]
    with pytest.raises(BeforeTheRun):
        await client.runs.state_at(run_id, to_datetime(before - 10_000))
    with pytest.raises(StepNotFound):
        await client.runs.step_output_at(run_id, "nothing")
