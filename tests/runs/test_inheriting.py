"""Metadata of the event that started a run goes on to what the run makes, under the keys that the setting names."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from ironflow.features.events import contract as events
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.runs.inheriting import inherited_metadata
from ironflow.features.streams import contract as streams
from tests.support.server import open_server
from tests.support.work import Work

GIVEN = {"correlation_id": "c-1", "user": {"id": 7}, "secret": "x"}
INHERITED = {"correlation_id": "c-1", "user": {"id": 7}}


@pytest.fixture
async def inheriting(database_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, database_url, inherited_metadata="correlation_id, user") as opened:
        yield opened


async def a_run(server: Work) -> str:
    """A run in work, started by an event with metadata."""
    await server.a_function()
    await server.a_function("child", on=None)
    await server.a_worker()
    await server.emit(metadata=GIVEN)
    return (await server.claim()).run_id


async def metadata_of(server: Work, event_id: str) -> Any:
    found = await server.call(events.get, id=event_id)
    return None if found.metadata is None else msgspec.json.decode(bytes(found.metadata))


@pytest.mark.parametrize(
    ("own", "of_event", "expected"),
    [
        (None, '{"a":1,"b":2}', {"a": 1}),
        ('{"a":9,"c":3}', '{"a":1}', {"a": 9, "c": 3}),
        ('{"c":3}', '{"a":null}', {"c": 3, "a": None}),
        ('{"c":3}', '{"b":2}', {"c": 3}),
    ],
)
def test_its_own_metadata_counts_before_what_is_inherited(own: str | None, of_event: str, expected: dict[str, Any]):
    found = inherited_metadata(own, of_event, ("a",))
    assert found is not None
    assert msgspec.json.decode(found) == expected


def test_without_such_a_key_metadata_stays_as_it_was_given():
    assert inherited_metadata('{ "c": 3 }', '{"b":2}', ("a",)) == '{ "c": 3 }'
    assert inherited_metadata(None, '{"b":2}', ("a",)) is None


async def test_events_appends_and_batches_of_a_run_inherit(inheriting: Work):
    server = inheriting
    run_id = await a_run(server)

    emitted = await server.emit("order.paid", from_run=run_id, metadata={"user": "own", "n": 1})
    appended = await server.call(streams.append, entity_id="o", entity_type="order", event_name="paid", from_run=run_id)
    many = await server.call(streams.append_many, appends=[{"entity_id": "o", "event_name": "sent"}], from_run=run_id)
    batch = await server.call(events.emit_batch, events=[{"event": "a"}], from_run=run_id)
    invoked = await server.call(events.invoke, function_id="child", from_run=run_id)

    assert await metadata_of(server, emitted.event_id) == {"user": "own", "n": 1, "correlation_id": "c-1"}
    for event_id in (
        appended.event_id,
        many.appended[0].event_id,
        batch.results[0].event_id,
        invoked.event_id,
    ):
        assert await metadata_of(server, event_id) == INHERITED


async def test_messages_to_topics_inherit_and_runs_of_steps_do(inheriting: Work):
    server = inheriting
    await server.a_function()
    await server.a_function("child", on=None)
    await server.a_worker(function_ids=["charge", "child"])
    await server.emit(metadata=GIVEN)
    job = await server.claim()

    published = await server.call(pubsub.publish, topic="orders.done", data={}, from_run=job.run_id)
    yielded = {
        "type": "invoke_function",
        "step_id": f"{job.run_id}:child:0",
        "function_id": "child",
        "input": 1,
        "timeout_ms": 60_000,
    }
    await server.report(job, "yielded", yielded=yielded)
    child = await server.claim()

    assert await metadata_of(server, published.event_id) == INHERITED
    assert child.function_id == "child"
    assert msgspec.json.decode(bytes(child.event.metadata or b"null")) == INHERITED


async def test_what_they_start_inherits_it_further(inheriting: Work):
    server = inheriting
    run_id = await a_run(server)
    await server.a_function("second", on="order.paid")
    await server.a_worker("w2", ["second"])
    await server.emit("order.paid", from_run=run_id)

    second = await server.claim("w2")
    emitted = await server.emit("order.sent", from_run=second.run_id)

    assert await metadata_of(server, emitted.event_id) == INHERITED


async def test_a_trigger_s_expression_sees_what_is_inherited(inheriting: Work):
    server = inheriting
    run_id = await a_run(server)
    triggers = [{"event": "order.paid", "expression": "metadata.correlation_id == 'c-1'"}]
    await server.a_function("second", triggers=triggers)

    assert len((await server.emit("order.paid", from_run=run_id)).run_ids) == 1


async def test_a_run_of_another_environment_gives_nothing(inheriting: Work):
    server = inheriting
    run_id = await a_run(server)

    emitted = await server.call(events.emit, event="order.paid", env="staging", from_run=run_id)

    found = await server.call(events.get, id=emitted.event_id, env="staging")
    assert found.metadata is None


async def test_without_the_setting_nothing_is_inherited(server: Work):
    run_id = await a_run(server)
    emitted = await server.emit("order.paid", from_run=run_id)
    assert await metadata_of(server, emitted.event_id) is None


async def test_imported_events_keep_the_metadata_that_they_have(inheriting: Work):
    server = inheriting
    run_id = await a_run(server)
    item = {"id": "evt_x", "name": "old", "timestamp": "2020-01-01T00:00:00Z", "run_id": run_id}
    await server.call(events.import_, events=[item], trigger=True)
    assert await metadata_of(server, "evt_x") is None
