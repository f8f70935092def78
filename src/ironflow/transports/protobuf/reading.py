"""Reads binary messages: from protobuf to the same plain data that Connect JSON would have.

From there on both codecs share one path: the message's reader checks types and limits and names the field at fault.
Fields that the contract does not have are skipped.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ironflow.base.fields import Field, bare_type, fields_of
from ironflow.base.json import DEPTH_MAX
from ironflow.base.spelling import reader
from ironflow.transports.protobuf import schema as kinds
from ironflow.transports.protobuf import values, wire
from ironflow.transports.protobuf.schema import FieldShape, Schema, Shape
from ironflow.transports.protobuf.wire import BYTES, FIXED64, VARINT, BadMessage, double, fields, signed, varints

Plain = dict[str, Any]
# Reads one raw value; depth: how many messages are around it.
Read = Callable[[Any, int], Any]
# Puts one raw value of a wire type into the plain data.
Put = Callable[[Plain, int, Any, int], None]

_GOOGLE: dict[str, Read] = {
    values.STRUCT: lambda value, _: values.read_struct(value),
    values.VALUE: lambda value, _: values.read_value(value),
    values.LIST: lambda value, _: values.read_list(value),
    values.TIMESTAMP: lambda value, _: values.read_timestamp(value),
    values.DURATION: lambda value, _: values.read_duration(value),
    values.FIELD_MASK: lambda value, _: values.read_field_mask(value),
}
_SCALARS: dict[int, tuple[int, Read]] = {
    kinds.INT32: (VARINT, lambda value, _: signed(value, 32)),
    kinds.INT64: (VARINT, lambda value, _: signed(value, 64)),
    kinds.UINT32: (VARINT, lambda value, _: value & 0xFFFFFFFF),
    kinds.UINT64: (VARINT, lambda value, _: value),
    kinds.BOOL: (VARINT, lambda value, _: value != 0),
    kinds.DOUBLE: (FIXED64, lambda value, _: double(value)),
    kinds.STRING: (BYTES, lambda value, _: values.text_of(value)),
    # The JSON encoder writes them in base64.
    kinds.BYTES: (BYTES, lambda value, _: value),
}


class MessageReader:
    """Reads the messages of one descriptor for one contract; without a contract, everything that the descriptor has."""

    def __init__(self, schema: Schema, shape: Shape, contract: type[msgspec.Struct] | None) -> None:
        self._puts = dict(_puts(schema, shape, contract))
        self._contract = contract
        declared = fields_of(contract) if contract is not None else {}
        self._zeros = {
            name: 0 for name, field in declared.items() if field.absent_is_zero and field.number in shape.fields
        }

    def read(self, data: bytes) -> Any:
        """The contract's message. Raises BadMessage, BadField and their subclasses."""
        assert self._contract is not None
        return reader(self._contract).read(msgspec.json.encode(self.plain(data)))

    def plain(self, data: bytes, found: Plain | None = None, depth: int = 0) -> Plain:
        """The fields that `data` sets, merged into `found`, as protobuf merges a message field that occurs twice."""
        if depth > DEPTH_MAX:
            raise BadMessage(f"A message is nested deeper than {DEPTH_MAX} levels.")
        found = dict(self._zeros) if found is None else found
        puts = self._puts
        for number, wire_type, value in fields(data):
            put = puts.get(number)
            if put is not None:
                put(found, wire_type, value, depth)
        return found


@cache
def message_reader(schema: Schema, name: str, contract: type[msgspec.Struct] | None) -> MessageReader:
    return MessageReader(schema, schema.messages[name], contract)


def _puts(schema: Schema, shape: Shape, contract: type[msgspec.Struct] | None) -> Iterable[tuple[int, Put]]:
    if contract is None:
        for each in shape.fields.values():
            yield each.number, _put(schema, each, each.name, None, Field())
        return
    hints = get_type_hints(contract, include_extras=True)
    for name, declared in fields_of(contract).items():
        if declared.number in shape.fields:
            each = shape.fields[declared.number]
            yield each.number, _put(schema, each, name, _inner(hints[name]), declared)
        if declared.twin in shape.fields:
            each = shape.fields[declared.twin]
            yield each.number, _put(schema, each, f"{name}_value", None, Field())


