"""States of entities: given with jobs, written with reports, each an event of the entity's stream."""

import asyncio
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.engine.errors import StaleExecution
from ironflow.features.bulk import contract as bulk
from ironflow.features.controls import contract as controls
from ironflow.features.entities import contract
from ironflow.features.entities.contract import EntityNotFound
from ironflow.features.environments import contract as environments
from ironflow.features.events import contract as events
from ironflow.features.jobs.contract import Assignment
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.schemas import contract as schemas
from ironflow.features.streams import contract as streams
from ironflow.features.time_travel import contract as past
from ironflow.storage.port import Tx
from tests.support.server import open_server
from tests.support.work import Work, step, text_of

PAYMENT = {"name": "payment", "key": "id"}
HANDLERS = ("payment.make", "payment.cancel", "payment.status")


async def payments(server: Work) -> None:
    """Two handlers and a reader of the entity `payment`, at worker w1."""
    await server.a_function("payment.make", on="payment.make", entity=PAYMENT, recording=True)
    await server.a_function("payment.cancel", on="payment.cancel", entity=PAYMENT)
    await server.a_function("payment.status", on=None, entity={**PAYMENT, "access": "read"})
    await server.a_worker(function_ids=HANDLERS)


def changed(state: Any, number: int = 1) -> dict[str, Any]:
    return {"state": {"state": state, "number": number}}


async def called(server: Work, handler: str, key: str, **data: Any) -> str:
    invoked = await server.call(events.invoke, function_id=f"payment.{handler}", entity_key=key, data=data)
    return invoked.run_id


async def state(server: Work, key: str = "p1") -> Any:
    return msgspec.json.decode((await server.call(contract.get, entity="payment", key=key)).state)


def given(job: Assignment) -> Any:
    """The state that an execution begins with; the text `new` where there is none."""
    assert job.entity is not None
    return "new" if job.entity.is_new or job.entity.state is None else msgspec.json.decode(job.entity.state)


async def refolded(server: Work, key: str = "p1") -> tuple[Any, int]:
    """The state and version that the entity's stream gives."""
    found = await server.call(streams.read, entity_id=f"payment:{key}")
    last = [each for each in found.events if each.name == "payment.state.changed"][-1]
    return msgspec.json.decode(last.data), last.entity_version


async def check_folded(server: Work, key: str = "p1") -> None:
    found = await server.call(contract.get, entity="payment", key=key)
    assert (msgspec.json.decode(found.state), found.version) == await refolded(server, key)


async def test_a_state_is_written_with_the_end_of_its_run_and_given_to_the_next(server: Work):
    await payments(server)
    await server.emit("payment.make", {"id": "p1", "amount": 5})
    first = await server.claim()
    assert first.entity is not None
    assert (first.entity.entity, first.entity.key, given(first), first.entity.read_only) == (
        "payment",
        "p1",
        "new",
        False,
    )
    with pytest.raises(EntityNotFound):
        await state(server)

    await server.report(first, "completed", output=1, **changed({"paid": 5}))

    found = await server.call(contract.get, entity="payment", key="p1")
    assert (msgspec.json.decode(found.state), found.version, found.run_id) == ({"paid": 5}, 1, first.run_id)
    await server.emit("payment.cancel", {"id": "p1"})
    assert given(await server.claim()) == {"paid": 5}
    await check_folded(server)


async def test_the_state_is_an_event_of_the_stream_of_its_entity(server: Work):
    await payments(server)
    await server.a_function("audit", on="payment.state.changed")
    run_id = await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed({"paid": 5}))

    (event,) = (await server.call(streams.read, entity_id="payment:p1")).events
    started = (await server.call(events.get, id=event.id)).run_ids

    assert (event.name, event.entity_type, event.entity_version) == ("payment.state.changed", "payment", 1)
    assert msgspec.json.decode(event.data) == {"paid": 5}
    assert (await server.call(events.get, id=event.id)).run_id == run_id
    assert [(await server.run(each)).function_id for each in started] == ["audit"]


