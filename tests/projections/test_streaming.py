"""A runner follows a stream: from the cursor, live, and again from the cursor whenever a save failed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from ironflow.features.projections import contract, feeder
from ironflow.features.projections.contract import (
    EventKind,
    InvalidSave,
    LeaseLost,
    ProjectionEvent,
    ProjectionNotFound,
)
from tests.support.projections import a_projection, of_kind
from tests.support.work import Work


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeder, "LOOK_AGAIN_S", 0.02)


ATTEMPTS = 5


async def seqs(stream: AsyncGenerator[ProjectionEvent, None], count: int) -> list[int | None]:
    return [each.seq for each in await of_kind(stream, EventKind.EVENT, count)]


async def ended(stream: AsyncGenerator[ProjectionEvent, None]) -> bool:
    """Whether the stream ends by itself, whatever frames it still has."""
    async with asyncio.timeout(10):
        async for _ in stream:
            pass
    return True


async def waits(stream: AsyncGenerator[ProjectionEvent, None]) -> "asyncio.Task[ProjectionEvent]":
    """The stream has nothing to say now; what it says next."""
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.wait([coming], timeout=0.15)
    assert not coming.done()
    return coming


async def waits_still(coming: "asyncio.Task[ProjectionEvent]") -> None:
    await asyncio.wait([coming], timeout=0.15)
    assert not coming.done()


async def after_heartbeats(
    coming: "asyncio.Task[ProjectionEvent]", stream: AsyncGenerator[ProjectionEvent, None]
) -> ProjectionEvent:
    frame = await coming
    while frame.kind is EventKind.HEARTBEAT:
        frame = await anext(stream)
    return frame


async def test_a_stream_begins_at_the_cursor_and_follows_the_log(server: Work):
    runner = await a_projection(server)
    for _ in range(3):
        await server.emit("order.placed")
    await runner.save(await runner.poll(1))

    async with aclosing(runner.follow()) as stream:
        first = await seqs(stream, 2)
        coming = await waits(stream)
        await server.emit("mail.sent")
        await server.emit("order.paid")
        live = await coming

    assert (first, live.seq, live.name) == ([2, 3], 5, "order.paid")


async def test_an_event_of_another_name_is_not_looked_at(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeder, "LOOK_AGAIN_S", 60.0)
    runner = await a_projection(server)
    looks: list[object] = []
    peek = server.db.peek

    async def counted(fn: Any) -> Any:
        looks.append(fn)
        return await peek(fn)

    async with aclosing(runner.follow()) as stream:
        coming = await waits(stream)
        monkeypatch.setattr(server.db, "peek", counted)
        for _ in range(ATTEMPTS):
            # A notification of what was before may be late; it comes once.
            looks.clear()
            await server.emit("mail.sent")
            await waits_still(coming)
            if not looks:
                break
        before = list(looks)
        await server.emit("order.paid")

        assert (before, (await coming).name) == ([], "order.paid")


async def test_in_flight_is_not_saved_so_the_next_stream_begins_at_the_cursor_again(server: Work):
    runner = await a_projection(server)
    for _ in range(3):
        await server.emit("order.placed")

    async with aclosing(runner.follow()) as stream:
        assert await seqs(stream, 3) == [1, 2, 3]
    async with aclosing(runner.follow()) as stream:
        assert await seqs(stream, 3) == [1, 2, 3]


async def test_a_stream_goes_on_while_its_runner_saves(server: Work):
    runner = await a_projection(server)
    async with aclosing(runner.follow(batch_size=2)) as stream:
        for n in range(40):
            await server.emit("order.placed", n)
        seen = 0
        while seen < 40:
            batch = await of_kind(stream, EventKind.EVENT, 2)
            await runner.save(batch)
            seen += 2

    assert (await runner.shown())["seen"] == list(range(1, 41))


async def test_a_stream_runs_ahead_of_its_saves_by_ten_batches_and_no_more(server: Work):
    runner = await a_projection(server)
    for _ in range(40):
        await server.emit("order.placed")
    async with aclosing(runner.follow(batch_size=2)) as stream:
        assert await seqs(stream, 20) == list(range(1, 21))
        coming = await waits(stream)
        # It goes on with a large piece when half of what it sent is saved.
        await runner.save_state({}, 10)
        await asyncio.wait([coming], timeout=0.1)
        assert not coming.done()
        await runner.save_state({}, 12)
        assert (await coming).seq == 21


async def test_a_silent_stream_beats_every_15_seconds(server: Work):
    runner = await a_projection(server)
    async with aclosing(runner.follow()) as stream:
        coming = await waits(stream)
        server.move(15_000)
        assert (await coming).kind is EventKind.HEARTBEAT
        coming = await waits(stream)
        await server.emit("order.placed")
        assert (await coming).kind is EventKind.EVENT


async def test_a_runner_that_does_not_accept_heartbeats_gets_none(server: Work):
    runner = await a_projection(server)
    async with aclosing(runner.follow(accept_heartbeats=False)) as stream:
        coming = await waits(stream)
        server.move(60_000)
        await asyncio.wait([coming], timeout=0.1)
        assert not coming.done()
        coming.cancel()
        await asyncio.wait([coming])


async def test_a_refused_save_ends_the_stream_and_the_events_come_again(server: Work):
    runner = await a_projection(server)
    for _ in range(2):
        await server.emit("order.placed")
    stream = runner.follow()
    await seqs(stream, 2)

    with pytest.raises(InvalidSave):
        await runner.save_state({}, 99)

    assert await ended(stream)
    async with aclosing(runner.follow()) as again:
        assert await seqs(again, 2) == [1, 2]


async def test_a_save_that_does_not_come_ends_the_stream_of_a_runner_without_a_lease(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    stream = runner.follow()
    await seqs(stream, 1)
    coming = await waits(stream)

    server.move(30_000)

    with pytest.raises(StopAsyncIteration):
        await after_heartbeats(coming, stream)


async def test_a_late_save_of_a_runner_with_a_lease_ends_nothing(server: Work):
    runner = await a_projection(server)
    await runner.acquire()
    await server.emit("order.placed")
    async with aclosing(runner.follow(accept_heartbeats=False)) as stream:
        batch = await of_kind(stream, EventKind.EVENT, 1)
        coming = await waits(stream)
        for _ in range(4):
            server.move(29_000)
            await server.call(contract.renew_lease, name="totals", lease=runner.lease)
        await runner.save(batch)
        await server.emit("order.placed")
        assert (await coming).seq == 2


async def test_two_runners_without_a_lease_are_not_fed_at_the_same_time(server: Work):
    older, newer = await a_projection(server), await a_projection(server)
    feeding, idle = older.follow(), newer.follow()
    coming = await waits(feeding)
    idling = await waits(idle)
    await server.emit("order.placed")

    batch = [await coming]
    await waits_still(idling)
    await feeding.aclose()

    assert [each.seq for each in batch] == [1]
    # Nothing was saved meanwhile, so its state is as good as it was.
    assert (await idling).seq == 1
    await idle.aclose()


async def test_a_waiting_stream_ends_when_its_turn_comes_and_the_state_it_knows_is_old(server: Work):
    older, newer = await a_projection(server), await a_projection(server)
    feeding, idle = older.follow(), newer.follow()
    coming = await waits(feeding)
    idling = await waits(idle)
    await server.emit("order.placed")
    await older.save([await coming])

    await feeding.aclose()

    with pytest.raises(StopAsyncIteration):
        await idling
    async with aclosing(newer.follow()) as again:
        coming = await waits(again)
        await server.emit("order.placed")
        assert (await coming).seq == 2


async def test_polls_get_nothing_beside_a_stream(server: Work):
    runner = await a_projection(server)
    async with aclosing(runner.follow()) as stream:
        coming = await waits(stream)
        await server.emit("order.placed")
        assert await runner.poll() == []
        await coming
    assert len(await runner.poll()) == 1


async def test_a_lost_lease_ends_the_stream(server: Work):
    runner, other = await a_projection(server), await a_projection(server)
    await runner.acquire()
    stream = runner.follow()
    coming = await waits(stream)

    server.move(30_000)
    await other.acquire()

    with pytest.raises(LeaseLost, match="projection lease lost"):
        await after_heartbeats(coming, stream)


async def test_a_runner_with_a_lease_silences_the_one_without(server: Work):
    bare, leased = await a_projection(server), await a_projection(server)
    idle = bare.follow()
    idling = await waits(idle)
    await leased.acquire()
    async with aclosing(leased.follow()) as stream:
        await server.emit("order.placed")
        assert await seqs(stream, 1) == [1]
        await waits_still(idling)
    idling.cancel()
    await asyncio.wait([idling])


async def test_a_paused_projections_stream_stays_open_and_goes_on_when_it_is_resumed(server: Work):
    runner = await a_projection(server)
    await server.call(contract.pause, name="totals")
    async with aclosing(runner.follow()) as stream:
        await server.emit("order.placed")
        coming = await waits(stream)
        server.move(15_000)
        assert (await coming).kind is EventKind.HEARTBEAT
        await server.call(contract.resume, name="totals")
        assert await seqs(stream, 1) == [1]


async def test_a_deleted_projections_stream_ends_with_not_found(server: Work):
    runner = await a_projection(server)
    stream = runner.follow()
    coming = await waits(stream)

    await server.call(contract.delete, name="totals")

    with pytest.raises(ProjectionNotFound):
        await coming


@pytest.mark.parametrize("batch_size", [1, 7])
async def test_partitions_that_are_saved_ahead_are_not_sent_again(server: Work, batch_size: int):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "abab":
        await server.emit("order.placed", {"c": customer})
    await runner.save(await runner.poll(), only="b")

    async with aclosing(runner.follow(batch_size=batch_size)) as stream:
        assert await seqs(stream, 2) == [1, 3]


async def test_a_stream_of_large_events_holds_few_of_them_ahead(server: Work):
    runner = await a_projection(server)
    for _ in range(32):
        await server.emit("order.placed", "x" * 1_000_000)
    async with aclosing(runner.follow()) as stream:
        seen = await seqs(stream, 24)
        coming = await waits(stream)
        await runner.save_state({}, 16)
        assert (await coming).seq == 25
    assert seen == list(range(1, 25))


async def test_every_delivery_of_the_same_first_event_counts(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    for _ in range(4):
        async with aclosing(runner.follow()) as stream:
            await seqs(stream, 1)

    assert (await runner.status()).status == "error"
    async with aclosing(runner.follow()) as stream:
        coming = await waits(stream)
        server.move(1_000)
        batch = [await coming]
        await runner.save(batch)
    assert (await runner.status()).status == "active"


async def test_events_that_an_external_runner_swallowed_come_again_and_then_are_an_error(server: Work):
    """Its handler raised, and it neither acks nor leaves: what was sent is not lost, and its state shows it."""
    runner = await a_projection(server, mode="external")
    emitted = await server.emit("order.placed")
    for delivery in range(4):
        stream = runner.follow()
        assert await seqs(stream, 1) == [1]
        status = await runner.status()
        assert (status.status, status.lag) == ("active", 1) if delivery < 3 else ("error", 1)
        coming = await waits(stream)
        server.move(30_000)
        with pytest.raises(StopAsyncIteration):
            await after_heartbeats(coming, stream)

    assert emitted.event_id in ((await runner.status()).error_message or "")
    server.move(600_000)
    async with aclosing(runner.follow()) as stream:
        await runner.ack(await anext(stream))
    assert ((await runner.status()).status, (await runner.status()).lag) == ("active", 0)


async def test_an_external_runner_that_acks_past_a_swallowed_event_of_a_poll_gets_it_first(server: Work):
    runner = await a_projection(server, mode="external")
    await server.emit("order.placed")
    await server.emit("order.paid")

    assert [each.seq for each in await runner.poll(1)] == [1]
    # It was not acked.
    assert [each.seq for each in await runner.poll(1)] == [1]
