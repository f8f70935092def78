"""Binary messages beside Google's own protobuf: each reads what the other writes, and JSON says the same."""

import base64
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironflow.base.fields import WireEnum, bare_type, fields_of
from ironflow.base.operation import Operation
from ironflow.base.spelling import BadField, camel, reader
from ironflow.features.runs import contract as runs
from ironflow.features.streaming_workers.contract import WorkerMetrics
from ironflow.transports.protobuf import schema as kinds
from ironflow.transports.protobuf.reading import message_reader
from ironflow.transports.protobuf.schema import Shape, ironflow_schema
from ironflow.transports.protobuf.values import read_timestamp, read_value
from ironflow.transports.protobuf.wire import BadMessage, put_bytes, put_number
from ironflow.transports.protobuf.writing import message_writer
from tests.structure.contracts import all_operations
from tests.structure.test_protobuf_numbers import MESSAGES, Numbered
from tests.support.server import open_server
from tests.support.work import Work
from tests.wire import oracle
from tests.wire.in_process.test_operations import a_scene
from tests.wire.sample import sample

SCHEMA = ironflow_schema()
SHAPES = sorted(name for name, shape in SCHEMA.messages.items() if name.startswith("ironflow.") and not shape.is_entry)
UNARY = [
    (operation, rpc)
    for operation in all_operations()
    for rpc in operation.rpc
    if operation.streaming == "unary" and SCHEMA.method(f"ironflow.v1.{rpc}")
]
each_rpc = pytest.mark.parametrize(("operation", "rpc"), UNARY, ids=[rpc for _, rpc in UNARY])

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6).map(lambda x: x + 0.0) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
SECONDS = st.integers(-(10**6), 10**6).map(lambda seconds: f"{seconds}s")
GOOGLE: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Struct": st.dictionaries(TEXTS, JSONS, max_size=3),
    "google.protobuf.Value": JSONS,
    "google.protobuf.Timestamp": MOMENTS,
    "google.protobuf.Duration": SECONDS,
    "google.protobuf.FieldMask": st.just("nextCursor,id"),
    "google.protobuf.Empty": st.just({}),
}
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    kinds.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    kinds.INT32: st.integers(-(2**31), 2**31 - 1),
    kinds.UINT32: st.integers(0, 2**32 - 1),
    kinds.INT64: st.integers(-(2**63), 2**63 - 1),
    kinds.UINT64: st.integers(0, 2**64 - 1),
    kinds.BOOL: st.booleans(),
    kinds.STRING: TEXTS,
    # Also where bytes are JSON.
    kinds.BYTES: st.just("Ingi"),
}


@st.composite
def values_of(draw: st.DrawFn, shape: Shape, depth: int = 0) -> dict[str, Any]:
    """Some fields of a message as plain data, as Google's JSON has them."""
    values: dict[str, Any] = {}
    taken: set[str] = set()
    for field in shape.fields.values():
        if not draw(st.booleans()):
            continue
        of = SCHEMA.messages.get(field.of)
        if field.kind == kinds.ENUM:
            one: st.SearchStrategy[Any] = st.sampled_from(sorted(SCHEMA.enums[field.of].numbers.values()))
        elif field.kind != kinds.MESSAGE:
            one = SCALARS[field.kind]
        elif field.of in GOOGLE:
            one = GOOGLE[field.of]
        elif depth > 1:
            continue
        elif of is not None and of.is_entry:
            inner = of.fields[2]
            items = values_of(SCHEMA.messages[inner.of], depth + 1) if inner.of else SCALARS[inner.kind]
            values[field.name] = draw(st.dictionaries(TEXTS, items, max_size=2))
            continue
        else:
            assert of is not None
            one = values_of(of, depth + 1)
        values[field.name] = draw(st.lists(one, max_size=2) if field.repeated else one)
        taken.add(field.name)
    return values


def one_of_each(kind: type[Message], values: dict[str, Any]) -> dict[str, Any]:
    """Of the members of a oneof only one."""
    descriptor: Any = kind.DESCRIPTOR
    for group in descriptor.oneofs:
        there = [field.name for field in group.fields if field.name in values]
        for name in there[1:]:
            del values[name]
    for field in descriptor.fields:
        inner = values.get(field.name)
        if field.message_type is not None and isinstance(inner, dict) and not field.message_type.GetOptions().map_entry:
            one_of_each(oracle.kind(field.message_type.full_name), inner)
    return values