async def test_handlers_of_one_key_run_one_at_a_time_in_the_order_of_arrival(server: Work):
    await payments(server)
    arrived = [await called(server, handler, "p1") for handler in ("make", "cancel", "make", "cancel")]
    other = await called(server, "make", "p2")

    first, beside = await server.poll(available=10)
    assert [first.run_id, beside.run_id] == [arrived[0], other]
    # Held over its sleep, also when others of the key wait for longer by then.
    await server.sleep(first, until=server.now + 3_600_000)
    assert await server.poll(available=10) == []
    server.move(3_600_001)
    await server.loops()
    (first,) = [each for each in await server.poll(available=10) if each.run_id == arrived[0]]
    await server.report(first, "completed", output=1)

    for run_id in arrived[1:]:
        (job,) = [each for each in await server.poll(available=10) if each.run_id != other]
        assert job.run_id == run_id
        await server.report(job, "completed", output=1)


async def test_a_replay_begins_with_the_state_that_its_run_began_with(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed(1))
    run_id = await called(server, "make", "p1")
    job = await server.claim()

    await server.report(job, "progress", step(job, "charge"), **changed(2, 1))
    assert await state(server) == 2
    server.move(90_001)
    await server.loop("leases")
    again = await server.claim()

    assert (again.run_id, given(again)) == (run_id, 1)
    # What the replay makes again is known; what is older than that changes nothing.
    await server.report(again, "progress", **changed(2, 1))
    assert (await server.call(contract.get, entity="payment", key="p1")).version == 2
    await server.report(again, "completed", output=1, **changed(3, 2))
    found = await server.call(contract.get, entity="payment", key="p1")
    assert (msgspec.json.decode(found.state), found.version) == (3, 3)
    await called(server, "cancel", "p1")
    assert given(await server.claim()) == 3
    await check_folded(server)


