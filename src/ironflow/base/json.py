"""JSON payloads: those of users are kept byte for byte, never decoded and encoded again.

A payload is `Json` (msgspec.Raw): integers of any size, key order and spelling survive as sent.
"""

import re
from itertools import accumulate
from typing import Any

import msgspec

from ironflow.base.errors import InvalidArgument, PayloadTooLarge

Json = msgspec.Raw

NULL = msgspec.Raw(b"null")
DEPTH_MAX = 200

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
# One level down is 1, one level up the signed byte -1.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

# An escaped backslash, a whole pair, or a half of one.
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class InvalidJson(InvalidArgument):
    """The text is not valid JSON."""

    code = "INVALID_JSON"


def null() -> Json:
    """The payload of a message that has none."""
    return NULL


def read_json(text: bytes | str | msgspec.Raw) -> Any:
    """The value that `text` stands for. Raises InvalidJson with the place of the fault."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise InvalidJson(json_fault(text, fault)) from None
    except RecursionError:
        raise InvalidJson(f"the JSON is nested deeper than {DEPTH_MAX} levels") from None


def json_fault(text: bytes | str | msgspec.Raw, fault: Exception) -> str:
    """What is wrong with a text that is no JSON. The library calls half a surrogate pair truncated."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    for match in _SURROGATES.finditer(raw):
        if match["lone"] is not None:
            at = match.start("lone")
            return f"{match['lone'].decode()} at byte {at} is half of a surrogate pair; a character has both halves"
    return str(fault)


def write_json(value: Any) -> bytes:
    """Compact JSON. NaN and infinities become null, as in JavaScript."""
    return _encode(value)


def write_json_text(value: Any) -> str:
    return _encode(value).decode()


def json_text(payload: Json | bytes | str | None) -> str | None:
    """A payload as the text that the database keeps; None stays None."""
    if payload is None or isinstance(payload, str):
        return payload
    return bytes(payload).decode()


def to_json(text: str | None) -> Json | None:
    """The database's text as a payload; None stays None."""
    return None if text is None else msgspec.Raw(text.encode())


def check_payload(payload: Json, what: str, bytes_max: int | None = None) -> Json:
    """`payload` if it is valid JSON within the limits of depth and size.

    Raises InvalidJson or PayloadTooLarge naming `what`.
    """
    read_payload(payload, what, bytes_max)
    return payload


def read_payload(payload: Json, what: str, bytes_max: int | None = None) -> Any:
    """The value of a payload, which is checked as by `check_payload`."""
    text = bytes(payload)
    if bytes_max is not None:
        check_size(payload, what, bytes_max)
    if text.count(b"[") + text.count(b"{") > DEPTH_MAX and depth(text) > DEPTH_MAX:
        raise InvalidJson(f"{what} is nested deeper than {DEPTH_MAX} levels")
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise InvalidJson(f"{what}: {json_fault(text, fault)}") from None


def check_size(payload: Json, what: str, bytes_max: int) -> None:
    """Checks only the size of a payload whose JSON is already checked. Raises PayloadTooLarge naming `what`."""
    size = len(bytes(payload))
    if size > bytes_max:
        raise PayloadTooLarge(
            f"{what} is {size} bytes; this server accepts {bytes_max}. Store it elsewhere and send a reference."
        )


def depth(text: bytes) -> int:
    """How deep arrays and objects are nested in `text`, which need not be valid."""
    steps = memoryview(_STRINGS.sub(b"", text).translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(0, max(accumulate(steps), default=0))
