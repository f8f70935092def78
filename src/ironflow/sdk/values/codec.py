"""A codec for payloads: the server stores what it cannot read, in an envelope of JSON.

    {"$encoded": "<base64 of what `encode` returned>"}

The marker `$encoded` is the only member, so that every client sees plain JSON and a reader with the key recognises it.
Source: docs/guides/codecs.md.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from ironflow.base.errors import InvalidArgument, IronflowError, SerializationError
from ironflow.base.json import InvalidJson, read_json, write_json
from ironflow.sdk.user_code.guarded import guarded

Raw = msgspec.Raw
Message = TypeVar("Message", bound=msgspec.Struct)

MARKER = "$encoded"
_MARKED = b'"$encoded"'
# Names under which expressions reach the data.
_DATA = re.compile(r"\b(data|event)\b")
_OPERATOR = re.compile(r"[=<>!]")


class CannotEncode(SerializationError):
    """The codec's `encode` failed."""

    code = "CANNOT_ENCODE"


class CannotDecode(IronflowError):
    """The codec's `decode` failed. Does this program have the key with which the payload was encoded?"""

    code, retryable = "CANNOT_DECODE", True


class CodecHidesData(InvalidArgument):
    """The server would have to read data that the codec hides from it."""

    code = "CODEC_HIDES_DATA"


@dataclass(frozen=True, slots=True)
class Codec:
    """encode: from JSON text to what the server stores. decode: back; it raises for what it does not know.

        codec = Codec(fernet.encrypt, fernet.decrypt)
        client, worker = Client(codec=codec), Worker([...], codec=codec)

    Both are called on the event loop, and from several threads. tolerant: what cannot be decoded stays as it is.
    """

    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    tolerant: bool = False

    def encoded(self, payload: Raw) -> Raw:
        """The envelope of a payload. Raises CannotEncode."""
        content, error = guarded(self.encode, bytes(payload))
        if error is not None or not isinstance(content, bytes):
            raise CannotEncode(f"The codec did not encode a payload: {error or type(content).__name__!r}.") from error
        return Raw(b'{"$encoded":"' + b64encode(content) + b'"}')

    def decoded(self, payload: Raw) -> Raw:
        """The payload with the contents of its envelopes, wherever they are in it. Raises CannotDecode."""
        return Raw(self.decoded_text(bytes(payload)))

    def decoded_text(self, text: bytes) -> bytes:
        """As `decoded`, of any JSON text; what is no JSON stays as it is."""
        if _MARKED not in text:
            return text
        try:
            value = read_json(text)
        except InvalidJson:
            return text
        return write_json(self.decoded_value(value))

    def decoded_value(self, value: Any) -> Any:
        """As `decoded`, of a plain value."""
        match value:
            case {"$encoded": str() as content} if len(value) == 1:
                return self._content(value, content)
            case dict():
                return {name: self.decoded_value(each) for name, each in value.items()}
            case list():
                return [self.decoded_value(each) for each in value]
            case _:
                return value

    def decoded_message(self, message: Message) -> Message:
        """A message whose own payloads are decoded."""
        found = {
            name: type(value)(self.decoded_text(bytes(value)))
            for name in message.__struct_fields__
            if isinstance(value := getattr(message, name), msgspec.Raw | bytes) and _MARKED in bytes(value)
        }
        return msgspec.structs.replace(message, **found) if found else message

    def _content(self, envelope: Any, content: str) -> Any:
        try:
            packed = b64decode(content, validate=True)
        except (NoBase64, ValueError):
            # A value of the user's that only looks like an envelope.
            return envelope
        text, error = guarded(self.decode, packed)
        try:
            if error is None:
                return read_json(text)
        except (InvalidJson, TypeError) as fault:
            error = fault
        if self.tolerant:
            return envelope
        raise CannotDecode(f"The codec did not decode a payload: {error!r}.") from error


def reads_data(expression: str) -> bool:
    """Whether a path or expression needs the data of an event. A path always does."""
    return bool(expression) and (not _OPERATOR.search(expression) or expression_reads_data(expression))


def expression_reads_data(expression: str) -> bool:
    """As reads_data, where no path may stand."""
    return bool(_DATA.search(expression))


def check_reads_no_data(expression: str, what: str) -> None:
    """Raises CodecHidesData."""
    if reads_data(expression):
        raise CodecHidesData(
            f"{what} reads data ({expression[:80]!r}), which the codec hides from the server. Leave it out, or compare "
            "names or metadata."
        )
