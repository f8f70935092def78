"""Events are recorded once, with any JSON, and start their runs in the same commit."""

import asyncio
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.base.json import InvalidJson
from ironflow.base.spelling import BadField
from ironflow.features.events import contract as events
from ironflow.features.events.contract import EventNotFound, EventTooLarge, InvalidEvent
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


async def test_any_json_is_kept_byte_for_byte(house: Work):
    await house.a_function()
    for payload in PAYLOADS:
        answer = await house.ask(events.emit, b'{"event":"order.placed","data":' + payload + b"}")

        assert bytes((await house.call(events.get, id=answer.event_id)).data) == payload
        shown = await house.run(answer.run_ids[0])
        assert shown.input is not None
        assert bytes(shown.input) == payload


async def test_an_event_without_data_has_null(house: Work):
    answer = await house.call(events.emit, event="order.placed")
    assert bytes((await house.call(events.get, id=answer.event_id)).data) == b"null"


async def test_what_was_said_with_an_event_is_recorded_with_it(house: Work):
    answer = await house.call(
        events.emit,
        name="order.placed",
        data={"id": 7},
        metadata={"trace": "abc"},
        version=3,
        namespace="shop",
        idempotencyKey="order-7",
        from_run="run_parent",
    )

    event = await house.call(events.get, id=answer.event_id)

    assert (event.name, event.version, event.namespace, event.source) == ("order.placed", 3, "shop", "api")
    assert (event.idempotency_key, event.run_id) == ("order-7", "run_parent")
    assert event.metadata is not None
    assert bytes(event.metadata) == b'{"trace":"abc"}'
    assert event.position == 1


async def test_positions_follow_the_order_of_recording(house: Work):
    emitted = [await house.emit(f"e.{number}") for number in range(5)]
    shown = [(await house.call(events.get, id=each.event_id)).position for each in emitted]
    assert shown == [1, 2, 3, 4, 5]


NOT_VALID: list[tuple[dict[str, Any], type[IronflowError]]] = [
    ({}, BadField),
    ({"event": ""}, InvalidEvent),
    ({"event": "two words"}, InvalidEvent),
    ({"event": "all.*"}, InvalidEvent),
    ({"event": "all.>"}, InvalidEvent),
    ({"event": "x" * 257}, InvalidEvent),
    ({"event": 7}, BadField),
    ({"event": "nul\0"}, BadField),
    ({"event": "a", "version": -1}, InvalidEvent),
    ({"event": "a", "version": "three"}, BadField),
    ({"event": "a", "version": 2**70}, BadField),
    ({"event": "a", "namespace": "two words"}, InvalidEvent),
    ({"event": "a", "metadata": [1]}, InvalidEvent),
    ({"event": "a", "metadata": {"x": "y" * 70_000}}, IronflowError),
    ({"event": "a", "idempotency_key": "two words"}, InvalidIdempotencyKey),
    ({"event": "a", "idempotency_key": "é" * 200}, InvalidIdempotencyKey),
    ({"event": "a", "data": "x" * 2_000_000}, EventTooLarge),
]
TOO_DEEP = b'{"event":"a","data":' + b"[" * 300 + b"]" * 300 + b"}"


async def test_what_is_no_event_is_refused_and_nothing_is_recorded(house: Work):
    for body, refusal in NOT_VALID:
        with pytest.raises(refusal) as refused:
            await house.ask(events.emit, body)
        assert 400 <= refused.value.status < 500, body
    with pytest.raises(InvalidJson, match="deeper than 200"):
        await house.ask(events.emit, TOO_DEEP)

    assert (await house.call(events.list_)).events == []


async def test_an_event_that_is_not_there_is_not_found(house: Work):
    emitted = await house.emit()
    for event_id, env in (("evt_unknown", "default"), ("", "default"), (emitted.event_id, "staging")):
        with pytest.raises(EventNotFound):
            await house.call(events.get, id=event_id, env=env)


async def test_the_same_idempotency_key_is_answered_with_the_first_ids_for_seven_days(house: Work):
    await house.a_function()
    first = await house.emit(data={"n": 1}, idempotency_key="k")

    house.move(7 * DAY_MS - 1)
    again = await house.emit(data={"n": 2}, idempotency_key="k")
    assert again == first
    assert len(await house.runs()) == 1

    house.move(1)
    later = await house.emit(data={"n": 3}, idempotency_key="k")
    assert later.event_id != first.event_id
    assert len(await house.runs()) == 2


