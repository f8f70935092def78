"""Callers wait until a projection has caught up."""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument
from ironflow.base.json import Json
from ironflow.base.spelling import reader
from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections import contract, waits
from ironflow.features.projections.contract import FrameKind, NotWaitable, ProjectionNotFound, WaitsFull
from ironflow.features.streams import contract as streams
from tests.support.projections import a_projection
from tests.support.server import open_server
from tests.support.work import Work


async def a_wait(server: Work, **more: Any) -> contract.Waited:
    return await server.call(contract.wait, **{"name": "totals", "timeout": "5s", **more})


async def test_a_wait_ends_when_the_position_is_saved(server: Work):
    runner = await a_projection(server)
    for _ in range(2):
        await server.emit("order.placed")
    waiting = asyncio.ensure_future(a_wait(server, min_seq=2))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()

    await runner.save(await runner.poll(1))
    await runner.save(await runner.poll(1))

    assert await waiting == contract.Waited(
        caught_up=True, timed_out=False, current_seq=2, target_seq=2, behind_by_events=0, rebuilding=False,
        mode="managed",
    )  # fmt: skip


async def test_an_append_answers_the_position_to_wait_for(server: Work):
    runner = await a_projection(server)
    await server.emit("mail.sent")
    appended = await server.call(
        streams.append, entity_id="o-1", entity_type="order", event_name="order.placed", data=Json(b"{}")
    )

    before = await a_wait(server, min_seq=appended.sequence, timeout="0.01s")
    await runner.save(await runner.poll(1))
    after = await a_wait(server, min_seq=appended.sequence)

    assert (before.timed_out, before.target_seq) == (True, appended.sequence)
    assert (after.caught_up, after.current_seq) == (True, appended.sequence)


async def test_a_wait_whose_time_is_over_reports_how_far_it_came(server: Work):
    runner = await a_projection(server)
    for _ in range(3):
        await server.emit("order.placed")
    await runner.save(await runner.poll(1))

    ended = await a_wait(server, min_seq=3, timeout="0.01s")

    assert (ended.caught_up, ended.timed_out, ended.current_seq, ended.target_seq, ended.behind_by_events) == (
        False, True, 1, 3, 2,
    )  # fmt: skip