slowly = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("name", SHAPES)
@slowly
@given(data=st.data())
def test_what_google_writes_is_read(name: str, data: st.DataObject):
    kind = oracle.kind(name)
    sent = oracle.made(kind, one_of_each(kind, data.draw(values_of(SCHEMA.messages[name]))))

    found = message_reader(SCHEMA, name, None).plain(sent.SerializeToString())

    assert oracle.made(kind, msgspec.json.decode(msgspec.json.encode(found))) == sent


def known(values: Any, contract: Any) -> Any:
    """What the contract has of a message; where it has `x` and `x_value`, as one of them sets it."""
    if not (isinstance(contract, type) and issubclass(contract, msgspec.Struct)) or not isinstance(values, dict):
        return values
    hints = get_type_hints(contract, include_extras=True)
    kept: dict[str, Any] = {}
    for name, declared in fields_of(contract).items():
        if f"{name}_value" in values and declared.twin is not None:
            payload = values[f"{name}_value"]
            kept[name if isinstance(payload, dict) else f"{name}_value"] = payload
        elif name in values and declared.number is not None:
            kind = bare_type(hints[name])
            inner = bare_type(get_args(kind)[-1]) if get_origin(kind) in (list, dict) else kind
            if get_origin(kind) is list:
                kept[name] = [known(each, inner) for each in values[name]]
            elif get_origin(kind) is dict:
                kept[name] = {key: known(each, inner) for key, each in values[name].items()}
            else:
                kept[name] = known(values[name], inner)
    return kept


def readable(values: Any) -> Any:
    """Without what cannot be kept: a NUL, an unset enum, a number above 63 bits, less than a millisecond."""
    if isinstance(values, dict):
        return {name: readable(each) for name, each in values.items()}
    if isinstance(values, list):
        return [readable(each) for each in values]
    if isinstance(values, str):
        return re.sub(r"(T..:..:..)\.[0-9]+Z$", r"\1Z", values.replace("\0", ""))
    if isinstance(values, int) and not -(2**63) <= values < 2**63:
        return 7
    return values


PAIRS = {f"{pair.message.__name__}, {pair.descriptor}": (place, pair) for place, pair in MESSAGES}


def drawn(data: st.DataObject, pair: Numbered) -> Message:
    """A message that Google makes, of the fields that the contract has."""
    descriptor = f"ironflow.v1.{pair.descriptor}"
    kind = oracle.kind(descriptor)
    values = one_of_each(kind, readable(data.draw(values_of(SCHEMA.messages[descriptor]))))
    return oracle.made(kind, known(values, pair.message))


def holds(read: Any, sent: Any) -> bool:
    """Whether all that was sent is there; a contract may add defaults of its own."""
    match read, sent:
        case dict(), dict():
            return all(name in read and holds(read[name], each) for name, each in sent.items())
        case list(), list():
            return len(read) == len(sent) and all(map(holds, read, sent))
        case _:
            return read == sent


@pytest.mark.parametrize("name", [name for name, (place, _) in PAIRS.items() if " answer" in place])
@slowly
@given(data=st.data())
def test_a_message_survives_both_ways(name: str, data: st.DataObject):
    """Google writes it, our reader and our writer pass it on, Google reads what the contract knows of it."""
    _, pair = PAIRS[name]
    sent = drawn(data, pair)
    descriptor = f"ironflow.v1.{pair.descriptor}"
    try:
        message = message_reader(SCHEMA, descriptor, pair.message).read(sent.SerializeToString())
    except BadField:
        # The contract requires more, or has limits; another example has better luck.
        return

    ours = message_writer(SCHEMA, descriptor, pair.message).write(message)

    read = oracle.plain(type(sent).FromString(ours))
    assert holds(read, oracle.plain(sent)), (read, sent)


@pytest.mark.parametrize("name", [name for name, (place, _) in PAIRS.items() if " request" in place])
@slowly
@given(data=st.data())
def test_a_request_reads_the_same_as_in_json(name: str, data: st.DataObject):
    _, pair = PAIRS[name]
    sent = drawn(data, pair)
    as_json = msgspec.json.encode(in_text(oracle.plain(sent), pair.message))

    def read(work: Callable[[], msgspec.Struct]) -> Any:
        try:
            return msgspec.json.decode(msgspec.json.encode(work()))
        except BadField as refused:
            return refused.message

    ours = message_reader(SCHEMA, f"ironflow.v1.{pair.descriptor}", pair.message)
    assert read(lambda: ours.read(sent.SerializeToString())) == read(lambda: reader(pair.message).read(as_json))


