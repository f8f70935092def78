"""The protobuf wire format: varints, tags and lengths."""

import struct
from collections.abc import Iterator
from typing import Final, Literal

from ironflow.base.errors import InvalidArgument

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

# Field number, wire type and raw value: a number as it stands, or bytes.
Field = tuple[int, Literal[0], int] | tuple[int, Literal[1, 2, 5], bytes]

_U64 = (1 << 64) - 1
_double = struct.Struct("<d")


class BadMessage(InvalidArgument):
    """The bytes are no message of the kind that is asked for."""

    code = "BAD_MESSAGE"


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in their order. Raises BadMessage."""
    at, end = 0, len(data)
    while at < end:
        # Most tags and lengths are one byte.
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = varint(data, at - 1)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise BadMessage(f"There is no field {number}.")
        if kind == BYTES:
            if at < end and data[at] < 0x80:
                size = data[at]
                at += 1
            else:
                size, at = varint(data, at)
            until = at + size
            if until > end:
                raise BadMessage(f"Field {number} is cut off: it has {size} bytes, and {end - at} came.")
            yield number, BYTES, data[at:until]
            at = until
        elif kind == VARINT:
            value, at = varint(data, at)
            yield number, VARINT, value
        elif kind in (FIXED64, FIXED32):
            until = at + (8 if kind == FIXED64 else 4)
            if until > end:
                raise BadMessage(f"Field {number} is cut off.")
            yield number, FIXED64 if kind == FIXED64 else FIXED32, data[at:until]
            at = until
        else:
            raise BadMessage(f"Field {number} has the wire type {kind}, which is not in use.")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number that begins at `at`, and where it ends. Raises BadMessage."""
    try:
        byte = data[at]
        if byte < 0x80:
            return byte, at + 1
        value, shift = byte & 0x7F, 7
        while True:
            at += 1
            byte = data[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & _U64, at + 1
            shift += 7
            if shift > 63:
                raise BadMessage("A number is longer than ten bytes.")
    except IndexError:
        raise BadMessage("A number is cut off.") from None


def varints(data: bytes) -> Iterator[int]:
    """The numbers of a packed field."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def signed(value: int, bits: int) -> int:
    """The two's complement number in the lowest `bits`."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def double(data: bytes) -> float:
    return _double.unpack(data)[0]


def put_varint(out: bytearray, value: int) -> None:
    """Negative numbers take ten bytes, as the format requires."""
    value &= _U64
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_number(out: bytearray, number: int, value: int) -> None:
    put_varint(out, number << 3)
    put_varint(out, value)


def put_double(out: bytearray, number: int, value: float) -> None:
    put_varint(out, number << 3 | FIXED64)
    out += _double.pack(value)


def put_bytes(out: bytearray, number: int, value: bytes | bytearray) -> None:
    put_varint(out, number << 3 | BYTES)
    put_varint(out, len(value))
    out += value
