"""The frames of the Debug Adapter Protocol, and what a session gives to its caller; pure."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import InvalidJson, read_json
from ironflow.base.operation import Operation

HEADER_BYTES_MAX = 4 * 1024
BODY_BYTES_MAX = 16 * 1024 * 1024
_LENGTH = b"content-length"


class BadFrame(InvalidArgument):
    """The bytes are no frame of the Debug Adapter Protocol; what follows cannot be read."""

    code = "BAD_FRAME"


class Refused(InvalidArgument):
    """A request of the debugger cannot be answered. shown: whether the editor shows the message to its user."""

    code = "REQUEST_REFUSED"

    def __init__(self, message: str, *, shown: bool = False) -> None:
        super().__init__(message)
        self.shown = shown


@dataclass(frozen=True, slots=True)
class Rubbish:
    """A complete frame whose body is no JSON object."""

    reason: str


class Frames:
    """Takes bytes as they arrive and gives the messages that are complete."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._length: int | None = None

    def feed(self, data: bytes) -> list[dict[str, Any] | Rubbish]:
        """Raises BadFrame for a header that says no length, or one beyond the limits."""
        self._held += data
        found: list[dict[str, Any] | Rubbish] = []
        while True:
            if self._length is None and not self._read_header():
                return found
            if self._length is None or len(self._held) < self._length:
                return found
            body = bytes(self._held[: self._length])
            del self._held[: self._length]
            self._length = None
            found.append(_message(body))

    def _read_header(self) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) > HEADER_BYTES_MAX:
                raise BadFrame(f"No header ended within {HEADER_BYTES_MAX} bytes.")
            return False
        lengths = [
            value.strip()
            for name, _, value in (line.partition(b":") for line in bytes(self._held[:end]).split(b"\r\n"))
            if name.strip().lower() == _LENGTH
        ]
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 12:
            raise BadFrame("A header needs one line `Content-Length: BYTES`.")
        if int(lengths[0]) > BODY_BYTES_MAX:
            raise BadFrame(f"A message of {int(lengths[0])} bytes is too long; {BODY_BYTES_MAX} is the limit.")
        del self._held[: end + 4]
        self._length = int(lengths[0])
        return True


def framed(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent."""
    body = msgspec.json.encode(message)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _message(body: bytes) -> dict[str, Any] | Rubbish:
    try:
        value = read_json(body)
    except InvalidJson as fault:
        return Rubbish(fault.message)
    return value if isinstance(value, dict) else Rubbish("a message is a JSON object")


@dataclass(frozen=True, slots=True)
class Open:
    """The server that the session asks from here on; None takes that of the command."""

    server: str | None
    api_key: str | None
    environment: str | None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the server. Its caller sends the answer into the generator, or throws the server's error."""

    operation: Operation[Any, Any]
    request: msgspec.Struct


@dataclass(frozen=True, slots=True)
class Send:
    """A message to the client."""

    message: Mapping[str, Any]


Step = Open | Ask | Send
Flow = Generator[Step, Any, None]