def _inner(hint: Any) -> Any:
    """What a field of the contract is made of: the item of a list, the value of a map."""
    kind = bare_type(hint)
    return bare_type(get_args(kind)[-1]) if get_origin(kind) in (list, dict) else kind


def _put(schema: Schema, shape: FieldShape, key: str, contract: Any, declared: Field) -> Put:
    of = schema.messages.get(shape.of)
    if of is not None and of.is_entry:
        return _put_entry(schema, of, key, contract)
    wire_type, read = _read(schema, shape, contract, declared)
    if shape.repeated:
        return _put_item(key, wire_type, read)
    if of is not None and shape.of not in _GOOGLE:
        return _put_message(schema, shape.of, key, _message(contract))

    def put(found: Plain, kind: int, value: Any, depth: int) -> None:
        if kind == wire_type:
            found[key] = read(value, depth)

    return put


def _put_item(key: str, wire_type: int, read: Read) -> Put:
    def put(found: Plain, kind: int, value: Any, depth: int) -> None:
        if kind == wire_type:
            found.setdefault(key, []).append(read(value, depth))
        elif kind == BYTES:
            # A packed field.
            found.setdefault(key, []).extend(read(each, depth) for each in _unpacked(value, wire_type))

    return put


def _unpacked(data: bytes, wire_type: int) -> Iterable[Any]:
    if wire_type == VARINT:
        return varints(data)
    if len(data) % 8:
        raise BadMessage("A list of numbers is cut off.")
    return (data[at : at + 8] for at in range(0, len(data), 8))


def _put_message(schema: Schema, name: str, key: str, contract: type[msgspec.Struct] | None) -> Put:
    def put(found: Plain, kind: int, value: Any, depth: int) -> None:
        if kind == BYTES:
            # Looked up late, so that messages may contain themselves.
            found[key] = message_reader(schema, name, contract).plain(value, found.get(key), depth + 1)

    return put


def _put_entry(schema: Schema, entry: Shape, key: str, contract: Any) -> Put:
    """An entry of a map; in this schema all keys are strings."""
    wire_type, read = _read(schema, entry.fields[2], contract, Field())
    unset: Any = None

    def put(found: Plain, kind: int, value: Any, depth: int) -> None:
        if kind != BYTES:
            return
        name, inner = "", unset
        for field in fields(value):
            match field:
                case (1, wire.BYTES, part):
                    name = values.text_of(part)
                case (2, part_kind, part) if part_kind == wire_type:
                    inner = read(part, depth + 1)
                case _:
                    pass
        found.setdefault(key, {})[name] = read(b"", depth + 1) if inner is None and wire_type == BYTES else inner

    return put


def _read(schema: Schema, shape: FieldShape, contract: Any, declared: Field) -> tuple[int, Read]:
    """The wire type of a field's values, and a function that reads one."""
    if shape.kind == kinds.ENUM:
        enum = schema.enums[shape.of]
        if contract is str:
            return VARINT, lambda value, _: enum.name_of(signed(value, 32)) or signed(value, 32)
        return VARINT, lambda value, _: signed(value, 32)
    if shape.kind == kinds.BYTES and declared.json_in_bytes:
        return BYTES, lambda value, _: values.text_of(value)
    if shape.kind != kinds.MESSAGE:
        return _SCALARS[shape.kind]
    if shape.of in _GOOGLE:
        return BYTES, _GOOGLE[shape.of]
    name, inner = shape.of, _message(contract)
    return BYTES, lambda value, depth: message_reader(schema, name, inner).plain(value, None, depth + 1)


def _message(contract: Any) -> type[msgspec.Struct] | None:
    return contract if isinstance(contract, type) and issubclass(contract, msgspec.Struct) else None