async def test_events_of_others_need_not_be_waited_for(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await runner.save(await runner.poll())
    for _ in range(3):
        await server.emit("mail.sent")

    ended = await a_wait(server, min_seq=4)

    assert (ended.caught_up, ended.current_seq) == (True, 4)


async def test_without_a_position_all_that_is_there_when_the_wait_begins_is_waited_for(server: Work):
    runner = await a_projection(server)
    for _ in range(2):
        await server.emit("order.placed")
    waiting = asyncio.ensure_future(a_wait(server))
    await asyncio.wait([waiting], timeout=0.1)
    await server.emit("order.placed")
    await runner.save(await runner.poll(2))

    assert ((await waiting).target_seq, (await waiting).caught_up) == (2, True)


async def test_a_position_in_the_future_is_waited_for(server: Work):
    runner = await a_projection(server)
    waiting = asyncio.ensure_future(a_wait(server, min_seq=1))
    await asyncio.wait([waiting], timeout=0.1)
    await server.emit("order.placed")
    await runner.save(await runner.poll())

    assert (await waiting).caught_up


async def test_a_partition_is_waited_for_alone(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "abb":
        await server.emit("order.placed", {"c": customer})
    await runner.save(await runner.poll(), only="b")

    b, a = await a_wait(server, min_seq=3, partition="b"), await a_wait(server, min_seq=3, partition="a", timeout="0s")

    assert (b.caught_up, a.caught_up, a.current_seq) == (True, False, 0)


async def test_an_event_is_waited_for_by_its_id(server: Work):
    runner = await a_projection(server)
    event_id = (await server.emit("order.placed")).event_id
    waiting = asyncio.ensure_future(
        server.call(contract.wait_for_event, event_id=event_id, projection="totals", timeout="5s")
    )
    await asyncio.wait([waiting], timeout=0.1)
    await runner.save(await runner.poll())

    assert (await waiting).current_seq == 1
    with pytest.raises(EventNotFound):
        await server.call(contract.wait_for_event, event_id="evt_missing", projection="totals")


async def test_a_projection_that_does_not_move_is_not_waited_for(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await server.call(contract.pause, name="totals")
    with pytest.raises(NotWaitable, match="is paused"):
        await a_wait(server, min_seq=1)
    await server.call(contract.resume, name="totals")
    await runner.work_off()
    await server.call(contract.pause, name="totals")
    assert (await a_wait(server, min_seq=1)).caught_up

    await server.emit("order.placed")
    await server.call(contract.resume, name="totals")
    await server.call(contract.rebuild, name="totals")
    with pytest.raises(NotWaitable, match="is being rebuilt"):
        await a_wait(server, min_seq=2)
    old = await a_wait(server, min_seq=1)
    assert (old.caught_up, old.rebuilding) == (True, True)


async def test_an_external_projection_has_no_partitions_to_wait_for(server: Work):
    await a_projection(server, mode="external")
    with pytest.raises(NotWaitable, match="no partitions"):
        await a_wait(server, partition="a")
    with pytest.raises(ProjectionNotFound):
        await a_wait(server, name="missing")


async def test_a_batch_waits_for_each_and_an_item_that_cannot_be_waited_for_has_its_error(server: Work):
    runner = await a_projection(server)
    await a_projection(server, "slow")
    await server.emit("order.placed")
    await runner.work_off()

    items = [{"name": "totals", "min_seq": 1}, {"name": "missing"}, {"name": "slow", "min_seq": 1}]
    done, unknown, late = (await server.call(contract.wait_batch, items=items, timeout="0.05s")).results

    assert (done.error, done.result and done.result.caught_up) == (None, True)
    assert (unknown.result, (unknown.error or "")[:20]) == (None, "projection not found")
    assert (late.error, late.result and late.result.timed_out) == (None, True)
    for wrong in ([], [{"name": "totals"}] * 17):
        with pytest.raises(InvalidArgument, match="1 to 16"):
            await server.call(contract.wait_batch, items=wrong)


async def test_there_are_so_many_places_to_wait_and_a_batch_takes_all_of_its_own_or_none(database_url: str):
    async with open_server(Work, database_url, projection_waits_max=2) as server:
        await a_projection(server)
        await server.emit("order.placed")
        first = asyncio.ensure_future(a_wait(server, min_seq=1))
        await asyncio.wait([first], timeout=0.05)

        with pytest.raises(WaitsFull, match="2 places to wait are asked for, 1 are free"):
            await server.call(contract.wait_batch, items=[{"name": "totals", "min_seq": 1}] * 2)
        first.cancel()
        await asyncio.wait([first])

        both = await server.call(contract.wait_batch, items=[{"name": "totals"}] * 2, timeout="0s")
        assert [each.result and each.result.timed_out for each in both.results] == [True, True]


async def test_a_stream_reports_each_move_and_then_the_end(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waits, "LOOK_AGAIN_S", 0.02)
    runner = await a_projection(server)
    for _ in range(3):
        await server.emit("order.placed")
    async with aclosing(frames(server, min_seq=3)) as stream:
        received = [await anext(stream)]
        for _ in range(3):
            await runner.save(await runner.poll(1))
            received.append(await anext(stream))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    assert [(each.kind, each.current_seq, each.behind_by_events, each.caught_up) for each in received] == [
        (FrameKind.PROGRESS, 0, 3, False),
        (FrameKind.PROGRESS, 1, 2, False),
        (FrameKind.PROGRESS, 2, 1, False),
        (FrameKind.DONE, 3, 0, True),
    ]


async def test_a_stream_that_takes_too_long_or_cannot_end_has_the_reason_in_its_last_frame(server: Work):
    await a_projection(server)
    await server.emit("order.placed")
    late = [each async for each in frames(server, min_seq=1, timeout="0.05s")][-1]
    await server.call(contract.pause, name="totals")
    (refused,) = [each async for each in frames(server, min_seq=1)]

    assert (late.kind, late.timed_out, late.caught_up) == (FrameKind.DONE, True, False)
    assert (refused.kind, refused.error) == (
        FrameKind.DONE,
        "'totals' is paused and does not move. Resume it first.",
    )


def frames(server: Work, **more: Any) -> Any:
    request = {"name": "totals", "timeout": "5s", **more}
    message = reader(contract.Wait).read(msgspec.json.encode(request))
    return server.dispatch.stream(contract.wait_stream, Call(environment="default", now=server.now), message)


async def test_a_rebuild_is_waited_through_while_its_runner_feeds_both_versions(server: Work):
    """A runner that feeds only what is built makes waits fail again."""
    runner = await a_projection(server)
    await server.emit("order.placed")
    await server.call(contract.acquire_lease, name="totals", feeds_both=True)
    await server.call(contract.rebuild, name="totals")

    waiting = await server.call(contract.wait, name="totals", timeout="0.01s")
    await runner.acquire()
    with pytest.raises(NotWaitable):
        await server.call(contract.wait, name="totals", timeout="0.01s")

    assert (waiting.caught_up, waiting.timed_out) == (False, True)
