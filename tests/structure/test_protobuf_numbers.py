"""Contracts agree with the protobuf descriptors that existing clients were built from.

Binary messages are read and written by these numbers, so a wrong one loses data without an error.
Source: tests/protocol/connectrpc.json; `legacy` there holds what only older clients send.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from ironflow.base.fields import Field, WireEnum, bare_type, fields_of
from ironflow.base.json import Json
from ironflow.base.operation import Operation
from tests.structure.contracts import all_operations, name_of

TABLE = json.loads((Path(__file__).parent.parent / "protocol" / "connectrpc.json").read_text())
LEGACY = TABLE["legacy"]
NO_FIELDS = {"google.protobuf.Empty", "(empty JSON object)"}
PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "bytes": (bytes,),
    "int32": (int,),
    "uint32": (int,),
    "int64": (int,),
    "uint64": (int,),
    "double": (float,),
    "google.protobuf.Struct": (Json,),
    "google.protobuf.Value": (Json,),
    "google.protobuf.Timestamp": (datetime,),
    # In JSON it is a text of paths with commas.
    "google.protobuf.FieldMask": (str,),
    "google.protobuf.Duration": (timedelta,),
}
# Answers that clients read as JSON only; no descriptor names their fields.
JSON_ONLY = {"ServerCapabilities"}
# Fields of our own, beside the protocol's.
OURS_FROM = 100


@dataclass(frozen=True)
class Numbered:
    """A message of a contract and the descriptor's name for it."""

    message: type[msgspec.Struct]
    descriptor: str


def method(rpc: str) -> dict[str, Any]:
    service, _, name = rpc.partition("/")
    found = TABLE["services"].get(service, {}).get("methods", {}).get(name) or LEGACY["methods"].get(rpc)
    assert found is not None, f"the protocol has no {rpc}"
    return found


def described(descriptor: str) -> dict[int, dict[str, Any]]:
    """The fields of a descriptor by number, those of older clients included."""
    message = TABLE["messages"].get(descriptor) or LEGACY["messages"][descriptor]
    fields = message["fields"] + LEGACY["fields"].get(descriptor, [])
    return {field["number"]: field for field in fields}


def messages() -> Iterator[tuple[str, Numbered]]:
    """Every message that an operation with an RPC sends or receives, nested ones included, once."""
    waiting: list[tuple[str, Numbered]] = []
    for operation in all_operations():
        for rpc in operation.rpc:
            declared = method(rpc)
            if operation.response is not None:
                waiting.append((f"{rpc} answer", Numbered(operation.response, declared["output"])))
            waiting.append((f"{rpc} request", Numbered(operation.request, declared["input"])))
    seen: set[Numbered] = set()
    while waiting:
        place, pair = waiting.pop()
        if pair in seen or pair.descriptor in NO_FIELDS | JSON_ONLY:
            continue
        seen.add(pair)
        yield place, pair
        by_number = described(pair.descriptor)
        hints = get_type_hints(pair.message, include_extras=True)
        for name, field in fields_of(pair.message).items():
            kind = item_type(hints[name])
            inner = by_number.get(field.number or 0, {})
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and inner:
                nested = inner["map"]["value"] if inner["kind"] == "map" else inner["type"]
                waiting.append((f"{place}.{name}", Numbered(kind, nested)))


def item_type(hint: Any) -> Any:
    """What a field holds: the item of a list, the value of a map."""
    kind = bare_type(hint)
    if get_origin(kind) in (list, dict):
        return bare_type(get_args(kind)[-1])
    return kind


def fits(kind: Any, described: dict[str, Any]) -> bool:
    if described["type"] == "google.protobuf.Struct" and get_origin(kind) is dict:
        return get_args(kind) == (str, Json)
    if described["kind"] == "map":
        return get_origin(kind) is dict and of_type(item_type(kind), described["map"]["value"])
    if described["repeated"]:
        # A list of raw JSON is one whose items are read one by one.
        return get_origin(kind) is list and (item_type(kind) is Json or of_type(item_type(kind), described["type"]))
    return of_type(kind, described["type"])


def of_type(kind: Any, named: str) -> bool:
    if named in PYTHON:
        return kind in PYTHON[named]
    if named in TABLE["enums"]:
        return isinstance(kind, type) and (issubclass(kind, WireEnum) or kind is str)
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def numbers_of(field: Field) -> set[int]:
    return {number for number in (field.number, field.twin) if number is not None}


MESSAGES = list(messages())
each_message = pytest.mark.parametrize("pair", [pair for _, pair in MESSAGES], ids=[place for place, _ in MESSAGES])


