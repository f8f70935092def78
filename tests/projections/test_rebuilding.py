"""A projection is built anew while readers see the version before."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections import contract, feeder
from ironflow.features.projections.contract import (
    EventKind,
    InvalidProjection,
    LeaseLost,
    RebuildNotFound,
    RebuildUnderWay,
    StaleSave,
    WrongMode,
)
from tests.support.projections import Runner, a_projection, of_kind
from tests.support.work import Work


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeder, "LOOK_AGAIN_S", 0.02)


async def rebuild(house: Work, **more: Any) -> contract.RebuildJob:
    return (await house.call(contract.rebuild, name="totals", **more)).job


async def job(house: Work) -> contract.RebuildJob:
    return (await house.call(contract.rebuild_job, name="totals")).job


async def with_events(house: Work, count: int, **registration: Any) -> Runner:
    """A projection that has saved `count` events."""
    runner = await a_projection(house, **registration)
    for n in range(count):
        await house.emit("order.placed", {"n": n, "c": "ab"[n % 2]})
    await runner.work_off()
    return runner


async def test_readers_see_the_old_version_until_the_new_one_has_caught_up(house: Work):
    runner = await with_events(house, 4)
    old = await runner.shown()

    started = await rebuild(house)
    again = Runner(house, "totals")
    loaded = await again.load()
    seen: list[object] = []
    while batch := await again.poll(1):
        await again.save(batch)
        seen.append(((await runner.shown()) == old, (await runner.status()).status))

    assert (started.status, started.total_events) == ("rebuilding", 4)
    assert loaded is None
    assert seen == [(True, "rebuilding")] * 3 + [(True, "active")]
    # The same fold, made again: what tells them apart is how often it was saved.
    assert await runner.shown() == old == {"seen": [1, 2, 3, 4], "last": {"n": 3, "c": "b"}}
    assert (await house.call(contract.get, name="totals")).version == 4


async def test_who_is_given_the_state_of_a_rebuild_is_told_that_it_is_one(house: Work):
    runner = await with_events(house, 4)
    await rebuild(house)
    again = Runner(house, "totals")
    await again.load()
    await again.save(await again.poll(1))

    found = await house.call(contract.get, name="totals")

    info = found.registry
    assert info is not None
    assert (found.version, found.state_last_event_seq) == (1, 1)
    assert (info.status, info.rebuild_start_cursor, info.rebuild_target_seq) == ("rebuilding", 0, 4)
    assert info.rebuild_started_at is not None
    # Where readers are, whatever has been built anew.
    assert info.last_event_seq == 4
    assert (await runner.shown()) == {"seen": [1, 2, 3, 4], "last": {"n": 3, "c": "b"}}


async def test_a_rebuild_tells_its_progress_and_how_long_it_will_take(house: Work):
    runner = await with_events(house, 4)
    await rebuild(house)
    house.move(10_000)
    again = Runner(house, "totals")
    await again.save(await again.poll(1))

    going, status = await job(house), await runner.status()
    await again.work_off()
    done = await job(house)

    assert (going.status, going.events_processed, going.total_events, going.progress) == ("rebuilding", 1, 4, 0.25)
    assert going.estimated_remaining is not None
    assert going.estimated_remaining.total_seconds() == 30
    assert (status.rebuild_target_seq, status.rebuild_start_cursor) == (4, 0)
    assert (done.status, done.events_processed, done.progress, done.estimated_remaining) == ("completed", 4, 1.0, None)
    assert done.job_id == going.job_id


async def test_events_that_come_during_a_rebuild_are_folded_after_it(house: Work):
    runner = await with_events(house, 3)
    await rebuild(house)
    again = Runner(house, "totals")
    await again.save(await again.poll(2))
    for _ in range(2):
        await house.emit("order.placed")
    await again.work_off(2)

    assert (await runner.shown())["seen"] == [1, 2, 3, 4, 5]
    assert (await runner.status()).status == "active"


async def test_a_dry_run_counts_and_changes_nothing(house: Work):
    runner = await with_events(house, 3)

    counted = await rebuild(house, dry_run=True)

    assert (counted.status, counted.dry_run, counted.total_events) == ("dry_run_ok", True, 3)
    assert (await runner.status()).status == "active"
    with pytest.raises(RebuildNotFound):
        await job(house)


async def test_a_rebuild_fences_the_runner_that_was_at_work(house: Work):
    runner = await with_events(house, 2)
    await runner.acquire()
    await house.emit("order.placed")
    batch = await runner.poll()
    stream = runner.follow()
    await of_kind(stream, EventKind.EVENT, 1)

    await rebuild(house)

    with pytest.raises(LeaseLost):
        await runner.save(batch)
    with pytest.raises(LeaseLost):
        await anext(stream)
    assert await runner.acquire()
    assert await runner.load() is None
    assert [each.seq for each in await runner.poll()] == [1, 2, 3]


async def test_what_a_runner_without_a_lease_had_in_flight_is_refused(house: Work):
    runner = await with_events(house, 2)
    await house.emit("order.placed")
    in_flight = await runner.poll()

    await rebuild(house)

    with pytest.raises(StaleSave, match="Load the state again"):
        await runner.save(in_flight)
    again = Runner(house, "totals")
    await again.work_off()
    assert (await again.shown())["seen"] == [1, 2, 3]


async def test_a_stream_ends_when_a_rebuild_begins_and_goes_on_through_its_end(house: Work):
    runner = await with_events(house, 3)
    stream = runner.follow()
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.wait([coming], timeout=0.1)
    await rebuild(house)
    with pytest.raises(StopAsyncIteration):
        await coming

    again = Runner(house, "totals")
    async with aclosing(again.follow()) as following:
        await again.save(await of_kind(following, EventKind.EVENT, 3))
        await house.emit("order.placed")
        await again.save(await of_kind(following, EventKind.EVENT, 1))
    assert (await again.shown())["seen"] == [1, 2, 3, 4]


async def test_a_cancelled_rebuild_leaves_everything_as_it_was(house: Work):
    runner = await with_events(house, 3)
    before = await runner.shown()
    await rebuild(house)
    again = Runner(house, "totals")
    late = await again.poll(2)
    await again.save(late[:1])

    cancelled = await house.call(contract.cancel_rebuild, name="totals")
    await house.emit("order.placed")
    successor = Runner(house, "totals")
    await successor.work_off()
    await house.loop("projections-forget")

    assert cancelled.status == "active"
    assert ((await job(house)).status, before["seen"]) == ("cancelled", [1, 2, 3])
    assert (await runner.shown())["seen"] == [1, 2, 3, 4]
    with pytest.raises(RebuildNotFound):
        await house.call(contract.cancel_rebuild, name="totals")
    (sides,) = await house.db.read(lambda tx: tx.rows("SELECT count(DISTINCT side) FROM projection_states"))
    assert sides == (1,)


async def states(house: Work) -> int:
    return (await house.db.read(lambda tx: tx.rows("SELECT count(*) FROM projection_states")))[0][0]


async def test_the_states_of_the_version_before_are_removed(house: Work):
    await with_events(house, 4, partition_key="data.c")
    await rebuild(house)
    again = Runner(house, "totals")
    await again.work_off()
    before = await states(house)

    await house.loop("projections-forget")

    assert (before, await states(house)) == (4, 2)


async def test_one_partition_is_rebuilt_and_the_others_stay(house: Work):
    runner = await with_events(house, 6, partition_key="data.c")
    await rebuild(house, partition="a")
    again = Runner(house, "totals")

    given = [each.seq for each in await again.poll()]
    await again.load("a")
    await again.work_off(2)
    await house.loop("projections-rebuilds")
    await house.emit("order.placed", {"c": "b"})
    await again.work_off()

    assert given == [1, 3, 5]
    assert ((await job(house)).status, (await job(house)).partition) == ("completed", "a")
    assert ((await runner.shown("a"))["seen"], (await runner.shown("b"))["seen"]) == ([1, 3, 5], [2, 4, 6, 7])
    assert (await runner.status()).status == "active"


async def test_a_save_for_another_partition_is_refused_while_one_is_rebuilt(house: Work):
    await with_events(house, 4, partition_key="data.c")
    await rebuild(house, partition="a")
    again = Runner(house, "totals")
    await again.poll()

    with pytest.raises(StaleSave):
        await again.save_state({}, 2, partition="b")


async def test_a_rebuild_from_an_event_forgets_what_was_before_it(house: Work):
    runner = await with_events(house, 4)
    (third,) = [each for each in (await house.call(contract.events, name="totals")).events if each.seq == 3]

    started = await rebuild(house, from_event_id=third.id)
    again = Runner(house, "totals")
    await again.work_off()

    assert (started.total_events, started.from_event_id) == (2, third.id)
    assert (await runner.shown())["seen"] == [3, 4]


async def test_a_rebuild_to_an_event_is_shown_when_it_is_there_and_goes_on(house: Work):
    runner = await with_events(house, 4)
    (second,) = [each for each in (await house.call(contract.events, name="totals")).events if each.seq == 2]
    await rebuild(house, to_event_id=second.id)
    again = Runner(house, "totals")

    given = await again.poll()
    await again.save(given)
    at_the_swap = (await runner.shown())["seen"]
    await again.work_off()

    assert [each.seq for each in given] == [1, 2]
    assert at_the_swap == [1, 2]
    assert (await runner.shown())["seen"] == [1, 2, 3, 4]


async def test_a_rebuild_of_a_projection_without_events_is_done_at_once(house: Work):
    await a_projection(house)
    await house.emit("mail.sent")

    assert (await rebuild(house)).status == "completed"
    assert (await Runner(house, "totals").status()).status == "active"


async def test_a_rebuild_whose_last_events_match_nothing_ends_by_itself(house: Work):
    runner = await with_events(house, 2)
    await house.emit("mail.sent")
    await rebuild(house)
    again = Runner(house, "totals")
    await again.work_off()

    assert (await runner.status()).status == "active"


async def test_an_external_projection_is_rebuilt_by_delivering_its_events_again(house: Work):
    mailer = await a_projection(house, "totals", mode="external")
    for _ in range(3):
        await house.emit("order.placed")
    await mailer.ack((await mailer.poll())[-1])

    await rebuild(house)
    again = await mailer.poll()
    await mailer.ack(again[-1])

    assert [each.seq for each in again] == [1, 2, 3]
    assert ((await mailer.status()).status, await mailer.poll()) == ("active", [])
    with pytest.raises(WrongMode):
        await rebuild(house, partition="a")


async def test_rebuilds_that_cannot_be_are_refused(house: Work):
    await with_events(house, 3)
    events = (await house.call(contract.events, name="totals")).events

    with pytest.raises(EventNotFound):
        await rebuild(house, from_event_id="evt_nobody")
    with pytest.raises(InvalidProjection, match="comes after"):
        await rebuild(house, from_event_id=events[2].id, to_event_id=events[0].id)
    with pytest.raises(InvalidProjection, match="exclude each other"):
        await rebuild(house, partition="a", to_event_id=events[0].id)
    await rebuild(house)
    with pytest.raises(RebuildUnderWay):
        await rebuild(house)


async def test_a_failing_event_of_a_rebuild_is_named_and_readers_keep_the_old_version(house: Work):
    runner = await with_events(house, 2)
    await rebuild(house)
    again = Runner(house, "totals")
    for _ in range(4):
        await again.poll()

    status = await runner.status()

    assert status.status == "rebuilding"
    assert "was delivered 4 times and not saved" in (status.error_message or "")
    assert (await runner.shown())["seen"] == [1, 2]
