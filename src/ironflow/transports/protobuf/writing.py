"""Writes binary messages: from a contract's message straight to protobuf.

Fields without a number in the descriptor are omitted, as are unset fields and zeros of fields without presence.
"""

from collections.abc import Callable, Iterable
from functools import cache
from math import copysign
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ironflow.base.duration import duration_ms
from ironflow.base.fields import Field, WireEnum, bare_type, fields_of
from ironflow.transports.protobuf import schema as kinds
from ironflow.transports.protobuf import values
from ironflow.transports.protobuf.schema import FieldShape, Schema, Shape
from ironflow.transports.protobuf.wire import put_bytes, put_double, put_number

# Appends one value with its field number.
Put = Callable[[bytearray, Any], None]


class CannotWrite(TypeError):
    """A contract's field has a type that its descriptor's field cannot hold: a fault of the contract."""


class MessageWriter:
    """Writes one contract's messages as one descriptor has them."""

    def __init__(self, schema: Schema, shape: Shape, contract: type[msgspec.Struct]) -> None:
        self._puts = sorted(_puts(schema, shape, contract), key=lambda put: put[0])

    def write(self, message: msgspec.Struct) -> bytes:
        return bytes(self.put(bytearray(), message))

    def put(self, out: bytearray, message: msgspec.Struct) -> bytearray:
        for _, name, put in self._puts:
            value = getattr(message, name)
            if value is not None:
                put(out, value)
        return out


@cache
def message_writer(schema: Schema, name: str, contract: type[msgspec.Struct]) -> MessageWriter:
    return MessageWriter(schema, schema.messages[name], contract)


def _puts(schema: Schema, shape: Shape, contract: type[msgspec.Struct]) -> Iterable[tuple[int, str, Put]]:
    hints = get_type_hints(contract, include_extras=True)
    for name, declared in fields_of(contract).items():
        each = shape.fields.get(declared.number or 0)
        twin = shape.fields.get(declared.twin or 0)
        if declared.only == "rest" or (each is None and twin is None):
            continue
        kind = bare_type(hints[name])
        if kind is msgspec.Raw and not declared.json_in_bytes and (each is None or not each.repeated):
            yield declared.number or declared.twin or 0, name, _payload(contract, each, twin)
        elif each is not None:
            yield each.number, name, _field(schema, each, kind, declared)


def _payload(contract: type[msgspec.Struct], shape: FieldShape | None, twin: FieldShape | None) -> Put:
    """An object as `x`, other JSON as `x_value`; where there is only one of the two, the values that it can hold.

    Raises CannotWrite where there is neither.
    """
    struct = next((each.number for each in (shape, twin) if each is not None and each.of == values.STRUCT), None)
    value = next((each.number for each in (shape, twin) if each is not None and each.of == values.VALUE), None)
    if struct is None and value is None:
        raise CannotWrite(f"{contract.__name__}: no field for free JSON in {(shape or twin)!r}")

    def put(out: bytearray, payload: msgspec.Raw) -> None:
        text = bytes(payload)
        if struct is not None and text.lstrip()[:1] == b"{":
            put_bytes(out, struct, values.struct_of(text))
        elif value is not None:
            put_bytes(out, value, values.value_of(text))

    return put


def _field(schema: Schema, shape: FieldShape, kind: Any, declared: Field) -> Put:
    of = schema.messages.get(shape.of)
    if of is not None and of.is_entry:
        return _map(schema, shape.number, of, bare_type(get_args(kind)[1]))
    if shape.of == values.STRUCT and get_origin(kind) is dict:
        return lambda out, value: put_bytes(out, shape.number, values.struct_of(msgspec.json.encode(value)))
    if not shape.repeated:
        return _one(schema, shape, kind, declared, keeps_zero=shape.present)
    put = _one(schema, shape, bare_type(get_args(kind)[0]), declared, keeps_zero=True)

    def put_each(out: bytearray, items: Iterable[Any]) -> None:
        # Not packed: every reader accepts numbers one by one.
        for item in items:
            put(out, item)

    return put_each


def _map(schema: Schema, number: int, entry: Shape, kind: Any) -> Put:
    put_value = _one(schema, entry.fields[2], kind, Field(), keeps_zero=True)

    def put(out: bytearray, given: dict[str, Any]) -> None:
        for name, value in given.items():
            inner = bytearray()
            put_bytes(inner, 1, name.encode())
            put_value(inner, value)
            put_bytes(out, number, inner)

    return put


def _one(schema: Schema, shape: FieldShape, kind: Any, declared: Field, *, keeps_zero: bool) -> Put:
    number = shape.number
    as_bytes = _as_bytes(schema, shape, kind, declared)
    if as_bytes is not None:

        def put(out: bytearray, value: Any) -> None:
            data = as_bytes(value)
            if data or keeps_zero:
                put_bytes(out, number, data)

        return put
    as_number = _as_number(schema, shape, kind)
    if shape.kind == kinds.DOUBLE:

        def put_real(out: bytearray, value: Any) -> None:
            real = as_number(value)
            # Zero is omitted, minus zero is not.
            if real or keeps_zero or copysign(1.0, real) < 0:
                put_double(out, number, real)

        return put_real

    def put_whole(out: bytearray, value: Any) -> None:
        whole = int(as_number(value))
        if whole or keeps_zero:
            put_number(out, number, whole)

    return put_whole


def _as_bytes(
    schema: Schema, shape: FieldShape, kind: Any, declared: Field
) -> Callable[[Any], bytes | bytearray] | None:
    """A function that makes bytes of a value; None for numbers. Raises CannotWrite."""
    if shape.kind == kinds.STRING:
        return str.encode
    if shape.kind == kinds.BYTES:
        return _json_text if declared.json_in_bytes else bytes
    if shape.kind != kinds.MESSAGE:
        return None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        name = shape.of
        return lambda value: message_writer(schema, name, kind).put(bytearray(), value)
    match shape.of:
        case values.TIMESTAMP:
            return values.timestamp_of
        case values.DURATION:
            return lambda value: values.duration_of(duration_ms(value, number_unit="ms"))
        case values.VALUE if kind is msgspec.Raw:
            return values.value_of
        case values.STRUCT if kind is msgspec.Raw:
            return values.struct_of
    raise CannotWrite(f"{shape.name}: {kind} cannot be a {shape.of}")


def _json_text(value: str | msgspec.Raw) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _as_number(schema: Schema, shape: FieldShape, kind: Any) -> Callable[[Any], float]:
    if shape.kind != kinds.ENUM:
        return lambda value: value
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        numbers = kind.numbers()
        return lambda value: numbers[value.value]
    numbers_by_name = schema.enums[shape.of].numbers
    return lambda value: numbers_by_name.get(value, 0)
