"""Recorded events are given to a function that was not there, or was broken, when they came: each once."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ironflow import Client
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import DAY_MS, to_datetime
from ironflow.features.audit import contract as audit
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.debounces import contract as debounces
from ironflow.features.event_triggers import contract as triggers
from ironflow.features.event_triggers.contract import InvalidEventTrigger, RecordedTriggered
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.streams import contract as streams
from ironflow.testing.app_transport import AppTransport
from tests.support.server import open_server
from tests.support.work import Work

REVIEWED = "order.reviewed"


async def recorded(server: Work, count: int = 3, name: str = REVIEWED) -> list[str]:
    """The ids of events that nothing was started by."""
    found: list[str] = []
    for number in range(count):
        emitted = await server.emit(name, {"n": number})
        assert emitted.run_ids == []
        found.append(emitted.event_id)
    return found


async def give(server: Work, **more: Any) -> RecordedTriggered:
    return await server.call(triggers.trigger, **{"function_id": "review", **more})


async def started_by(server: Work, function_id: str = "review") -> list[str]:
    """The ids of the events that runs of the function were started by, oldest run first."""
    return [run.event_id for run in (await server.runs(function_id=function_id, limit=1000))[::-1]]


async def test_events_that_came_before_the_function_start_its_runs_in_their_order(server: Work):
    ids = await recorded(server)
    await server.a_function("review", on=REVIEWED)

    given = await give(server)

    assert (given.started, given.known, given.next_cursor, given.waiting) == (3, 0, None, False)
    assert await started_by(server) == ids
    assert len(given.run_ids) == 3
    await server.a_worker(function_ids=["review"])
    assert [job.event.id for job in await server.poll(available=10)] == ids


async def test_repeating_it_starts_nothing_twice_also_when_runs_were_deleted(server: Work):
    await recorded(server)
    await server.a_function("review", on=REVIEWED)
    first = await give(server)
    for run_id in first.run_ids:
        await server.call(runs.cancel, id=run_id)
        await server.call(runs.delete, id=run_id)

    again = await give(server)

    assert (again.started, again.known) == (0, 3)
    assert await started_by(server) == []


async def test_an_event_that_started_the_function_when_it_came_is_known(server: Work):
    before = await recorded(server, 1)
    await server.a_function("review", on=REVIEWED)
    await server.emit(REVIEWED)

    given = await give(server)

    assert (given.started, given.known) == (1, 1)
    assert (await started_by(server))[-1] == before[0]


async def test_nothing_else_notices_the_events(server: Work):
    await server.a_function("other", on=REVIEWED)
    await server.call(groups.create, name="billing", pattern=REVIEWED)
    emitted = await server.emit(REVIEWED, {"n": 1}, idempotency_key="k")
    before = [await _standing(server), await started_by(server, "other")]
    await server.a_function("review", on=REVIEWED, debounce={"period_ms": 5_000})

    assert (await give(server)).started == 1

    assert [await _standing(server), await started_by(server, "other")] == before
    assert (await server.call(debounces.list_)).entries == []
    again = await server.emit(REVIEWED, {"n": 1}, idempotency_key="k")
    assert (again.event_id, again.duplicate) == (emitted.event_id, True)


async def _standing(server: Work) -> tuple[int, Any]:
    recorded = await server.call(events.list_)
    return recorded.count, (await server.call(groups.get, name="billing")).lag


async def test_only_names_and_times_asked_for_that_the_triggers_match_are_given(server: Work):
    await recorded(server, 1, "order.placed")
    old = await recorded(server, 1)
    server.move(10_000)
    await recorded(server, 1)
    server.move(10_000)
    await server.a_function("review", triggers=[{"event": "order.*", "expression": "data.n == 0"}])
    now = server.now

    assert (await give(server, names=["cart.>"])).started == 0
    assert (await give(server, names=[REVIEWED], until=_time(now - 15_000))).started == 1
    assert await started_by(server) == old
    assert (await give(server, names=[REVIEWED], since=_time(now - 15_000))).started == 1
    assert (await give(server)).started == 1


def _time(at: int) -> str:
    return to_datetime(at).isoformat().replace("+00:00", "Z")


async def test_events_that_its_expression_refuses_are_counted_and_not_given(server: Work):
    await recorded(server)
    await server.a_function("review", triggers=[{"event": REVIEWED, "expression": "data.n > 0"}])

    given = await give(server)

    assert (given.started, given.unmatched) == (2, 1)


async def test_a_dry_run_only_counts(server: Work):
    await recorded(server)
    await server.a_function("review", on=REVIEWED)

    assert (await give(server, dry_run=True)).started == 3
    assert await started_by(server) == []
    assert (await give(server)).started == 3
    counted = await give(server, dry_run=True)
    assert (counted.started, counted.known) == (0, 3)


async def test_batches_go_on_at_the_cursor_and_stop_at_the_limit(server: Work):
    ids = await recorded(server, 5)
    await server.a_function("review", on=REVIEWED)

    first = await give(server, limit=2)
    second = await give(server, limit=2, cursor=first.next_cursor)
    third = await give(server, limit=2, cursor=second.next_cursor)

    assert [each.started for each in (first, second, third)] == [2, 2, 1]
    assert third.next_cursor is None
    assert await started_by(server) == ids
    with pytest.raises(InvalidArgument, match="is no cursor"):
        await give(server, cursor="x")


async def test_no_more_runs_are_under_way_than_asked_for(server: Work):
    ids = await recorded(server, 5)
    await server.a_function("review", on=REVIEWED)
    await server.a_worker(function_ids=["review"])
    first = await give(server, in_flight=2)
    full = await give(server, in_flight=2, cursor=first.next_cursor)
    assert (first.started, first.waiting, full.started, full.waiting) == (2, True, 0, True)
    assert full.next_cursor == first.next_cursor

    (job,) = await server.poll()
    await server.report(job, "completed", output=None)
    more = await give(server, in_flight=2, cursor=full.next_cursor)

    assert (more.started, more.waiting) == (1, True)
    assert await started_by(server) == ids[:3]


async def test_live_runs_are_handed_out_before_those_of_recorded_events(server: Work):
    await recorded(server, 3)
    await server.a_function("review", on=REVIEWED, concurrency={"limit": 1})
    await server.a_worker(function_ids=["review"])
    await give(server)
    live = (await server.emit(REVIEWED, {"n": 9})).event_id
    (running,) = await server.poll(available=10)

    await server.report(running, "completed", output=None)
    (following,) = await server.poll(available=10)

    assert live in (running.event.id, following.event.id)


async def test_events_whose_runs_have_failed_are_given_again_once_when_asked_for(server: Work):
    await server.a_function("review", on=REVIEWED)
    await server.a_worker(function_ids=["review"])
    failed, completed = [(await server.emit(REVIEWED)).event_id for _ in range(2)]
    for job in await server.poll(available=2):
        if job.event.id == failed:
            await server.report(job, "failed", error={"message": "broken", "retryable": False})
        else:
            await server.report(job, "completed", output=None)

    assert (await give(server)).known == 2
    first = await give(server, failed=True)
    again = await give(server, failed=True)

    assert (first.started, first.known, again.started, again.known) == (1, 1, 0, 2)
    assert await started_by(server) == [failed, completed, failed]


async def test_an_event_whose_key_a_live_run_has_is_refused_and_given_later(server: Work):
    ids = await recorded(server, 1)
    await server.a_function("review", on=REVIEWED, run_key="'one'", if_running="replace")
    await server.a_worker(function_ids=["review"])
    await server.emit(REVIEWED)

    refused = await give(server)
    (live,) = await server.poll()
    await server.report(live, "completed", output=None)
    later = await give(server)

    assert (refused.started, refused.refused, refused.known) == (0, 1, 1)
    assert (later.started, later.known) == (1, 1)
    assert (await started_by(server))[-1] == ids[0]


async def test_events_of_streams_are_given_and_redacted_ones_are_not(server: Work):
    await server.call(streams.append, entity_id="order-7", entity_type="order", event_name=REVIEWED, data={"n": 1})
    (redacted,) = await recorded(server, 1)
    await server.call(redaction.redact_event, id=redacted)
    await server.a_function("review", on=REVIEWED)

    given = await give(server)

    assert (given.started, given.redacted) == (1, 1)


async def test_the_end_of_a_stream_is_given_to_no_function(server: Work):
    await server.call(streams.append, entity_id="order-7", entity_type="order", event_name=REVIEWED, data={"n": 1})
    await server.call(streams.delete, entity_id="order-7")
    await server.a_function("review", on=">")

    given = await give(server)

    assert (given.started, given.unmatched) == (1, 1)


async def test_an_event_that_a_debounce_gathers_is_known(server: Work):
    await server.a_function("review", on=REVIEWED, debounce={"period_ms": 5_000})
    await server.emit(REVIEWED)
    assert (await give(server)).known == 1


async def test_a_function_that_is_missing_paused_or_without_triggers_is_refused(server: Work):
    with pytest.raises(FunctionNotFound, match="'review'"):
        await give(server)
    await server.a_function("review", on=None)
    with pytest.raises(InvalidEventTrigger):
        await give(server)
    await server.a_function("review", on=REVIEWED)
    await server.call(functions.update_status, id="review", status="paused")
    with pytest.raises(FunctionNotActive, match="is paused"):
        await give(server)


async def test_a_note_records_which_events_were_given(server: Work):
    ids = await recorded(server)
    await server.a_function("review", on=REVIEWED)
    await give(server)
    await give(server)

    notes = (await server.call(audit.list_, event_type="events.triggered")).events

    (note,) = notes
    assert note.function_id == "review"
    assert {"started": 3, "first_event": ids[0], "last_event": ids[-1]}.items() <= msgspec.json.decode(
        bytes(note.payload)
    ).items()


async def test_what_was_given_is_forgotten_with_its_event(database_url: str):
    async with open_server(Work, database_url, event_retention_days=1, run_retention_days=1) as server:
        await recorded(server, 1)
        await server.a_function("review", on=REVIEWED)
        await server.a_worker(function_ids=["review"])
        await give(server)
        await server.report(await server.claim(), "completed", output=None)
        kept = await server.loop("event-triggers-forget")

        server.move(3 * DAY_MS)
        await server.loop("runs-purge")
        await server.loop("events-purge")
        forgotten = await server.loop("event-triggers-forget")

    assert [each.done for each in (*kept, *forgotten)] == [{"forgotten": 0}, {"forgotten": 1}]


async def test_two_nodes_that_give_the_same_events_start_each_once(postgres_url: str):
    async with open_server(Work, postgres_url) as first, open_server(Work, postgres_url) as second:
        ids = await recorded(first, 40)
        await first.a_function("review", on=REVIEWED)
        answers = await asyncio.gather(*(give(each) for each in (first, second) * 3))

        assert sum(each.started for each in answers) == 40
        assert sorted(await started_by(first)) == sorted(ids)


async def test_clients_at_once_start_no_more_than_may_be_in_flight(postgres_url: str):
    async with open_server(Work, postgres_url) as first, open_server(Work, postgres_url) as second:
        names = [f"order.{number}" for number in range(6)]
        for name in names:
            await recorded(first, 5, name)
        await first.a_function("review", on="order.*")
        nodes = (first, second) * 3
        answers = await asyncio.gather(
            *(give(node, names=[name], in_flight=5) for node, name in zip(nodes, names, strict=True))
        )

        assert sum(each.started for each in answers) == 5
        assert sum(each.waiting for each in answers) == 5


async def test_a_list_of_names_has_a_maximum(server: Work):
    await server.a_function("review", on=REVIEWED)
    async with server.http() as client:
        answer = await client.post("/api/v1/events/trigger", json={"function_id": "review", "names": ["a"] * 101})
    assert (answer.status_code, "names" in answer.text) == (400, True)


async def test_the_client_works_through_all_batches(server: Work):
    await recorded(server, 450)
    await server.a_function("review", on=REVIEWED)
    async with Client("http://server", transport=AppTransport(server.inside.app)) as client:
        counted = await client.events.trigger("review", name=REVIEWED, dry_run=True)
        some = await client.events.trigger("review", names=[REVIEWED], limit=5, in_flight=1000)
        rest = await client.events.trigger(
            "review", since=to_datetime(server.now) - timedelta(days=2), in_flight=1000, cursor=some.next_cursor or ""
        )
        again = await client.events.trigger("review", in_flight=1000)

    assert (counted.started, some.started, rest.started) == (450, 5, 445)
    assert (again.started, again.known, again.next_cursor) == (0, 450, None)
