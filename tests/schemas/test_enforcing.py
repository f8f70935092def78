"""What becomes of events that do not fit, by the server's setting."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ironflow.features.events import contract as events
from ironflow.features.events.contract import BatchRefused
from ironflow.features.schemas import contract
from ironflow.features.schemas.enforcing import SchemaGuard
from ironflow.features.streams import contract as streams
from ironflow.log.record import Record
from ironflow.storage.port import Tx
from tests.support.server import open_server
from tests.support.work import Work

ORDER = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
GOOD, BAD = {"total": 1}, {"total": "much"}


@pytest.fixture
async def strict(database_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, database_url, event_schema_enforcement="reject") as opened:
        yield opened


async def register(server: Work, schema: Any = ORDER, version: int = 1, env: str = "default") -> None:
    await server.call(contract.register, event_name="order.placed", version=version, schema_json=schema, env=env)


async def recorded(server: Work) -> list[Any]:
    return [msgspec.json.decode(each.data) for each in (await server.call(events.list_)).events]


async def test_off_is_the_default_and_looks_at_nothing(server: Work):
    await register(server)
    await server.emit(data=BAD)
    assert await recorded(server) == [BAD]


def test_off_asks_the_database_nothing():
    class NoTx:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the transaction was asked for {name}")

    tx: Tx = NoTx()  # pyright: ignore[reportAssignmentType]
    record = Record(id="e", environment="default", kind="event", name="order.placed", data="1", created_at=0)

    assert SchemaGuard("off").refusals(tx, [record]) == {}


async def test_reject_refuses_with_the_place_and_the_reason_and_starts_nothing(strict: Work):
    await strict.a_function()
    await register(strict)

    with pytest.raises(contract.SchemaViolation) as refusal:
        await strict.emit(data=BAD)

    assert "/total" in refusal.value.message
    assert refusal.value.connect == "invalid_argument"
    assert refusal.value.details == {"violations": [{"path": "/total", "reason": 'the value is not of type "number"'}]}
    assert await recorded(strict) == []
    assert await strict.runs() == []
    await strict.emit(data=GOOD)
    assert await recorded(strict) == [GOOD]


async def test_each_item_of_a_batch_is_judged_by_itself(strict: Work):
    await register(strict)
    items = [{"name": "order.placed", "data": data} for data in (GOOD, BAD, GOOD)] + [{"name": "free", "data": BAD}]

    results = (await strict.call(events.emit_batch, events=items)).results

    assert [each.error.code if each.error else None for each in results] == [None, "invalid_argument", None, None]
    assert await recorded(strict) == [BAD, GOOD, GOOD]


async def test_an_atomic_batch_records_nothing_when_its_schema_refuses_one(strict: Work):
    await register(strict)
    items = [{"name": "order.placed", "data": data} for data in (GOOD, BAD)]

    with pytest.raises(BatchRefused, match=r"^Event 1 of the batch is refused"):
        await strict.call(events.emit_batch, events=items, atomic=True)

    assert await recorded(strict) == []


async def test_an_append_to_a_stream_is_held_to_the_schema_too(strict: Work):
    await register(strict)
    fields = {"entity_id": "order-7", "entity_type": "order", "event_name": "order.placed"}

    with pytest.raises(contract.SchemaViolation):
        await strict.call(streams.append, **fields, data=BAD)

    assert (await strict.call(streams.append, **fields, data=GOOD)).entity_version == 1


async def test_emit_sync_is_held_to_the_schema_too(strict: Work):
    await register(strict)
    with pytest.raises(contract.SchemaViolation):
        await strict.call(events.emit_sync, event="order.placed", data=BAD)


async def test_only_the_schema_of_the_same_version_and_environment_counts(strict: Work):
    await register(strict, version=2)
    await strict.emit(data=BAD)
    await strict.emit(data=BAD, env="other", version=2)
    with pytest.raises(contract.SchemaViolation):
        await strict.emit(data=BAD, version=2)


async def test_a_changed_or_deleted_schema_holds_from_the_next_event_on(strict: Work):
    await register(strict)
    await strict.emit(data=GOOD)
    await register(strict, {"properties": {"total": {"type": "string"}}})

    await strict.emit(data=BAD)
    with pytest.raises(contract.SchemaViolation):
        await strict.emit(data=GOOD)
    await register(strict)
    await strict.emit(data=GOOD)
    await strict.call(contract.delete, event_name="order.placed", version=1)
    await strict.emit(data=BAD)


async def test_another_node_holds_to_a_schema_as_soon_as_it_is_registered(postgres_url: str):
    async with (
        open_server(Work, postgres_url, event_schema_enforcement="reject") as one,
        open_server(Work, postgres_url, event_schema_enforcement="reject") as other,
    ):
        await register(one)
        with pytest.raises(contract.SchemaViolation):
            await other.emit(data=BAD)
        await register(one, {"properties": {"total": {"type": "string"}}})
        await other.emit(data=BAD)


async def test_a_registration_that_was_undone_does_not_apply(strict: Work):
    """A row that was seen within a commit that failed must not be believed afterwards, whatever is stored next."""
    from ironflow.features.schemas import store
    from ironflow.features.schemas.rules import SchemaRow, digest_of

    guard = SchemaGuard("reject")
    record = Record(id="e", environment="default", kind="event", name="order.placed", data='{"total":1}', created_at=0)

    def seen_and_undone(tx: Tx) -> None:
        row = SchemaRow("default", "order.placed", 1, '{"not":{}}', digest_of('{"not":{}}'), "", 0, 0)
        store.save(tx, row)
        assert set(guard.refusals(tx, [record])) == {"e"}
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk"):
        await strict.db.write(seen_and_undone)
    await register(strict)

    assert await strict.db.read(lambda tx: guard.refusals(tx, [record])) == {}


async def test_warn_accepts_logs_and_counts(database_url: str, caplog: pytest.LogCaptureFixture):
    async with open_server(Work, database_url, event_schema_enforcement="warn") as server:
        await register(server)
        with caplog.at_level(logging.WARNING):
            await server.emit(data=BAD)
            await server.emit(data=GOOD)
        assert await recorded(server) == [GOOD, BAD]
        async with server.http() as http:
            metrics = (await http.get("/metrics")).text

    (line,) = [each for each in caplog.records if each.message == "event does not fit its schema"]
    assert (line.__dict__["event_name"], line.__dict__["path"]) == ("order.placed", "/total")
    assert "much" not in caplog.text
    assert 'ironflow_event_schema_misfits_total{event_name="order.placed",outcome="warned"} 1.0' in metrics


async def test_a_schema_that_no_longer_compiles_refuses_nothing(strict: Work, caplog: pytest.LogCaptureFixture):
    await register(strict)
    spoil = "UPDATE event_schemas SET schema_json = :text, digest = 'other'"
    await strict.db.write(lambda tx: tx.run(spoil, {"text": '{"type":"objekt"}'}))

    with caplog.at_level(logging.WARNING):
        await strict.emit(data=BAD)

    assert await recorded(strict) == [BAD]
    assert "schema does not compile, event accepted unchecked" in caplog.text


async def test_a_repeated_key_is_answered_as_before_whatever_the_schema_is_now(strict: Work):
    first = await strict.emit(data=BAD, idempotency_key="k")
    await register(strict)

    assert await strict.emit(data=BAD, idempotency_key="k") == replace(first, duplicate=True)


async def test_a_refused_event_does_not_use_its_key_up(strict: Work):
    await register(strict)
    with pytest.raises(contract.SchemaViolation):
        await strict.emit(data=BAD, idempotency_key="k")

    await strict.emit(data=GOOD, idempotency_key="k")

    assert await recorded(strict) == [GOOD]


async def test_what_a_function_is_invoked_with_is_not_an_event(strict: Work):
    await strict.a_function()
    await strict.call(contract.register, event_name="ironflow/function.invoked", version=1, schema_json={"not": {}})

    invoked = await strict.call(events.invoke, function_id="charge", data=BAD)

    assert (await strict.run(invoked.run_id)).function_id == "charge"
