"""Writes strict JSON: a contract's message as a protobuf library's own JSON writer gives it.

One key for a field, the descriptor's; enums by name, 64-bit numbers as texts, bytes in base64. Fields without a number
in the descriptor are omitted, as are unset fields, empty lists and zeros of fields without presence.
Source: protocol/connectrpc.md 2, "Two dialects of JSON answers".
"""

import base64
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
from ironflow.transports.protobuf.writing import CannotWrite

Plain = dict[str, Any]
# Puts one value of a contract's field into plain data.
Put = Callable[[Plain, Any], None]
# One value as plain data; None: it is plain already.
Write = Callable[[Any], Any] | None


class JsonWriter:
    """Writes one contract's messages as one descriptor has them.

    snake: keys are the descriptor's names instead of its JSON names. numbers: 64-bit numbers are numbers.
    """

    def __init__(
        self, schema: Schema, shape: Shape, contract: type[msgspec.Struct], snake: bool = False, numbers: bool = False
    ) -> None:
        self._schema, self._snake, self._numbers = schema, snake, numbers
        self._puts = list(self._plan(shape, contract))

    def write(self, message: msgspec.Struct) -> bytes:
        return msgspec.json.encode(self.plain(message))

    def plain(self, message: msgspec.Struct) -> Plain:
        out: Plain = {}
        for name, put in self._puts:
            value = getattr(message, name)
            if value is not None:
                put(out, value)
        return out

    def _plan(self, shape: Shape, contract: type[msgspec.Struct]) -> Iterable[tuple[str, Put]]:
        hints = get_type_hints(contract, include_extras=True)
        for name, declared in fields_of(contract).items():
            each = shape.fields.get(declared.number or 0)
            twin = shape.fields.get(declared.twin or 0)
            if declared.only == "rest" or (each is None and twin is None):
                continue
            kind = bare_type(hints[name])
            if kind is msgspec.Raw and not declared.json_in_bytes and (each is None or not each.repeated):
                yield name, self._payload(each, twin)
            elif each is not None:
                yield name, self._field(each, kind, declared)

    def _key(self, shape: FieldShape) -> str:
        return shape.name if self._snake else shape.json_name

    def _payload(self, shape: FieldShape | None, twin: FieldShape | None) -> Put:
        """An object as `x`, other JSON as `xValue`; where there is only one of the two, the values that it can hold."""
        both = [each for each in (shape, twin) if each is not None]
        struct = next((self._key(each) for each in both if each.of == values.STRUCT), None)
        value = next((self._key(each) for each in both if each.of == values.VALUE), None)

        def put(out: Plain, payload: msgspec.Raw) -> None:
            if struct is not None and bytes(payload).lstrip()[:1] == b"{":
                out[struct] = values.json_of(payload)
            elif value is not None:
                out[value] = values.json_of(payload)

        return put

    def _field(self, shape: FieldShape, kind: Any, declared: Field) -> Put:
        key = self._key(shape)
        of = self._schema.messages.get(shape.of)
        if of is not None and of.is_entry:
            return _put_map(key, self._value(of.fields[2], bare_type(get_args(kind)[1]), Field()))
        if shape.of == values.STRUCT and get_origin(kind) is dict:
            return _put_one(key, lambda given: {name: values.json_of(each) for name, each in given.items()}, True)
        if shape.repeated:
            return _put_list(key, self._value(shape, bare_type(get_args(kind)[0]), declared))
        return _put_one(key, self._value(shape, kind, declared), shape.present)

    def _value(self, shape: FieldShape, kind: Any, declared: Field) -> Write:
        """A function that makes plain data of one value. Raises CannotWrite."""
        match shape.kind:
            case kinds.ENUM:
                return self._enum(shape, kind)
            case kinds.BYTES:
                return _json_in_base64 if declared.json_in_bytes else _base64
            case kinds.MESSAGE:
                return self._message(shape, kind)
            case kinds.INT64 | kinds.UINT64:
                return None if self._numbers else _wide
            case kinds.DOUBLE | kinds.INT32 | kinds.UINT32 | kinds.BOOL | kinds.STRING:
                return None
            case _:
                raise CannotWrite(f"{shape.name}: type {shape.kind} of a descriptor is not known")

    def _enum(self, shape: FieldShape, kind: Any) -> Write:
        numbers = self._schema.enums[shape.of].numbers
        names = {number: name for name, number in numbers.items()}
        if isinstance(kind, type) and issubclass(kind, WireEnum):
            by_value = {value: names.get(number, number) for value, number in kind.numbers().items()}
            return lambda value: by_value[value.value]
        # A name that the descriptor does not have is the unset one, which is omitted.
        return lambda value: value if numbers.get(value) else ""

    def _message(self, shape: FieldShape, kind: Any) -> Write:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            # Looked up late, so that messages may contain themselves.
            return lambda value: json_writer(self._schema, shape.of, kind, self._snake, self._numbers).plain(value)
        match shape.of:
            case values.TIMESTAMP:
                return values.timestamp_text
            case values.DURATION:
                return lambda value: values.duration_text(duration_ms(value, number_unit="ms"))
            case values.VALUE | values.STRUCT if kind is msgspec.Raw:
                return values.json_of
        raise CannotWrite(f"{shape.name}: {kind} cannot be a {shape.of}")


@cache
def json_writer(
    schema: Schema, name: str, contract: type[msgspec.Struct], snake: bool = False, numbers: bool = False
) -> JsonWriter:
    return JsonWriter(schema, schema.messages[name], contract, snake, numbers)


def _put_one(key: str, write: Write, keeps_zero: bool) -> Put:
    def put(out: Plain, value: Any) -> None:
        # Zero is omitted, minus zero is not.
        if value or keeps_zero or (isinstance(value, float) and copysign(1.0, value) < 0):
            written = value if write is None else write(value)
            if written != "" or keeps_zero:
                out[key] = written

    return put


def _put_list(key: str, write: Write) -> Put:
    def put(out: Plain, items: list[Any]) -> None:
        if items:
            out[key] = items if write is None else [write(each) for each in items]

    return put


def _put_map(key: str, write: Write) -> Put:
    def put(out: Plain, given: dict[str, Any]) -> None:
        if given:
            out[key] = given if write is None else {name: write(each) for name, each in given.items()}

    return put


def _wide(value: Any) -> str:
    return str(int(value))


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _json_in_base64(value: str | msgspec.Raw) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else bytes(value)).decode()