async def test_a_change_with_a_higher_number_to_the_same_state_is_known(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    job = await server.claim()
    assert job.entity is not None
    assert job.entity.number == 0
    await server.report(job, "progress", step(job, "charge"), **changed(2, 2))
    server.move(90_001)
    await server.loop("leases")
    again = await server.claim()
    assert again.entity is not None
    assert again.entity.number == 2

    await server.report(again, "progress", **changed(2, 3))
    assert (await server.call(contract.get, entity="payment", key="p1")).version == 1
    await server.report(again, "completed", output=1, **changed(3, 3))

    assert await state(server) == 3
    await check_folded(server)


async def test_a_lost_fence_writes_nothing(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    old = await server.claim()
    server.move(90_001)
    await server.loop("leases")
    new = await server.claim()

    with pytest.raises(StaleExecution):
        await server.report(old, "completed", output=1, **changed("late"))
    with pytest.raises(EntityNotFound):
        await state(server)
    await server.report(new, "completed", output=1, **changed("in time"))

    assert await state(server) == "in time"
    await check_folded(server)


async def test_a_last_report_that_is_repeated_writes_its_state_once(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    job = await server.claim()
    await server.report(job, "completed", output=1, **changed(1))
    await called(server, "cancel", "p1")
    other = await server.claim()
    await server.report(other, "completed", output=1, **changed(2))

    await server.report(job, "completed", output=1, **changed(1))

    assert (await state(server), (await refolded(server))[1]) == (2, 2)


async def test_a_checkpoint_that_is_repeated_in_one_commit_writes_its_state_once(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    job = await server.claim()

    await asyncio.gather(*[server.report(job, "progress", step(job, "pay"), **changed({"paid": 1})) for _ in range(2)])
    await asyncio.gather(
        server.report(job, "progress", **changed({"paid": 2}, 2)),
        server.report(job, "progress", **changed({"paid": 1})),
    )

    found = await server.call(streams.read, entity_id="payment:p1")
    assert [msgspec.json.decode(each.data) for each in found.events] == [{"paid": 1}, {"paid": 2}]
    assert await state(server) == {"paid": 2}


async def test_a_handler_restarts_and_its_successor_begins_with_the_state(server: Work):
    await payments(server)
    first_id = await called(server, "make", "p1")
    await called(server, "cancel", "p1")
    first = await server.claim()
    await server.report(first, "completed", restart={"data": {}}, **changed({"paid": 1}))
    second = await server.claim()
    assert (second.run_id != first_id, given(second)) == (True, {"paid": 1})
    await server.report(second, "progress", step(second, "pay"), **changed({"paid": 2}))
    await server.sleep(second, until=server.now + 1_000)
    server.move(1_000)
    await server.loop("timers")
    again = await server.claim()
    assert (again.run_id, given(again)) == (second.run_id, {"paid": 1})
    await server.report(again, "completed", **changed({"paid": 2}))
    last = await server.claim()
    assert (last.function_id, given(last)) == ("payment.cancel", {"paid": 2})
    await check_folded(server)


async def test_a_handler_that_is_cancelled_is_undone_over_the_state_that_it_began_with(server: Work):
    await server.a_function(
        "payment.make", on=None, entity=PAYMENT, compensate_on_cancel=True, compensation_timeout_ms=60_000
    )
    await server.a_function("payment.cancel", on=None, entity=PAYMENT)
    await server.a_worker(function_ids=HANDLERS)
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", **changed({"paid": 0}))
    run_id = await called(server, "make", "p1")
    await called(server, "cancel", "p1")
    job = await server.claim()
    await server.report(job, "progress", step(job, "pay"), **changed({"paid": 1}))
    await server.call(runs.cancel, id=run_id)
    await server.report(job, "completed", restart={"data": {}}, **changed({"paid": 2}, 2))
    undoing = await server.claim()
    assert (undoing.run_id, given(undoing)) == (run_id, {"paid": 0})
    await server.report(undoing, "completed", **changed({"paid": 3}, 3))
    assert (await server.run(run_id)).state == "cancelled"
    last = await server.claim()
    assert (last.function_id, given(last)) == ("payment.cancel", {"paid": 3})
    await check_folded(server)


async def test_readers_run_beside_and_see_the_newest_state(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    writer = await server.claim()
    await server.report(writer, "progress", step(writer, "charge"), **changed("charging"))
    reader_id = await called(server, "status", "p1")

    reader = await server.claim()

    assert reader.entity is not None
    assert (reader.run_id, given(reader), reader.entity.read_only) == (reader_id, "charging", True)
    with pytest.raises(IronflowError) as refusal:
        await server.report(reader, "completed", output=1, **changed("mine"))
    assert refusal.value.code == "ENTITY_STATE_READ_ONLY"
    await server.report(reader, "completed", output=1)
    assert await state(server) == "charging"


async def test_a_state_that_is_too_large_is_refused_with_its_report(database_url: str):
    async with open_server(Work, database_url, entity_state_bytes_max=100) as server:
        await payments(server)
        run_id = await called(server, "make", "p1")
        job = await server.claim()

        with pytest.raises(IronflowError, match="entity_state_bytes_max") as refusal:
            await server.report(job, "progress", step(job, "charge"), **changed("x" * 200))

        assert refusal.value.code == "ENTITY_STATE_TOO_LARGE"
        assert await server.steps(run_id) == []
        with pytest.raises(EntityNotFound):
            await state(server)


async def test_only_handlers_append_states(server: Work):
    await payments(server)
    stream = {"entity_id": "payment:p1", "entity_type": "payment"}

    with pytest.raises(IronflowError, match="handlers alone") as refusal:
        await server.call(streams.append, **stream, event_name="payment.state.changed", data={"paid": 1_000_000})
    assert refusal.value.code == "INVALID_EVENT"
    with pytest.raises(IronflowError, match="handlers alone"):
        await server.call(
            streams.append_many, appends=[{**stream, "event_name": "payment.state.changed", "data": {"paid": 1}}]
        )
    # Other events are the user's, and leave the state alone.
    await server.call(streams.append, **stream, event_name="payment.noted", data={"by": "ada"})
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed(1))
    await server.call(streams.append, **stream, event_name="payment.noted", data={"by": "bob"})
    # Streams that belong to no entity are as they were.
    await server.call(
        streams.append, entity_id="order:1", entity_type="order", event_name="order.state.changed", data={}
    )

    found = await server.call(contract.get, entity="payment", key="p1")
    assert (msgspec.json.decode(found.state), found.version) == (1, 2)
    await check_folded(server)


async def test_a_function_that_is_no_handler_has_no_state(server: Work):
    await server.a_run()
    job = await server.claim()
    assert job.entity is None

    with pytest.raises(IronflowError, match="no handler of an entity"):
        await server.report(job, "completed", output=1, **changed(1))
    with pytest.raises(IronflowError, match="takes no entity_key"):
        await server.call(events.invoke, function_id="charge", entity_key="p1")


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": "with space"}, {"id": "x" * 191}, 7])
async def test_a_run_without_a_key_fails_at_once(server: Work, data: Any):
    await payments(server)

    (run_id,) = (await server.emit("payment.make", data)).run_ids

    run = await server.run(run_id)
    assert run.error is not None
    assert (run.status, run.error.code) == ("failed", "ENTITY_KEY_MISSING")
    assert await server.poll() == []
    # No other run waits behind it.
    await server.emit("payment.make", {"id": 7})
    job = await server.claim()
    assert job.entity is not None
    assert job.entity.key == "7"


@pytest.mark.parametrize("key", ["a b", "x" * 191, "a*"])
async def test_keys_of_calls_that_are_refused(server: Work, key: str):
    await payments(server)

    with pytest.raises(IronflowError) as refusal:
        await called(server, "make", key)

    assert refusal.value.code == "INVALID_ENTITY"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"entity": {"name": "pay ment", "key": "id"}}, "entity.name"),
        ({"entity": {"name": "payment", "key": " "}}, "entity.key"),
        ({"entity": {**PAYMENT, "access": "all"}}, "entity.access"),
        ({"entity": PAYMENT, "endpoint_url": "https://shop.example/api"}, "push_checkpoints"),
        ({"entity": PAYMENT, "concurrency": {"limit": 2}}, "excludes"),
        ({"entity": PAYMENT, "actor_key": "id"}, "excludes"),
        ({"entity": PAYMENT, "priority": "7"}, "excludes"),
        ({"entity": PAYMENT, "pause_behavior": "release"}, "pause_behavior"),
        ({"entity": PAYMENT, "on": "payment.>"}, "start itself"),
    ],
)
async def test_registrations_that_are_refused(server: Work, config: dict[str, Any], reason: str):
    with pytest.raises(IronflowError, match=reason) as refusal:
        await server.a_function("payment.make", **config)

    assert refusal.value.code == "INVALID_FUNCTION"


