"""Values of users as JSON: encoded exactly or refused, decoded into the declared type.

NaN and infinities are no JSON; msgspec would write them as null, so a value whose text contains a null is checked.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import iscoroutine
from typing import Any, get_args

import msgspec

from ironflow.base.errors import SerializationError, ValidationError
from ironflow.sdk.values.definitions import EventDefinition

Raw = msgspec.Raw
NOTHING = Raw(b"null")

_decode = msgspec.json.Decoder().decode
_PLAIN = frozenset({str, int, bool, type(None)})


def _encode_model(value: Any) -> Any:
    """What msgspec does not know itself: pydantic models, without importing pydantic."""
    if iscoroutine(value):
        raise TypeError("it holds a coroutine, whose call was not awaited. Write `await` before the call.")
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(
            f"an object of class {type(value).__name__} is not JSON. "
            "Use plain values, dataclasses, or msgspec or pydantic models."
        )
    # By alias, as its schema names the members and as it is read back.
    return dump(mode="json", by_alias=True)


_encode = msgspec.json.Encoder(enc_hook=_encode_model).encode


def to_payload(value: Any, what: str) -> Raw:
    """`value` as JSON.

    Takes plain values, structs, dataclasses, datetimes, UUIDs, enums, sets and pydantic models.
    Raises SerializationError naming `what` for anything else, for NaN and infinities and for what contains itself.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise SerializationError(f"{what} cannot be written as JSON: {fault}") from fault
    if b"null" in text and not _finite(value):
        raise SerializationError(f"{what} cannot be written as JSON: it holds NaN or an infinity.")
    return Raw(text)


def to_bytes(value: Any, what: str) -> bytes:
    """Bytes as they are, text as UTF-8, other values as JSON. Raises SerializationError naming `what`."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as fault:
            raise SerializationError(f"{what} cannot be written in UTF-8: {fault}") from fault
    return bytes(to_payload(value, what))


_EVENT_FIELDS = frozenset({"name", "event", "data", "idempotency_key", "version", "metadata", "namespace"})


def batch_item(event: Mapping[str, Any], index: int) -> Raw:
    """One event of a batch as JSON. Raises ValidationError for a field that no event has, SerializationError."""
    unknown = event.keys() - _EVENT_FIELDS
    if unknown:
        raise ValidationError(f"event {index} of the batch has the unknown fields {', '.join(sorted(unknown))}.")
    for member in ("name", "event"):
        defined = event.get(member)
        if isinstance(defined, EventDefinition):
            event = {"version": defined.version, **event, member: defined.name}
    return to_payload(event, f"event {index} of the batch")


def from_payload(payload: Raw) -> Any:
    """The plain value that `payload` stands for; integers of any size are exact."""
    return _decode(payload)


def as_json_text(payload: Raw) -> Raw:
    """A payload as a JSON text within JSON: for fields that take a text for the JSON written in it."""
    return Raw(_encode(bytes(payload).decode()))


def from_json_text(text: str | None) -> Any:
    """The plain value that a JSON text stands for; None for None."""
    return None if text is None else _decode(text)


def as_recorded(value: Any, payload: Raw) -> Any:
    """What a replay will see in place of `value`: scalars as they are, the rest as read back from its JSON."""
    return value if type(value) in _PLAIN else _decode(payload)


def _finite(value: Any) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case str() | bytes() | int() | None:
            return True
        case Mapping():
            return all(map(_finite, value.values()))
        case list() | tuple() | set() | frozenset():
            return all(map(_finite, value))
        case msgspec.Struct():
            return all(_finite(getattr(value, name)) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return all(_finite(getattr(value, each.name)) for each in dataclasses.fields(value))
    dump = getattr(value, "model_dump", None)
    return dump is None or _finite(dump())


def is_redacted(payload: Raw) -> bool:
    """Whether a payload was replaced by the marker of a redaction. Source: protocol/errors-and-defaults.md 3."""
    text = bytes(payload)
    if b'"$redacted"' not in text[:64]:
        return False
    value = _decode(text)
    return isinstance(value, dict) and value.get("$redacted") is True


Read = Callable[[Raw], Any]


@lru_cache(maxsize=1024)
def reader_of(kind: Any) -> Read:
    """A function from JSON to a value of type `kind`.

    kind: a struct, dataclass, TypedDict, pydantic model or any type made of them.
    The function raises ValidationError saying which field is wrong; this one raises it for a type that cannot be read.
    """
    try:
        decode = msgspec.json.Decoder(kind, dec_hook=_decode_model).decode
    except (TypeError, NameError) as fault:
        raise ValidationError(f"data cannot be read as {_name(kind)}: {fault}") from fault

    def read(payload: Raw) -> Any:
        try:
            return decode(payload)
        except (msgspec.ValidationError, ValueError) as fault:
            raise ValidationError(f"the data does not fit {_name(kind)}: {fault}") from fault

    return read


def is_modelled(kind: Any) -> bool:
    """Whether `kind` is, or contains, a class that plain JSON values would not be: a struct, dataclass or model."""
    if isinstance(kind, type) and (
        issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or hasattr(kind, "model_validate")
    ):
        return True
    return any(is_modelled(each) for each in get_args(kind))


def _decode_model(kind: type, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise ValueError(f"JSON has no {_name(kind)}")
    return validate(value)


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
