"""Google's well-known types: free JSON, times, durations and field masks."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ironflow.base.json import DEPTH_MAX
from ironflow.base.spelling import camel
from ironflow.transports.protobuf import wire
from ironflow.transports.protobuf.wire import BadMessage, double, fields, put_bytes, put_double, put_number, signed

STRUCT, VALUE, LIST = "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"
TIMESTAMP, DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"
FIELD_MASK, EMPTY = "google.protobuf.FieldMask", "google.protobuf.Empty"

# Whole numbers up to here are exact in a double.
EXACT = 2**53
_LARGEST = 1.7976931348623157e308
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder().decode


def text_of(data: bytes) -> str:
    """Raises BadMessage when the bytes are no UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as fault:
        raise BadMessage(f"A text is not UTF-8: {fault}.") from None


def read_struct(data: bytes, depth: int = 0) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise BadMessage(f"A payload is nested deeper than {DEPTH_MAX} levels.")
    found: dict[str, Any] = {}
    for entry in _messages(data):
        name, value = "", None
        for field in fields(entry):
            match field:
                case (1, wire.BYTES, inner):
                    name = text_of(inner)
                case (2, wire.BYTES, inner):
                    value = read_value(inner, depth)
                case _:
                    pass
        found[name] = value
    return found


def _messages(data: bytes) -> Iterator[bytes]:
    """The values of field 1 of a message: the entries of a Struct, the items of a list."""
    for field in fields(data):
        match field:
            case (1, wire.BYTES, inner):
                yield inner
            case _:
                pass


def read_value(data: bytes, depth: int = 0) -> Any:
    """Raises BadMessage, also for NaN and infinities, which JSON does not have."""
    found: Any = None
    for field in fields(data):
        match field:
            case (1, wire.VARINT, _):
                found = None
            case (2, wire.FIXED64, value):
                found = _number(double(value))
            case (3, wire.BYTES, value):
                found = text_of(value)
            case (4, wire.VARINT, value):
                found = bool(value)
            case (5, wire.BYTES, value):
                found = read_struct(value, depth + 1)
            case (6, wire.BYTES, value):
                found = read_list(value, depth + 1)
            case _:
                pass
    return found


def read_list(data: bytes, depth: int = 0) -> list[Any]:
    """A ListValue."""
    if depth > DEPTH_MAX:
        raise BadMessage(f"A payload is nested deeper than {DEPTH_MAX} levels.")
    return [read_value(each, depth) for each in _messages(data)]


def _number(value: float) -> int | float:
    if not math.isfinite(value):
        raise BadMessage(f"A payload holds {value}, which JSON does not have.")
    # A whole double is an integer in JSON: clients send 3 as 3.0.
    return int(value) if value.is_integer() and abs(value) <= EXACT else value


def struct_of(text: bytes | msgspec.Raw) -> bytes:
    """A JSON object as a Struct."""
    return bytes(_struct(_decode(text)))


def value_of(text: bytes | msgspec.Raw) -> bytes:
    """Any JSON as a Value. Numbers become doubles; integers above 2^53 are rounded to the nearest double."""
    return bytes(_value(_decode(text)))


def _struct(given: dict[str, Any]) -> bytearray:
    out = bytearray()
    for name, value in given.items():
        entry = bytearray()
        put_bytes(entry, 1, name.encode())
        put_bytes(entry, 2, _value(value))
        put_bytes(out, 1, entry)
    return out


def _value(given: Any) -> bytearray:
    out = bytearray()
    match given:
        case None:
            put_number(out, 1, 0)
        case bool():
            put_number(out, 4, given)
        case int() | float():
            put_double(out, 2, _as_double(given))
        case str():
            put_bytes(out, 3, given.encode())
        case dict():
            put_bytes(out, 5, _struct(given))
        case list():
            inner = bytearray()
            for each in given:
                put_bytes(inner, 1, _value(each))
            put_bytes(out, 6, inner)
        case _:
            raise TypeError(f"{type(given)} is no JSON")
    return out


def _as_double(given: float) -> float:
    try:
        return float(given)
    except OverflowError:
        return _LARGEST if given > 0 else -_LARGEST


def _seconds_and_nanos(data: bytes) -> tuple[int, int]:
    seconds = nanos = 0
    for field in fields(data):
        match field:
            case (1, wire.VARINT, value):
                seconds = signed(value, 64)
            case (2, wire.VARINT, value):
                nanos = signed(value, 32)
            case _:
                pass
    return seconds, nanos


def read_timestamp(data: bytes) -> str:
    """RFC 3339 in UTC, to the microsecond. Raises BadMessage for what is no time of the years 1 to 9999."""
    seconds, nanos = _seconds_and_nanos(data)
    try:
        if not 0 <= nanos < 1_000_000_000:
            raise OverflowError
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise BadMessage(f"{seconds} seconds and {nanos} nanoseconds are no time of the years 1 to 9999.") from None
    return moment.isoformat().replace("+00:00", "Z")


def timestamp_of(moment: datetime) -> bytes:
    since = moment - _EPOCH
    out = bytearray()
    seconds = since.days * 86_400 + since.seconds
    if seconds:
        put_number(out, 1, seconds)
    if since.microseconds:
        put_number(out, 2, since.microseconds * 1000)
    return bytes(out)


def read_duration(data: bytes) -> str:
    """Seconds as text, such as `1.5s`."""
    seconds, nanos = _seconds_and_nanos(data)
    total = seconds * 1_000_000_000 + nanos
    sign = "-" if total < 0 else ""
    whole, part = divmod(abs(total), 1_000_000_000)
    return f"{sign}{whole}{f'.{part:09d}'.rstrip('0') if part else ''}s"


def duration_of(milliseconds: int) -> bytes:
    out = bytearray()
    sign = -1 if milliseconds < 0 else 1
    seconds, rest = divmod(abs(milliseconds), 1000)
    if seconds:
        put_number(out, 1, sign * seconds)
    if rest:
        put_number(out, 2, sign * rest * 1_000_000)
    return bytes(out)


_LONG_INTEGER = re.compile(rb"\d{309}")


def json_of(payload: msgspec.Raw) -> Any:
    """Free JSON as plain data that every protobuf library reads back.

    A key occurs once, and an integer beyond the range of doubles becomes the largest double, as in binary.
    """
    found = _decode(payload)
    # Saves the walk through nearly every payload: only an integer of this many digits can be too large.
    return _within_doubles(found) if _LONG_INTEGER.search(payload) else found


def _within_doubles(found: Any) -> Any:
    match found:
        case bool():
            return found
        case int():
            return found if abs(found) < _LARGEST else _as_double(found)
        case dict():
            return {name: _within_doubles(value) for name, value in found.items()}
        case list():
            return [_within_doubles(each) for each in found]
        case _:
            return found


def timestamp_text(moment: datetime) -> str:
    """RFC 3339 in UTC, as protobuf writes it: with no, three or six digits of a second's fraction."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")[:26]
    if text.endswith("000000"):
        return f"{text[:19]}Z"
    return f"{text[:23] if text.endswith('000') else text}Z"


def duration_text(milliseconds: int) -> str:
    """Seconds as protobuf writes them: with no or three digits of a fraction."""
    sign = "-" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{sign}{seconds}{f'.{rest:03d}' if rest else ''}s"


def read_field_mask(data: bytes) -> str:
    """The paths in camelCase, with commas between."""
    return ",".join(camel(text_of(each)) for each in _messages(data))