async def test_workers_of_other_clients_are_given_no_handlers(server: Work):
    await payments(server)
    await called(server, "make", "p1")

    assert await server.poll(acked=False) == []
    assert (await server.claim()).entity is not None


async def test_a_resumed_run_begins_with_what_others_have_made_meanwhile(server: Work):
    await server.a_function("payment.make", on=None, entity=PAYMENT, retry={"max_attempts": 1})
    await server.a_worker(function_ids=HANDLERS)
    run_id = await called(server, "make", "p1")
    job = await server.claim()
    await server.report(job, "progress", step(job, "charge"), **changed("charging"))
    await server.report(job, "failed", step(job, "ship", error={"message": "no"}))
    # The state stays as the last recorded step had it.
    assert await state(server) == "charging"
    await called(server, "make", "p1")
    other = await server.claim()
    assert given(other) == "charging"
    await server.report(other, "completed", output=1, **changed("shipped"))

    await server.call(controls.resume, run_id=run_id)

    assert given(await server.claim()) == "shipped"


@pytest.mark.parametrize("how", ["resume", "retry", "bulk"])
async def test_a_run_that_begins_again_from_a_step_makes_its_changes_anew(server: Work, how: str):
    await payments(server)
    await called(server, "make", "p1")
    job = await server.claim()
    await server.report(job, "progress", step(job, "pay"), **changed({"paid": 1}))
    await server.report(job, "progress", step(job, "check"), **changed({"paid": 2}, 2))
    error = {"message": "no", "code": "NO", "retryable": False}
    await server.report(job, "failed", error=error, **changed({"paid": 3}, 3))

    if how == "resume":
        await server.call(controls.resume, run_id=job.run_id, from_step="check")
    elif how == "retry":
        await server.call(controls.retry, id=job.run_id)
    else:
        await server.call(bulk.start, action="retry", function_id="payment.make")
        await server.loop("bulk")
    again = await server.claim()
    assert given(again) == "new"
    await server.report(again, "progress", step(again, "check"), **changed({"paid": 20}, 2))
    await server.report(again, "completed")

    assert await state(server) == {"paid": 20}
    await check_folded(server)