def in_text(values: Any, contract: Any) -> Any:
    """The same values as Connect JSON: JSON in bytes as text, and an explicit 0 for fields whose absence means 0."""
    declared = fields_of(contract)
    return {name: 0 for name, field in declared.items() if field.absent_is_zero} | {
        name: base64.b64decode(value).decode() if name in declared and declared[name].json_in_bytes else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'{"a":1}', "input"),
        (b'{"a":{"b":[1,2.5,null,true,"x"]}}', "input"),
        (b"{}", "input"),
        (b" {} ", "input"),
        (b"null", "input_value"),
        (b"[1]", "input_value"),
        (b'"text"', "input_value"),
        (b"3", "input_value"),
        (b"false", "input_value"),
        (b'{"\\u0000":"\\ud83d\\ude00"}', "input"),
    ],
)
def test_a_payload_that_is_an_object_travels_as_x_any_other_as_x_value(payload: bytes, field: str):
    run = a_run(input=msgspec.Raw(payload))
    written = oracle.plain(
        oracle.kind("Run").FromString(message_writer(SCHEMA, "ironflow.v1.Run", runs.Run).write(run))
    )
    assert {name for name in written if name.startswith("input")} == {field}
    assert written[field] == msgspec.json.decode(payload)


@pytest.mark.parametrize(
    ("number", "arrives"),
    [
        (2**53, 2**53),
        (-(2**53), -(2**53)),
        (2**53 + 1, 2**53),
        (2**63, 2**63),
        (10**400, 1.7976931348623157e308),
        (0.1, 0.1),
    ],
)
def test_whole_numbers_of_a_payload_are_exact_up_to_2_to_the_53(number: float, arrives: float):
    run = a_run(
        output=msgspec.Raw(msgspec.json.encode({"n": number}) if number < 10**300 else b'{"n":1%s}' % (b"0" * 400))
    )
    written: Any = oracle.kind("Run").FromString(message_writer(SCHEMA, "ironflow.v1.Run", runs.Run).write(run))
    assert written.output.fields["n"].number_value == float(arrives)


@pytest.mark.parametrize(("percent", "written"), [(0.0, False), (-0.0, True), (1.5, True)])
def test_only_zero_itself_is_left_out_of_doubles(percent: float, written: bool):
    metrics = WorkerMetrics(cpu_percent=percent)
    parsed: Any = oracle.kind("WorkerMetrics").FromString(
        message_writer(SCHEMA, "ironflow.v1.WorkerMetrics", WorkerMetrics).write(metrics)
    )
    assert (str(parsed.cpu_percent), bool(parsed.ByteSize())) == (str(percent), written)


def test_run_statuses_have_the_numbers_of_newer_clients():
    numbers = {
        status.value: oracle.plain(
            oracle.kind("Run").FromString(
                message_writer(SCHEMA, "ironflow.v1.Run", runs.Run).write(a_run(status=status))
            )
        )["status"]
        for status in runs.RunStatus
    }
    assert numbers == {
        "pending": 7, "running": 2, "completed": 3, "failed": 4, "cancelled": 5, "paused": 6, "waiting": 8,
    }  # fmt: skip


def a_run(**values: Any) -> runs.Run:
    required = {field.name: _some(field) for field in msgspec.structs.fields(runs.Run) if field.required}
    return runs.Run(**{**required, **values})


def _some(field: Any) -> Any:
    kind = bare_type(get_type_hints(runs.Run, include_extras=True)[field.name])
    plain: dict[Any, Any] = {str: "x", int: 1, float: 1.5, bool: True, msgspec.Raw: msgspec.Raw(b"{}")}
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return next(iter(kind))
    return plain.get(kind, datetime(2026, 1, 1, tzinfo=UTC))


def by_descriptor(body: Any, contract: Any, pause_reason: str = "") -> Any:
    """Connect JSON as generated code would read it, without the special cases for older clients.

    There, run statuses are names, a payload that is not an object is under both names, and JSON in bytes is text.
    """
    if contract is msgspec.Raw and isinstance(body, dict):
        # An item that its feature reads by itself.
        return {name if name != "data" or isinstance(each, dict) else "data_value": each for name, each in body.items()}
    if not (isinstance(contract, type) and issubclass(contract, msgspec.Struct)) or not isinstance(body, dict):
        return body
    hints = get_type_hints(contract, include_extras=True)
    found: dict[str, Any] = {}
    for name, declared in fields_of(contract).items():
        if camel(name) not in body or declared.number is None:
            continue
        value, kind = body[camel(name)], bare_type(hints[name])
        inner = bare_type(get_args(kind)[-1]) if get_origin(kind) in (list, dict) else kind
        if declared.twin is not None and not isinstance(value, dict):
            found[f"{name}_value"] = value
        elif declared.json_in_bytes:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            found[name] = base64.b64encode(text.encode()).decode()
        elif isinstance(kind, type) and issubclass(kind, WireEnum):
            accepted = kind.accept(value)
            waits = kind is runs.RunStatus and value == "paused" and body.get("pauseReason") in ("sleep", "wait_event")
            found[name] = 8 if waits else kind.numbers()[accepted.value] if accepted else 0
        elif get_origin(kind) is list:
            found[name] = [by_descriptor(each, inner) for each in value]
        elif get_origin(kind) is dict:
            found[name] = {key: by_descriptor(each, inner) for key, each in value.items()}
        else:
            found[name] = by_descriptor(value, inner)
    return found


