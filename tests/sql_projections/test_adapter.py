"""SQL projections among all projections: the RPCs and routes that clients know answer for them too."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from ironflow.base.call import Call
from ironflow.features.events import contract as events
from ironflow.features.projections import contract as projections
from ironflow.features.sql_projections import contract as sql
from tests.support.work import Work

SEEN: dict[str, Any] = {
    "name": "seen",
    "table_sql": "CREATE TABLE proj_seen (id TEXT)",
    "event_handlers": {"seen": "INSERT INTO proj_seen VALUES (:event_id)"},
}


@pytest.fixture
async def both(server: Work) -> Work:
    """One projection of a program, and a SQL one."""
    await server.call(projections.register, name="managed", mode="managed", events=["seen"])
    await server.call(sql.create, **SEEN)
    await server.call(events.emit, event="seen")
    await server.loop("sql-projections")
    return server


async def test_lists_have_projections_of_every_kind_by_name(both: Work):
    found = await both.call(projections.list_)
    assert [(each.name, each.mode, each.type) for each in found.projections] == [
        ("managed", "managed", "sdk"),
        ("seen", "managed", "sql"),
    ]
    assert found.total_count == 2
    managed = await both.call(projections.list_, mode="managed")
    assert [each.name for each in managed.projections] == ["managed", "seen"]
    assert [each.name for each in (await both.call(projections.list_, mode="sql")).projections] == ["seen"]
    assert [each.name for each in (await both.call(projections.list_, limit=1, offset=1)).projections] == ["seen"]
    first = await both.call(projections.statuses, limit=1)
    second = await both.call(projections.statuses, limit=1, cursor=first.next_cursor)
    assert [each.name for each in (*first.projections, *second.projections)] == ["managed", "seen"]


async def test_a_sql_projection_is_looked_at_paused_and_deleted_like_any_other(both: Work):
    status = await both.call(projections.status, name="seen")
    assert (status.status, status.mode, status.type) == ("active", "managed", "sql")
    assert (status.last_event_seq, status.lag) == (1, 0)
    shown = await both.call(projections.envelope, name="seen")
    assert (shown.mode, shown.type) == ("managed", "sql")
    info = (await both.call(projections.get, name="seen")).registry
    assert info is not None
    assert (info.type, info.events) == ("sql", ["seen"])

    assert (await both.call(projections.pause, name="seen")).status == "paused"
    assert (await both.call(projections.resume, name="seen")).status == "active"
    assert (await both.call(projections.delete, name="seen")).status == "deleted"
    with pytest.raises(projections.ProjectionNotFound):
        await both.call(projections.status, name="seen")


async def test_a_sql_projection_is_rebuilt_like_any_other(both: Work):
    with pytest.raises(projections.RebuildNotFound):
        await both.call(projections.get_rebuild, name="seen")
    with pytest.raises(projections.InvalidProjection):
        await both.call(projections.rebuild, name="seen", partition="p")
    assert (await both.call(projections.start_rebuild, name="seen", dry_run=True)).status == "dry_run_ok"

    begun = (await both.call(projections.rebuild, name="seen")).job
    assert (begun.status, begun.total_events, begun.progress) == ("running", 1, 0.0)
    with pytest.raises(projections.RebuildUnderWay):
        await both.call(projections.rebuild, name="seen")
    assert (await both.call(projections.cancel_rebuild, name="seen")).status == "active"
    await both.call(projections.rebuild, name="seen")
    await both.loop("sql-projections")

    ended = await both.call(projections.get_rebuild, name="seen")
    assert (ended.name, ended.status, ended.progress) == ("seen", "completed", 1.0)


async def test_a_caller_waits_for_its_own_event(both: Work):
    emitted = await both.call(events.emit, event="seen")
    asked = both.call(projections.wait_for_event, projection="seen", event_id=emitted.event_id)
    waiting = asyncio.ensure_future(asked)
    await asyncio.sleep(0)
    await both.loop("sql-projections")

    waited = await waiting
    assert (waited.caught_up, waited.current_seq, waited.mode) == (True, 2, "managed")
    await both.call(events.emit, event="seen")
    await both.call(events.emit, event="passed.by")
    late = await both.call(projections.wait, name="seen", min_seq=99, timeout=10)
    assert (late.timed_out, late.behind_by_events) == (True, 1)
    await both.call(projections.pause, name="seen")
    with pytest.raises(projections.NotWaitable):
        await both.call(projections.wait, name="seen", min_seq=99)
    with pytest.raises(projections.NotWaitable):
        await both.call(projections.wait, name="seen", partition="eu")


async def test_projections_of_both_kinds_are_waited_for_together(both: Work):
    items = [{"name": name, "min_seq": 1} for name in ("seen", "managed", "missing")]
    found = await both.call(projections.wait_batch, items=items, timeout=10)
    waited = [each.result and (each.result.caught_up, each.result.current_seq) for each in found.results]
    assert waited == [(True, 1), (False, 0), None]
    assert "projection not found" in str(found.results[2].error)


async def test_a_wait_reports_each_move_of_a_sql_projection(both: Work):
    await both.call(events.emit, event="seen")
    asked = projections.Wait(name="seen", min_seq=2, timeout=timedelta(seconds=5))
    frames: list[tuple[str, int, bool]] = []
    call = Call(environment="default", now=both.now)
    async with aclosing(both.dispatch.stream(projections.wait_stream, call, asked)) as stream:
        async for frame in stream:
            frames.append((frame.kind.value, frame.current_seq, frame.caught_up))
            if len(frames) == 1:
                await both.loop("sql-projections")

    assert frames == [("progress", 1, False), ("done", 2, True)]


async def test_a_wait_ends_where_the_projection_is_deleted(both: Work):
    waiting = asyncio.ensure_future(both.call(projections.wait, name="seen", min_seq=99, timeout="5s"))
    await asyncio.sleep(0)
    await both.call(projections.delete, name="seen")
    with pytest.raises(projections.ProjectionNotFound):
        await waiting


async def test_one_name_is_one_projection(both: Work):
    with pytest.raises(sql.ProjectionNameTaken):
        await both.call(projections.register, name="seen", mode="managed", events=["seen"])
    with pytest.raises(sql.ProjectionNameTaken):
        await both.call(sql.create, **{**SEEN, "name": "managed"})
