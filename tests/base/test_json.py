"""JSON: payloads stay byte for byte, and what is no JSON is refused with its place."""

import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.errors import PayloadTooLarge
from ironflow.base.json import (
    DEPTH_MAX,
    InvalidJson,
    check_payload,
    depth,
    json_text,
    read_json,
    to_json,
    write_json,
    write_json_text,
)

HUGE = "-123456789012345678901234567890"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b'{"a":1,}',
        b"[1] x",
        b"01",
        b'"\xff"',
        b'"\\ud800"',
        b'"\\x"',
        b"tru",
        b"/* */1",
        b"\xef\xbb\xbf1",
        b"1" * 5000,
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidJson):
        read_json(text)
    with pytest.raises(InvalidJson, match="the event"):
        check_payload(msgspec.Raw(text), "the event")


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "0",
        HUGE,
        "1.50",
        "1E2",
        '"\\u0000"',
        '"é\\u00e9"',
        "[]",
        ' { "b" : 1 , "a" : [ ] , "b" : 2 } ',
        "[" * 200 + "]" * 200,
    ],
)
def test_a_payload_stays_byte_for_byte(text: str) -> None:
    payload = msgspec.Raw(text.encode())

    assert check_payload(payload, "the event") is payload
    assert json_text(payload) == text
    again = to_json(json_text(payload))
    assert again is not None
    assert bytes(again) == text.encode()


def test_no_payload_stays_none() -> None:
    assert (json_text(None), to_json(None)) == (None, None)


def test_whole_numbers_of_any_size_are_read_exactly() -> None:
    assert read_json(HUGE) == int(HUGE)
    assert write_json_text(int(HUGE)) == HUGE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_represent_is_written_as_null(value: float) -> None:
    assert write_json([value]) == b"[null]"


def test_a_payload_over_the_limit_is_refused_with_both_sizes() -> None:
    check_payload(msgspec.Raw(b'"12345678"'), "the event", bytes_max=10)
    with pytest.raises(PayloadTooLarge, match=r"the event is 11 bytes; this server accepts 10"):
        check_payload(msgspec.Raw(b'"123456789"'), "the event", bytes_max=10)


@pytest.mark.parametrize("text", [b"[" * 201 + b"]" * 201, b'{"a":' * 201 + b"1" + b"}" * 201, b"[" * 1_000_000])
def test_too_deep_a_payload_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidJson, match=f"nested deeper than {DEPTH_MAX} levels"):
        check_payload(msgspec.Raw(text), "the event")


def test_a_million_levels_are_refused_by_the_reader_too() -> None:
    with pytest.raises(InvalidJson):
        read_json(b"[" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("1", 0),
        ("[]", 1),
        ("[{}]", 2),
        ("[[],[[]],[]]", 3),
        ('"[[["', 0),
        ('["\\"[[", {"[": "]"}]', 2),
        ('"\\\\"[[]]', 2),
        ("]][[", 0),
        ("[[[", 3),
        ('["[', 1),
    ],
)
def test_how_deep_a_text_is(text: str, levels: int) -> None:
    assert depth(text.encode()) == levels


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


def levels_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels_of, value), default=0) if isinstance(value, list) else 0


@given(JSON)
def test_what_is_written_reads_as_the_same_value_and_is_as_deep(value: Any) -> None:
    text = write_json(value)

    assert read_json(text) == value
    assert depth(text) == levels_of(value)


@given(st.binary(max_size=40) | st.text('[]{}",:\\1', max_size=40).map(str.encode))
def test_any_bytes_are_a_payload_or_refused(text: bytes) -> None:
    try:
        payload = check_payload(msgspec.Raw(text), "the event")
    except InvalidJson:
        return

    assert depth(bytes(payload)) == levels_of(read_json(text))


@pytest.mark.parametrize(
    "text", [b"[" + b"[],{}," * 1_000_000 + b"1]", b'"' + b"\\\\" * 3_000_000 + b'"', b"[" * 3_000_000]
)
def test_measuring_a_large_payload_does_not_hold_up_the_server(text: bytes) -> None:
    started = time.process_time()

    depth(text)

    assert time.process_time() - started < 2