async def test_entities_are_listed_by_key_with_a_cursor(server: Work):
    await payments(server)
    for key in ("p1", "p2", "p3"):
        await called(server, "make", key)
        await server.report(await server.claim(), "completed", output=1, **changed({"key": key}))
    await server.call(
        streams.append, entity_id="payment:p0", entity_type="payment", event_name="payment.noted", data={}
    )
    await server.call(streams.append, entity_id="zebra", entity_type="payment", event_name="payment.noted", data={})

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await server.call(contract.list_, entity="payment", limit=2, cursor=cursor)
        seen += [each.key for each in page.entities]
        cursor = page.next_cursor

    assert seen == ["p1", "p2", "p3"]
    assert (await server.call(contract.list_, entity="pay")).entities == []


async def test_a_deleted_stream_has_no_state_and_takes_none(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed(1))
    await called(server, "make", "p1")
    job = await server.claim()

    await server.call(streams.delete, entity_id="payment:p1")

    with pytest.raises(EntityNotFound):
        await state(server)
    with pytest.raises(IronflowError) as refusal:
        await server.report(job, "completed", output=1, **changed(2))
    assert refusal.value.code == "STREAM_DELETED"
    await server.report(job, "failed")
    assert (await server.call(contract.list_, entity="payment")).entities == []


async def test_a_stream_whose_deletion_is_imported_keeps_nothing(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed(1))
    stream = {"entity_id": "payment:p1", "entity_version": 1}
    await server.call(streams.create_snapshot, **stream, state={"paid": 1})
    deleted = {
        "id": "evt_last", "name": "$stream.deleted", "data": None, "timestamp": text_of(server.now),
        "entity_id": "payment:p1", "entity_type": "payment", "entity_version": 2,
    }  # fmt: skip

    await server.call(events.import_, events=[deleted])

    with pytest.raises(EntityNotFound):
        await state(server)
    for table in ("entity_states", "snapshots"):
        assert await server.db.read(lambda tx, table=table: tx.rows(f"SELECT * FROM {table}")) == []


async def test_a_stream_of_another_type_keeps_no_state(server: Work):
    await payments(server)
    await server.call(streams.append, entity_id="payment:p1", entity_type="bill", event_name="bill.sent", data={})
    await called(server, "make", "p1")

    with pytest.raises(IronflowError) as refusal:
        await server.report(await server.claim(), "completed", output=1, **changed(2))

    assert refusal.value.code == "ENTITY_TYPE_CONFLICT"


async def test_a_state_that_violates_its_schema_is_refused_with_its_report(database_url: str):
    async with open_server(Work, database_url, event_schema_enforcement="strict") as server:
        await payments(server)
        text = msgspec.json.encode({"type": "object", "required": ["paid"]}).decode()
        await server.call(schemas.register, name="payment.state.changed", version=1, schema_json=text)
        await called(server, "make", "p1")
        job = await server.claim()

        with pytest.raises(IronflowError) as refusal:
            await server.report(job, "completed", output=1, **changed({"owed": 1}))
        assert refusal.value.code == "SCHEMA_VIOLATION"
        await server.report(job, "completed", output=1, **changed({"paid": 1}))

        assert await state(server) == {"paid": 1}