@pytest.mark.parametrize("operation", [each for each in all_operations() if each.rpc], ids=name_of)
def test_every_rpc_is_one_that_clients_know(operation: Operation[Any, Any]):
    for rpc in operation.rpc:
        declared = method(rpc)
        streaming = {(False, False): "unary", (False, True): "server", (True, True): "bidi"}
        assert operation.streaming == streaming[declared["client_streaming"], declared["server_streaming"]]


@pytest.mark.parametrize("operation", [each for each in all_operations() if each.rpc], ids=name_of)
def test_an_rpc_without_fields_asks_and_answers_none(operation: Operation[Any, Any]):
    for rpc in operation.rpc:
        declared = method(rpc)
        if declared["input"] in NO_FIELDS:
            assert operation.request.__struct_fields__ == ()
        if declared["output"] in NO_FIELDS:
            assert operation.response is None


@each_message
def test_a_number_means_the_field_of_that_name(pair: Numbered):
    by_number = described(pair.descriptor)
    ours = {field.number: name for name, field in fields_of(pair.message).items() if field.number}
    ours |= {field.twin: f"{name}_value" for name, field in fields_of(pair.message).items() if field.twin}

    theirs = {number: name for number, name in ours.items() if number < OURS_FROM}
    assert theirs == {number: by_number[number]["name"] for number in theirs if number in by_number}
    # Ours are recognised by their numbers, which the protocol does not use.
    assert not {number for number in by_number if number >= OURS_FROM}


@each_message
def test_a_field_that_the_protocol_numbers_has_its_number(pair: Numbered):
    numbers = {field["name"]: number for number, field in described(pair.descriptor).items()}
    unnumbered = {name for name, field in fields_of(pair.message).items() if field.number is None}

    assert {name: numbers[name] for name in unnumbered if name in numbers} == {}


@each_message
def test_a_number_is_used_once(pair: Numbered):
    used = [number for field in fields_of(pair.message).values() for number in numbers_of(field)]
    assert len(used) == len(set(used))


@each_message
def test_a_payload_that_has_a_companion_value_names_it(pair: Numbered):
    numbers = {field["name"]: number for number, field in described(pair.descriptor).items()}
    ours = {name: field for name, field in fields_of(pair.message).items() if field.number is not None}
    companions = {name: numbers.get(f"{name}_value") for name in ours}
    hints = get_type_hints(pair.message, include_extras=True)

    assert {name: field.twin for name, field in ours.items() if bare_type(hints[name]) is Json} == {
        name: number for name, number in companions.items() if bare_type(hints[name]) is Json
    }


@each_message
def test_a_field_has_the_type_that_the_protocol_gives_it(pair: Numbered):
    by_number = described(pair.descriptor)
    hints = get_type_hints(pair.message, include_extras=True)
    wrong: dict[str, Any] = {}
    for name, field in fields_of(pair.message).items():
        declared = by_number.get(field.number or 0)
        if declared is not None and field.json_in_bytes:
            assert (declared["type"], bare_type(hints[name])) in {("bytes", str), ("bytes", Json)}
            continue
        if declared is not None and not fits(bare_type(hints[name]), declared):
            wrong[name] = (hints[name], declared["type"])
    assert wrong == {}


@each_message
def test_64_bit_numbers_travel_as_text(pair: Numbered):
    by_number = described(pair.descriptor)
    ours = {
        name: (field.int64, by_number[field.number]["type"])
        for name, field in fields_of(pair.message).items()
        if field.number in by_number
    }
    assert [name for name, (as_text, kind) in ours.items() if as_text is not kind.endswith("int64")] == []


def test_enum_numbers_are_those_of_the_protocol():
    checked: set[type[WireEnum]] = set()
    for _, pair in MESSAGES:
        by_number = described(pair.descriptor)
        hints = get_type_hints(pair.message, include_extras=True)
        for name, field in fields_of(pair.message).items():
            kind, declared = item_type(hints[name]), by_number.get(field.number or 0)
            if declared is None or not (isinstance(kind, type) and issubclass(kind, WireEnum)):
                continue
            checked.add(kind)
            named = TABLE["enums"][declared["type"]]["values"]
            ours = {kind.prefix() + value.upper(): number for value, number in kind.numbers().items()}
            assert set(kind.numbers()) == {member.value for member in kind}
            # A newer name for the same number is no difference on the wire.
            assert {number for number in ours.values() if number < OURS_FROM} <= set(named.values())
            assert {value: number for value, number in ours.items() if value in named} == {
                value: number for value, number in named.items() if value in ours
            }
    assert checked
