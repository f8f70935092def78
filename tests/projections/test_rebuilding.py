"""A projection is built anew while readers see the version before."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections import contract, feeder
from ironflow.features.projections.contract import (
    EventKind,
    GenerationReplaced,
    InvalidProjection,
    LeaseLost,
    RebuildNotFound,
    RebuildUnderWay,
    RebuiltByPolls,
    StaleSave,
    WrongMode,
)
from tests.support.projections import Runner, a_projection, of_kind
from tests.support.work import Work


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeder, "LOOK_AGAIN_S", 0.02)


async def rebuild(server: Work, **more: Any) -> contract.RebuildJob:
    return (await server.call(contract.rebuild, name="totals", **more)).job


async def job(server: Work) -> contract.RebuildJob:
    return (await server.call(contract.rebuild_job, name="totals")).job


async def with_events(server: Work, count: int, **registration: Any) -> Runner:
    """A projection that has saved `count` events."""
    runner = await a_projection(server, **registration)
    for n in range(count):
        await server.emit("order.placed", {"n": n, "c": "ab"[n % 2]})
    await runner.work_off()
    return runner


async def test_readers_see_the_old_version_until_the_new_one_has_caught_up(server: Work):
    runner = await with_events(server, 4)
    old = await runner.shown()

    started = await rebuild(server)
    again = Runner(server, "totals")
    loaded = await again.load()
    seen: list[object] = []
    while batch := await again.poll(1):
        await again.save(batch)
        seen.append(((await runner.shown()) == old, (await runner.status()).status))

    assert (started.status, started.total_events) == ("running", 4)
    assert loaded is None
    assert seen == [(True, "rebuilding")] * 3 + [(True, "active")]
    # The same fold, made again: the difference is how often it was saved.
    assert await runner.shown() == old == {"seen": [1, 2, 3, 4], "last": {"n": 3, "c": "b"}}
    assert (await server.call(contract.get, name="totals")).version == 4


async def test_the_state_of_a_rebuild_is_marked_as_one(server: Work):
    runner = await with_events(server, 4)
    await rebuild(server)
    again = Runner(server, "totals")
    await again.load()
    await again.save(await again.poll(1))

    found = await server.call(contract.get, name="totals")

    info = found.registry
    assert info is not None
    assert (found.version, found.state_last_event_seq) == (1, 1)
    assert (info.status, info.rebuild_start_cursor, info.rebuild_target_seq) == ("rebuilding", 0, 4)
    assert info.rebuild_started_at is not None
    # Where readers are, whatever has been built anew.
    assert info.last_event_seq == 4
    assert (await runner.shown()) == {"seen": [1, 2, 3, 4], "last": {"n": 3, "c": "b"}}


async def test_a_rebuild_reports_its_progress_and_how_long_it_will_take(server: Work):
    runner = await with_events(server, 4)
    await rebuild(server)
    server.move(10_000)
    again = Runner(server, "totals")
    await again.save(await again.poll(1))

    going, status = await job(server), await runner.status()
    await again.work_off()
    done = await job(server)

    assert (going.status, going.events_processed, going.total_events, going.progress) == ("running", 1, 4, 0.25)
    assert going.estimated_remaining is not None
    assert going.estimated_remaining.total_seconds() == 30
    assert (status.rebuild_target_seq, status.rebuild_start_cursor) == (4, 0)
    assert (done.status, done.events_processed, done.progress, done.estimated_remaining) == ("completed", 4, 1.0, None)
    assert done.job_id == going.job_id


async def test_events_that_come_during_a_rebuild_are_folded_after_it(server: Work):
    runner = await with_events(server, 3)
    await rebuild(server)
    again = Runner(server, "totals")
    await again.save(await again.poll(2))
    for _ in range(2):
        await server.emit("order.placed")
    await again.work_off(2)

    assert (await runner.shown())["seen"] == [1, 2, 3, 4, 5]
    assert (await runner.status()).status == "active"


async def test_a_dry_run_counts_and_changes_nothing(server: Work):
    runner = await with_events(server, 3)

    counted = await rebuild(server, dry_run=True)

    assert (counted.status, counted.dry_run, counted.total_events) == ("dry_run_ok", True, 3)
    assert (await runner.status()).status == "active"
    with pytest.raises(RebuildNotFound):
        await job(server)


async def test_a_rebuild_fences_the_runner_that_was_at_work(server: Work):
    runner = await with_events(server, 2)
    await runner.acquire()
    await server.emit("order.placed")
    batch = await runner.poll()
    stream = runner.follow()
    await of_kind(stream, EventKind.EVENT, 1)

    await rebuild(server)

    with pytest.raises(LeaseLost):
        await runner.save(batch)
    with pytest.raises(LeaseLost):
        await anext(stream)
    assert await runner.acquire()
    assert await runner.load() is None
    assert [each.seq for each in await runner.poll()] == [1, 2, 3]


async def test_what_a_runner_without_a_lease_had_in_flight_is_refused(server: Work):
    runner = await with_events(server, 2)
    await server.emit("order.placed")
    in_flight = await runner.poll()

    await rebuild(server)

    with pytest.raises(StaleSave, match="Load the state again"):
        await runner.save(in_flight)
    again = Runner(server, "totals")
    await again.work_off()
    assert (await again.shown())["seen"] == [1, 2, 3]


async def test_a_stream_ends_when_a_rebuild_begins_and_goes_on_through_its_end(server: Work):
    runner = await with_events(server, 3)
    stream = runner.follow()
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.wait([coming], timeout=0.1)
    await rebuild(server)
    with pytest.raises(StopAsyncIteration):
        await coming

    again = Runner(server, "totals")
    await again.acquire()
    async with aclosing(again.follow()) as following:
        await again.save(await of_kind(following, EventKind.EVENT, 3))
        await server.emit("order.placed")
        await again.save(await of_kind(following, EventKind.EVENT, 1))
    assert (await again.shown())["seen"] == [1, 2, 3, 4]


async def test_a_runner_without_a_lease_polls_during_a_rebuild(server: Work):
    runner = await with_events(server, 3)
    await rebuild(server)

    with pytest.raises(RebuiltByPolls):
        await anext(runner.follow())

    polling = Runner(server, "totals")
    await polling.work_off()
    assert (await runner.shown())["seen"] == [1, 2, 3]
    async with aclosing(runner.follow()) as following:
        await server.emit("order.placed")
        await polling.save(await of_kind(following, EventKind.EVENT, 1))


async def test_a_cancelled_rebuild_leaves_everything_as_it_was(server: Work):
    runner = await with_events(server, 3)
    before = await runner.shown()
    await rebuild(server)
    again = Runner(server, "totals")
    late = await again.poll(2)
    await again.save(late[:1])

    cancelled = await server.call(contract.cancel_rebuild, name="totals")
    await server.emit("order.placed")
    successor = Runner(server, "totals")
    await successor.work_off()
    await server.loop("projections-forget")

    assert cancelled.status == "active"
    assert ((await job(server)).status, before["seen"]) == ("cancelled", [1, 2, 3])
    assert (await runner.shown())["seen"] == [1, 2, 3, 4]
    with pytest.raises(RebuildNotFound):
        await server.call(contract.cancel_rebuild, name="totals")
    (generations,) = await server.db.read(lambda tx: tx.rows("SELECT count(DISTINCT side) FROM projection_states"))
    assert generations == (1,)


async def states(server: Work) -> int:
    return (await server.db.read(lambda tx: tx.rows("SELECT count(*) FROM projection_states")))[0][0]


async def test_the_states_of_the_version_before_are_removed(server: Work):
    await with_events(server, 4, partition_key="data.c")
    await rebuild(server)
    again = Runner(server, "totals")
    await again.work_off()
    before = await states(server)

    await server.loop("projections-forget")

    assert (before, await states(server)) == (4, 2)


async def test_one_partition_is_rebuilt_and_the_others_stay(server: Work):
    runner = await with_events(server, 6, partition_key="data.c")
    await rebuild(server, partition="a")
    again = Runner(server, "totals")

    given = [each.seq for each in await again.poll()]
    await again.load("a")
    await again.work_off(2)
    await server.loop("projections-rebuilds")
    await server.emit("order.placed", {"c": "b"})
    await again.work_off()

    assert given == [1, 3, 5]
    assert ((await job(server)).status, (await job(server)).partition) == ("completed", "a")
    assert ((await runner.shown("a"))["seen"], (await runner.shown("b"))["seen"]) == ([1, 3, 5], [2, 4, 6, 7])
    assert (await runner.status()).status == "active"


async def test_a_save_for_another_partition_is_refused_while_one_is_rebuilt(server: Work):
    await with_events(server, 4, partition_key="data.c")
    await rebuild(server, partition="a")
    again = Runner(server, "totals")
    await again.poll()

    with pytest.raises(StaleSave):
        await again.save_state({}, 2, partition="b")


async def test_a_rebuild_from_an_event_forgets_what_was_before_it(server: Work):
    runner = await with_events(server, 4)
    (third,) = [each for each in (await server.call(contract.events, name="totals")).events if each.seq == 3]

    started = await rebuild(server, from_event_id=third.id)
    again = Runner(server, "totals")
    await again.work_off()

    assert (started.total_events, started.from_event_id) == (2, third.id)
    assert (await runner.shown())["seen"] == [3, 4]


async def test_a_rebuild_to_an_event_is_shown_when_it_is_there_and_goes_on(server: Work):
    runner = await with_events(server, 4)
    (second,) = [each for each in (await server.call(contract.events, name="totals")).events if each.seq == 2]
    await rebuild(server, to_event_id=second.id)
    again = Runner(server, "totals")

    given = await again.poll()
    await again.save(given)
    at_the_swap = (await runner.shown())["seen"]
    await again.work_off()

    assert [each.seq for each in given] == [1, 2]
    assert at_the_swap == [1, 2]
    assert (await runner.shown())["seen"] == [1, 2, 3, 4]


async def test_a_rebuild_of_a_projection_without_events_is_done_at_once(server: Work):
    await a_projection(server)
    await server.emit("mail.sent")

    assert (await rebuild(server)).status == "completed"
    assert (await Runner(server, "totals").status()).status == "active"


async def test_a_rebuild_whose_last_events_match_nothing_ends_by_itself(server: Work):
    runner = await with_events(server, 2)
    await server.emit("mail.sent")
    await rebuild(server)
    again = Runner(server, "totals")
    await again.work_off()

    assert (await runner.status()).status == "active"


async def test_an_external_projection_is_rebuilt_by_delivering_its_events_again(server: Work):
    mailer = await a_projection(server, "totals", mode="external")
    for _ in range(3):
        await server.emit("order.placed")
    await mailer.ack((await mailer.poll())[-1])

    await rebuild(server)
    again = await mailer.poll()
    await mailer.ack(again[-1])

    assert [each.seq for each in again] == [1, 2, 3]
    assert ((await mailer.status()).status, await mailer.poll()) == ("active", [])
    with pytest.raises(WrongMode):
        await rebuild(server, partition="a")


async def test_rebuilds_that_cannot_be_are_refused(server: Work):
    await with_events(server, 3)
    events = (await server.call(contract.events, name="totals")).events

    with pytest.raises(EventNotFound):
        await rebuild(server, from_event_id="evt_missing")
    with pytest.raises(InvalidProjection, match="comes after"):
        await rebuild(server, from_event_id=events[2].id, to_event_id=events[0].id)
    with pytest.raises(InvalidProjection, match="exclude each other"):
        await rebuild(server, partition="a", to_event_id=events[0].id)
    await rebuild(server)
    with pytest.raises(RebuildUnderWay):
        await rebuild(server)


async def test_a_failing_event_of_a_rebuild_is_named_and_readers_keep_the_old_version(server: Work):
    runner = await with_events(server, 2)
    await rebuild(server)
    again = Runner(server, "totals")
    for _ in range(4):
        await again.poll()

    status = await runner.status()

    assert status.status == "rebuilding"
    assert "was delivered 4 times and not saved" in (status.error_message or "")
    assert (await runner.shown())["seen"] == [1, 2]


async def test_a_new_version_takes_over_when_it_has_all_that_readers_see(server: Work):
    runner = await with_events(server, 2)
    await rebuild(server)
    acquired = await server.call(contract.acquire_lease, name="totals", feeds_both=True)
    assert acquired.lease is not None
    assert acquired.served is not None
    again = Runner(server, "totals", lease={"token": acquired.lease.token, "epoch": acquired.lease.epoch})
    await server.emit("order.placed")
    (event,) = await again.poll(generation=acquired.served)
    await again.save_state({"seen": [1, 2, 3]}, event.seq or 0, generation=acquired.served)
    old = (event.seq, await runner.shown(), (await runner.status()).status)

    first, second = await again.poll(2)
    await again.save([first, second])
    between = (await runner.status()).status
    await again.work_off()

    assert old == (3, {"seen": [1, 2, 3]}, "rebuilding")
    assert between == "rebuilding"
    assert ((await runner.shown())["seen"], (await runner.status()).status) == ([1, 2, 3], "active")
    with pytest.raises(GenerationReplaced):
        await again.poll(generation=acquired.served)


async def test_what_readers_saw_of_a_partition_is_not_fed_beside_it_any_more_once_that_is_rebuilt(server: Work):
    runner = await with_events(server, 4, partition_key="data.c")
    await rebuild(server, partition="a")
    acquired = await server.call(contract.acquire_lease, name="totals", feeds_both=True)
    assert acquired.lease is not None
    again = Runner(server, "totals", lease={"token": acquired.lease.token, "epoch": acquired.lease.epoch})
    assert await again.poll(generation=acquired.served) == []
    await again.load("a")
    await again.work_off()
    await server.loop("projections-rebuilds")
    assert (await runner.status()).status == "active"
    await server.emit("order.placed", {"c": "a"})

    # The state that it has of the partition is that of before: folded on, it would take the place of the new one.
    with pytest.raises(GenerationReplaced):
        await again.poll(generation=acquired.served)
    with pytest.raises(GenerationReplaced):
        await again.save_state({"seen": ["old"]}, 5, partition="a", generation=acquired.served)
    await again.work_off()

    assert (await runner.shown("a"))["seen"] == [1, 3, 5]


async def test_a_failing_rebuild_does_not_delay_what_readers_see(server: Work):
    runner = await with_events(server, 2)
    await rebuild(server)
    acquired = await server.call(contract.acquire_lease, name="totals", feeds_both=True)
    assert acquired.lease is not None
    again = Runner(server, "totals", lease={"token": acquired.lease.token, "epoch": acquired.lease.epoch})
    # Delivered again and again without a save.
    while (await runner.status()).error_message is None:
        await again.poll()
    assert await again.poll() == []
    await server.emit("order.placed")

    assert len(await again.poll(generation=acquired.served)) == 1


async def test_an_external_projection_is_fed_once_during_a_rebuild(server: Work):
    await a_projection(server, mode="external")
    await server.emit("order.placed")
    (event,) = await Runner(server, "totals").poll()
    await Runner(server, "totals").ack(event)
    await rebuild(server)

    acquired = await server.call(contract.acquire_lease, name="totals", feeds_both=True)

    assert (acquired.granted, acquired.served) == (True, None)