async def test_an_idempotency_key_belongs_to_its_environment(house: Work):
    first = await house.emit(idempotency_key="k")
    other = await house.emit(idempotency_key="k", env="staging")
    assert other.event_id != first.event_id


async def test_the_same_key_at_the_same_moment_records_one_event(house: Work):
    await house.a_function()

    answers = await asyncio.gather(*(house.emit(data=number, idempotency_key="k") for number in range(20)))

    assert len({msgspec.json.encode(answer) for answer in answers}) == 1
    assert len((await house.call(events.list_)).events) == 1
    assert len(await house.runs()) == 1


async def test_an_emit_and_an_invocation_with_one_key_are_two_things(house: Work):
    await house.a_function()
    emitted = await house.emit(idempotency_key="k")
    invoked = await house.call(events.invoke, function_id="charge", idempotency_key="k")
    assert invoked.run_id not in emitted.run_ids


async def test_a_key_whose_first_use_was_refused_is_free(house: Work):
    with pytest.raises(FunctionNotFound):
        await house.call(events.invoke, function_id="charge", idempotency_key="k")

    await house.a_function()
    invoked = await house.call(events.invoke, function_id="charge", idempotency_key="k")

    assert (await house.run(invoked.run_id)).status is RunStatus.PENDING


async def test_keys_older_than_their_window_are_forgotten(house: Work):
    for number in range(3):
        await house.emit(idempotency_key=f"k-{number}")
    house.move(7 * DAY_MS)
    fresh = await house.emit(idempotency_key="fresh")

    (round_,) = await house.loop("events-forget-keys")

    assert round_.forgotten == 3
    assert await house.emit(idempotency_key="fresh") == fresh


async def test_a_batch_stores_its_valid_items_and_each_bad_one_carries_its_own_error(house: Work):
    await house.a_function()

    answer = await house.call(
        events.emit_batch,
        events=[
            {"event": "order.placed", "data": 1},
            {"event": "two words"},
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
    assert "two words" in answer.results[1].error.message
    assert [event.name for event in (await house.call(events.list_)).events] == [
        "other",
        "order.placed",
        "order.placed",
    ]


async def test_a_key_twice_in_one_batch_is_one_event(house: Work):
    item = {"event": "order.placed", "idempotency_key": "k"}
    answer = await house.call(events.emit_batch, events=[item, item])
    assert answer.results[0] == answer.results[1]


async def test_an_empty_batch_is_answered_and_an_endless_one_refused(house: Work):
    assert (await house.call(events.emit_batch, events=[])).results == []
    with pytest.raises(InvalidEvent, match="1000 is the limit"):
        await house.call(events.emit_batch, events=[{"event": "a"}] * 1_001)


async def test_an_invocation_starts_that_function_only(house: Work):
    await house.a_function("charge", on=">")
    await house.a_function("ship", on=">")

    invoked = await house.call(events.invoke, function_id="charge", data=[1, 2])

    (run,) = await house.runs()
    assert (run.id, run.function_id, run.event_id) == (invoked.run_id, "charge", invoked.event_id)
    assert run.event_name == "ironflow/function.invoked"
    assert run.input is not None
    assert bytes(run.input) == b"[1,2]"


async def test_only_an_active_function_is_invoked(house: Work):
    await house.a_function()
    await house.call(functions.update_status, id="charge", status="paused")

    with pytest.raises(FunctionNotActive):
        await house.call(events.invoke, function_id="charge")
    with pytest.raises(FunctionNotFound):
        await house.call(events.invoke, function_id="charge", env="staging")


async def test_many_emits_at_once_are_all_recorded_with_their_runs(house: Work):
    await house.a_function()

    answers = await asyncio.gather(*(house.emit(data=number) for number in range(200)))

    assert len({answer.event_id for answer in answers}) == 200
    assert len({run_id for answer in answers for run_id in answer.run_ids}) == 200
    page = await house.call(events.list_, limit=1000)
    assert sorted(event.position for event in page.events) == list(range(1, 201))