@each_rpc
async def test_a_method_answers_the_same_in_binary_and_in_json(
    operation: Operation[Any, Any], rpc: str, tmp_path: Path
):
    request, response = oracle.requests_and_responses(rpc)
    path = f"/ironflow.v1.{rpc}"
    async with a_scene(tmp_path / "json") as (server, scene), server.http() as client:
        values = sample(operation, scene)
        if rpc == "IronflowService/TriggerBatch":
            # Of the second item, an empty name is the same as none in binary.
            values["events"] = values["events"][:1]
        in_json = await client.post(path, json=values)
    async with a_scene(tmp_path / "binary") as (server, scene), server.http() as client:
        body = oracle.made(
            request, by_descriptor({camel(name): each for name, each in values.items()}, operation.request)
        )
        kind = {"content-type": "application/proto"}
        in_binary = await client.post(path, content=body.SerializeToString(), headers=kind)

    assert in_binary.status_code == in_json.status_code, (in_binary.text, in_json.text)
    if not in_json.is_success:
        assert in_binary.json() == in_json.json()
        return
    assert in_binary.headers["content-type"] == "application/proto"
    expected = by_descriptor(in_json.json(), operation.response)
    assert oracle.plain(response.FromString(in_binary.content)) == oracle.plain(oracle.made(response, expected))


RUBBISH = [
    b"\xff",
    b"\x00\x00",
    b"\x0a",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0a\x05abc",
    b"\x0a\x01\xff",
    b"\x0b\x0c",
    b"\x08" + b"\xff" * 11,
    b"\x09\x00",
    b"\x0d\x00",
    b"\xff" * 1_000,
    b"\x0a\x80" * 1_000,
]


async def test_rubbish_is_refused_or_passed_over(tmp_path: Path):
    kind = {"content-type": "application/proto"}
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        for _, rpc in UNARY:
            for body in RUBBISH:
                answer = await client.post(f"/ironflow.v1.{rpc}", content=body, headers=kind)
                assert answer.status_code < 500, (rpc, body, answer.text)


def nested(levels: int) -> bytes:
    """A Value within lists, that deep."""
    value = b"\x11" + b"\0" * 8
    for _ in range(levels):
        for number in (1, 6):
            out = bytearray()
            put_bytes(out, number, value)
            value = bytes(out)
    return value


def test_a_payload_that_is_nested_too_deeply_is_refused():
    assert msgspec.json.encode(read_value(nested(100))).count(b"[") == 100
    for levels in (201, 5_000):
        with pytest.raises(BadMessage, match="deeper than 200"):
            read_value(nested(levels))


def test_numbers_that_json_does_not_have_are_refused():
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(BadMessage, match="JSON does not have"):
            read_value(b"\x11" + struct.pack("<d", number))


def test_a_time_outside_the_calendar_is_refused():
    for seconds, nanos in ((10**15, 0), (-(10**15), 0), (0, -1), (0, 10**9), (253402300800, 0)):
        out = bytearray()
        put_number(out, 1, seconds)
        put_number(out, 2, nanos)
        with pytest.raises(BadMessage, match="no time"):
            read_timestamp(bytes(out))


def test_a_message_in_two_parts_is_one_and_unknown_fields_are_passed_over():
    kind = oracle.kind("RegisterFunctionRequest")
    one, two = oracle.made(kind, {"retry": {"max_attempts": 3}}), oracle.made(kind, {"retry": {"backoff_factor": 2}})
    unknown = bytearray()
    put_number(unknown, 9_999, 1)
    put_bytes(unknown, 9_998, b"\xff")
    data = one.SerializeToString() + bytes(unknown) + two.SerializeToString()
    found = message_reader(SCHEMA, "ironflow.v1.RegisterFunctionRequest", None).plain(data)
    assert found == {"retry": {"max_attempts": 3, "backoff_factor": 2.0}}