async def test_an_imported_stream_is_the_state(server: Work):
    await payments(server)
    moment = text_of(server.now)
    event = {
        "name": "payment.state.changed", "data": {"paid": 7}, "timestamp": moment, "entity_id": "payment:p1",
        "entity_type": "payment",
    }  # fmt: skip
    await server.call(events.import_, events=[{**event, "id": "evt_1", "entity_version": 1}])
    assert await state(server) == {"paid": 7}
    await called(server, "make", "p1")
    job = await server.claim()
    assert given(job) == {"paid": 7}
    await server.report(job, "progress", step(job, "charge"), **changed({"paid": 8}))
    server.move(90_001)
    await server.loop("leases")

    again = await server.claim()

    assert given(again) == {"paid": 7}
    await server.report(again, "completed", output=1)
    # A later import goes on where the stream ends.
    await server.call(events.import_, events=[{**event, "id": "evt_9", "data": {"paid": 9}, "entity_version": 3}])
    assert await state(server) == {"paid": 9}
    await check_folded(server)


async def test_a_redacted_state_is_redacted_wherever_it_is_kept(server: Work):
    await payments(server)
    await called(server, "make", "p1")
    await server.report(await server.claim(), "completed", output=1, **changed({"mail": "ada@example.com"}))
    run_id = await called(server, "make", "p1")
    job = await server.claim()
    await server.report(job, "progress", step(job, "charge"), **changed({"mail": "bob@example.com"}))
    await server.report(job, "completed", output=1)
    first, second = (await server.call(streams.read, entity_id="payment:p1")).events

    await server.call(redaction.redact_event, id=first.id)
    await server.call(redaction.redact_event, id=second.id)
    await server.call(redaction.redact_run, id=run_id)

    def texts(tx: Tx) -> str:
        rows = tx.rows("SELECT state, base FROM entity_states") + tx.rows(
            "SELECT body FROM facts WHERE body LIKE '%bob%'"
        )
        return str(rows)

    assert "example.com" not in await server.db.read(texts)


async def test_the_change_of_a_state_is_in_the_timeline_of_its_run(server: Work):
    await payments(server)
    run_id = await called(server, "make", "p1")
    job = await server.claim()
    await server.report(job, "completed", output=1, **changed({"paid": 5}))

    found = (await server.call(past.timeline, run_id=run_id)).events

    shown = [each for each in found if each.event_type == "run.state_changed"]
    assert [each.summary for each in shown] == ["Changed the state of entity payment:p1"]


async def test_entities_of_environments_are_apart(server: Work):
    await server.call(environments.create, name="shop")
    await server.a_function("payment.make", on=None, entity=PAYMENT, env="shop")
    await server.a_worker(function_ids=HANDLERS, env="shop")
    await server.call(events.invoke, function_id="payment.make", entity_key="p1", env="shop")
    (job,) = await server.poll(env="shop")
    assert given(job) == "new"
    with pytest.raises(EntityNotFound):
        await server.call(contract.get, entity="payment", key="p1")


async def test_thousands_waiting_for_one_key_do_not_hold_up_another(server: Work):
    await payments(server)
    items = [{"event": "payment.make", "data": {"id": "hot", "n": n}} for n in range(1_000)]
    arrived: list[str] = []
    for _ in range(3):
        answer = await server.call(events.emit_batch, events=items)
        arrived += [each.run_ids[0] for each in answer.results]
    cold = await called(server, "make", "cold")

    jobs = await server.poll(available=10)

    assert {job.run_id for job in jobs} == {arrived[0], cold}
    for expected in arrived[:5]:
        (job,) = [each for each in jobs if each.run_id == expected]
        await server.report(job, "completed", output=1)
        jobs = await server.poll(available=10)


async def test_why_names_the_handler_that_a_run_waits_for(server: Work):
    await payments(server)
    first, second = await called(server, "make", "p1"), await called(server, "cancel", "p1")
    await server.sleep(await server.claim(), until=server.now + 3_600_000)

    why = await server.call(controls.why, id=second)

    assert (why.reason, why.held_by, why.waits_for) == ("no_slot", [first], ["limit"])
    assert f"Handlers of payment 'p1' go one after another; it is the turn of {first}" in why.message
