"""The client's words for the past of a run, over HTTP with a server in this process."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ironflow.base.time import Millis, to_datetime
from ironflow.engine.errors import StepNotFound
from ironflow.features.time_travel.contract import BeforeTheRun, RunNotRecorded
from ironflow.sdk.client import Client
from tests.support.house import open_house
from tests.support.wire import Wire
from tests.support.work import Work, step


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Work, Client]]:
    async with open_house(Work, str(tmp_path / "ironflow.db")) as house:
        client = Client("http://house", transport=Wire(house))
        yield house, client
        await client.close()


async def a_patched_run(house: Work, client: Client) -> tuple[str, Millis]:
    """A recorded run whose step `price` was patched; its id, and the moment before the patch."""
    run = await house.a_run(recording=True)
    house.move(1_000)
    job = await house.claim()
    await house.report(job, "progress", step(job, "price", {"euros": 2**70}))
    await client.runs.pause(run.id)
    await house.report(job, "progress")
    before = house.now
    house.move(1_000)
    (row,) = await client.runs.steps(run.id)
    await client.runs.patch_step(row.id, {"euros": 1}, reason="a typo")
    return run.id, before


async def test_a_run_is_read_as_it_was_at_a_moment_and_as_it_is(both: tuple[Work, Client]):
    house, client = both
    run_id, before = await a_patched_run(house, client)

    then, now = await client.runs.state_at(run_id, to_datetime(before)), await client.runs.state_at(run_id)

    assert (then.status, then.timestamp, then.input) == ("paused", to_datetime(before), {"total": 100})
    assert [(each.name, each.output, each.patched) for each in then.steps] == [("price", {"euros": 2**70}, False)]
    (price,) = now.steps
    assert (price.output, price.original_output, price.patched) == ({"euros": 1}, {"euros": 2**70}, True)
    assert price.started_at is None or price.started_at <= now.timestamp


async def test_a_steps_output_is_read_as_it_was_before_and_after_a_patch(both: tuple[Work, Client]):
    house, client = both
    run_id, before = await a_patched_run(house, client)

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
    house, client = both
    run_id, _ = await a_patched_run(house, client)

    told = [event async for event in client.runs.timeline(run_id, page_size=2)]
    trail = [event async for event in client.runs.audit(run_id, page_size=2)]

    assert [event.event_type for event in told][:2] == ["run.created", "run.started"]
    assert [event.id for event in told] == [event.id for event in trail]
    assert told[-1].event_type == "step.patched"
    assert trail[-1].payload["previous_output"] == {"euros": 2**70}
    assert trail[-1].payload["reason"] == "a typo"


async def test_the_audit_trail_is_filtered_by_word_and_time(both: tuple[Work, Client]):
    house, client = both
    run_id, before = await a_patched_run(house, client)
    moment = to_datetime(before) + timedelta(milliseconds=1)

    patched = [event.event_type async for event in client.runs.audit(run_id, event_type="step.patched")]
    later = [event.event_type async for event in client.runs.audit(run_id, since=moment)]
    earlier = [event.event_type async for event in client.runs.audit(run_id, until=moment)]

    assert patched == later == ["step.patched"]
    assert earlier[0] == "run.created"
    assert "step.patched" not in earlier


async def test_what_cannot_be_looked_back_at_raises_what_the_server_says(both: tuple[Work, Client]):
    house, client = both
    run_id, before = await a_patched_run(house, client)
    await house.a_function("plain", on="plain")
    (unrecorded,) = (await house.emit("plain")).run_ids

    with pytest.raises(RunNotRecorded):
        await client.runs.state_at(unrecorded)
    with pytest.raises(RunNotRecorded):
        [event async for event in client.runs.timeline(unrecorded)]
    with pytest.raises(BeforeTheRun):
        await client.runs.state_at(run_id, to_datetime(before - 10_000))
    with pytest.raises(StepNotFound):
        await client.runs.step_output_at(run_id, "nothing")
