"""Events are recorded once, with any JSON, and start their runs in the same commit."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.json import InvalidJson
from ironflow.base.spelling import BadField
from ironflow.features.events import contract as events
from ironflow.features.events.contract import BatchRefused, EventNotFound, EventTooLarge, InvalidEvent
from ironflow.features.events.rules import InvalidIdempotencyKey
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.runs.contract import RunStatus
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000
PAYLOADS = [
    b"null",
    b"true",
    b"0",
    b"-0",
    b"1.50",
    b"12345678901234567890123456789",
    b'"text with \\u0000 and \\ud83d\\ude00 and \xc3\xa9"',
    b"[]",
    b"[1,[2,[3]]]",
    b"{}",
    b'{"b":1,"a":2,"b":3}',
    b'{"deep":' + b"[" * 150 + b"]" * 150 + b"}",
    b'{ "spaces" :  1 }',
]


async def test_an_event_of_the_callers_webhook_has_the_source_webhook_and_no_other_source_can_be_chosen(server: Work):
    for sent, source in (("webhook", "webhook"), ("cron", "api"), ("", "api")):
        emitted = await server.emit(source=sent)
        assert (await server.call(events.get, id=emitted.event_id)).source == source


async def test_any_json_is_kept_byte_for_byte(server: Work):
    await server.a_function()
    for payload in PAYLOADS:
        answer = await server.ask(events.emit, b'{"event":"order.placed","data":' + payload + b"}")

        assert bytes((await server.call(events.get, id=answer.event_id)).data) == payload
        shown = await server.run(answer.run_ids[0])
        assert shown.input is not None
        assert bytes(shown.input) == payload


async def test_an_event_without_data_has_null(server: Work):
    answer = await server.call(events.emit, event="order.placed")
    assert bytes((await server.call(events.get, id=answer.event_id)).data) == b"null"


async def test_all_fields_of_an_event_are_recorded(server: Work):
    answer = await server.call(
        events.emit,
        name="order.placed",
        data={"id": 7},
        metadata={"trace": "abc"},
        version=3,
        namespace="shop",
        idempotencyKey="order-7",
        from_run="run_parent",
    )

    event = await server.call(events.get, id=answer.event_id)

    assert (event.name, event.version, event.namespace, event.source) == ("order.placed", 3, "shop", "api")
    assert (event.idempotency_key, event.run_id) == ("order-7", "run_parent")
    assert event.metadata is not None
    assert bytes(event.metadata) == b'{"trace":"abc"}'
    assert event.position == 1


async def test_positions_follow_the_order_of_recording(server: Work):
    emitted = [await server.emit(f"e.{number}") for number in range(5)]
    shown = [(await server.call(events.get, id=each.event_id)).position for each in emitted]
    assert shown == [1, 2, 3, 4, 5]


NOT_VALID: list[tuple[dict[str, Any], type[IronflowError]]] = [
    ({}, BadField),
    ({"event": ""}, InvalidEvent),
    ({"event": "$x"}, InvalidEvent),
    ({"event": "has spaces"}, InvalidEvent),
    ({"event": "all.*"}, InvalidEvent),
    ({"event": "all.>"}, InvalidEvent),
    ({"event": "x" * 257}, InvalidEvent),
    ({"event": "."}, InvalidEvent),
    ({"event": ".a"}, InvalidEvent),
    ({"event": "a."}, InvalidEvent),
    ({"event": "a..b"}, InvalidEvent),
    ({"event": 7}, BadField),
    ({"event": "nul\0"}, BadField),
    ({"event": "a", "version": -1}, InvalidEvent),
    ({"event": "a", "version": "three"}, BadField),
    ({"event": "a", "version": 2**70}, BadField),
    ({"event": "a", "namespace": "has spaces"}, InvalidEvent),
    ({"event": "a", "metadata": [1]}, InvalidEvent),
    ({"event": "a", "metadata": {"x": "y" * 70_000}}, IronflowError),
    ({"event": "a", "idempotency_key": "has spaces"}, InvalidIdempotencyKey),
    ({"event": "a", "idempotency_key": "é" * 200}, InvalidIdempotencyKey),
    ({"event": "a", "data": "x" * 2_000_000}, EventTooLarge),
]
TOO_DEEP = b'{"event":"a","data":' + b"[" * 300 + b"]" * 300 + b"}"


async def test_what_is_no_event_is_refused_and_nothing_is_recorded(server: Work):
    for body, refusal in NOT_VALID:
        with pytest.raises(refusal) as refused:
            await server.ask(events.emit, body)
        assert 400 <= refused.value.status < 500, body
    with pytest.raises(InvalidJson, match="deeper than 200"):
        await server.ask(events.emit, TOO_DEEP)

    assert (await server.call(events.list_)).events == []


async def test_an_event_that_is_not_there_is_not_found(server: Work):
    emitted = await server.emit()
    for event_id, env in (("evt_unknown", "default"), ("", "default"), (emitted.event_id, "staging")):
        with pytest.raises(EventNotFound):
            await server.call(events.get, id=event_id, env=env)


async def test_the_same_idempotency_key_is_answered_with_the_first_ids_for_seven_days(server: Work):
    await server.a_function()
    first = await server.emit(data={"n": 1}, idempotency_key="k")

    server.move(7 * DAY_MS - 1)
    again = await server.emit(data={"n": 1}, idempotency_key="k")
    assert again == replace(first, duplicate=True)
    assert len(await server.runs()) == 1

    server.move(1)
    later = await server.emit(data={"n": 3}, idempotency_key="k")
    assert later.event_id != first.event_id
    assert len(await server.runs()) == 2


async def test_a_repetition_with_other_data_is_marked(server: Work):
    first = await server.emit(data={"n": 1, "m": 2}, idempotency_key="k")
    repeated = replace(first, duplicate=True)

    assert await server.emit(data={"m": 2, "n": 1}, idempotency_key="k") == repeated
    assert await server.emit(data={"n": 2}, idempotency_key="k") == replace(repeated, payload_differs=True)
    assert len((await server.call(events.list_)).events) == 1


async def test_an_idempotency_key_counts_for_its_event_name(server: Work):
    first = await server.emit("order.placed", idempotency_key="k")
    other = await server.emit("order.paid", idempotency_key="k")

    assert other.event_id != first.event_id
    assert other.duplicate is None


async def test_an_emit_is_answered_with_its_position(server: Work):
    emitted = [await server.emit(data=number) for number in range(3)]
    recorded = [await server.call(events.get, id=each.event_id) for each in emitted]
    assert [each.position for each in emitted] == [each.position for each in recorded] == [1, 2, 3]


async def test_an_idempotency_key_belongs_to_its_environment(server: Work):
    first = await server.emit(idempotency_key="k")
    other = await server.emit(idempotency_key="k", env="staging")
    assert other.event_id != first.event_id


async def test_the_same_key_at_the_same_moment_records_one_event(server: Work):
    await server.a_function()

    answers = await asyncio.gather(*(server.emit(data=number, idempotency_key="k") for number in range(20)))

    assert len({answer.event_id for answer in answers}) == 1
    assert [answer.duplicate for answer in answers].count(None) == 1
    assert len((await server.call(events.list_)).events) == 1
    assert len(await server.runs()) == 1


async def test_an_emit_and_an_invocation_with_one_key_are_two_things(server: Work):
    await server.a_function()
    emitted = await server.emit(idempotency_key="k")
    invoked = await server.call(events.invoke, function_id="charge", idempotency_key="k")
    assert invoked.run_id not in emitted.run_ids


async def test_a_key_whose_first_use_was_refused_is_free(server: Work):
    with pytest.raises(FunctionNotFound):
        await server.call(events.invoke, function_id="charge", idempotency_key="k")

    await server.a_function()
    invoked = await server.call(events.invoke, function_id="charge", idempotency_key="k")

    assert (await server.run(invoked.run_id)).status is RunStatus.PENDING


async def test_keys_older_than_their_window_are_forgotten(server: Work):
    for number in range(3):
        await server.emit(idempotency_key=f"k-{number}")
    server.move(7 * DAY_MS)
    fresh = await server.emit(idempotency_key="fresh")

    (round_,) = await server.loop("events-forget-keys")

    assert round_.done == {"forgotten": 3}
    assert await server.emit(idempotency_key="fresh") == replace(fresh, duplicate=True)


async def test_a_batch_stores_its_valid_items_and_each_bad_one_carries_its_own_error(server: Work):
    await server.a_function()

    answer = await server.call(
        events.emit_batch,
        events=[
            {"event": "order.placed", "data": 1},
            {"event": "has spaces"},
            {"name": "order.placed", "data": 2},
            {"data": 3},
            "not an object",
            {"event": "order.placed", "version": "x"},
            {"event": "other"},
        ],
    )

    assert [len(each.run_ids) for each in answer.results] == [1, 0, 1, 0, 0, 0, 0]
    assert [each.error is None for each in answer.results] == [True, False, True, False, False, False, True]
    assert answer.results[1].error is not None
    assert answer.results[1].error.code == "invalid_argument"
    assert "has spaces" in answer.results[1].error.message
    assert [event.name for event in (await server.call(events.list_)).events] == [
        "other",
        "order.placed",
        "order.placed",
    ]


async def test_a_key_twice_in_one_batch_is_one_event(server: Work):
    item = {"event": "order.placed", "idempotency_key": "k"}
    answer = await server.call(events.emit_batch, events=[item, item])
    assert answer.results[1] == replace(answer.results[0], duplicate=True)


async def test_an_atomic_batch_with_a_bad_event_records_nothing(server: Work):
    batch = [{"event": "order.placed", "idempotency_key": "k"}, {"event": "has spaces"}]

    with pytest.raises(BatchRefused, match=r"^Event 1 of the batch is refused") as refused:
        await server.call(events.emit_batch, events=batch, atomic=True)

    assert refused.value.details == {"index": 1, "code": "INVALID_EVENT"}
    assert (await server.call(events.list_)).events == []
    assert (await server.call(events.emit_batch, events=batch[:1], atomic=True)).results[0].duplicate is None


async def test_an_empty_batch_is_answered_and_an_endless_one_refused(server: Work):
    assert (await server.call(events.emit_batch, events=[])).results == []
    with pytest.raises(InvalidEvent, match="1000 is the limit"):
        await server.call(events.emit_batch, events=[{"event": "a"}] * 1_001)


async def test_an_invocation_starts_that_function_only(server: Work):
    await server.a_function("charge", on=">")
    await server.a_function("ship", on=">")

    invoked = await server.call(events.invoke, function_id="charge", data=[1, 2])

    (run,) = await server.runs()
    assert (run.id, run.function_id, run.event_id) == (invoked.run_id, "charge", invoked.event_id)
    assert run.event_name == "ironflow/function.invoked"
    assert run.input is not None
    assert bytes(run.input) == b"[1,2]"


async def test_only_an_active_function_is_invoked(server: Work):
    await server.a_function()
    await server.call(functions.update_status, id="charge", status="paused")

    with pytest.raises(FunctionNotActive):
        await server.call(events.invoke, function_id="charge")
    with pytest.raises(FunctionNotFound):
        await server.call(events.invoke, function_id="charge", env="staging")


async def test_many_emits_at_once_are_all_recorded_with_their_runs(server: Work):
    await server.a_function()

    answers = await asyncio.gather(*(server.emit(data=number) for number in range(200)))

    assert len({answer.event_id for answer in answers}) == 200
    assert len({run_id for answer in answers for run_id in answer.run_ids}) == 200
    page = await server.call(events.list_, limit=1000)
    assert sorted(event.position for event in page.events) == list(range(1, 201))
