"""Reading streams on the client: messages, and the error at the end, from bytes.

Connect streams where an operation has an RPC, else server-sent events of its REST route.
Source: protocol/connectrpc.md 1 and 3, https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ironflow.base.errors import ConnectionLost, Internal, IronflowError
from ironflow.base.operation import Operation
from ironflow.base.spelling import message_to_json, reader
from ironflow.sdk.wire.operations import RPC_PREFIX, error_in, outgoing
from ironflow.sdk.wire.transport import Answer

# Without Connect-Protocol-Version, which would ask for strict proto JSON: our own fields are not in the descriptors.
HEADERS = {"Content-Type": "application/connect+json"}
_EVENT_STREAM = {"Accept": "text/event-stream"}
_COMPRESSED, _END = 1, 2
_HEAD_BYTES = 5
_STATUS = 400


class BrokenStream(ConnectionLost):
    """The connection ended before the end of the stream."""


class StreamRequest(NamedTuple):
    """The request that opens a stream, and what reads its answers."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    messages: "MessageReader | EventReader"


def stream_request(
    operation: Operation[Any, Any], request: msgspec.Struct, read: Callable[[bytes], Any] | None = None
) -> StreamRequest:
    """The request for a stream. read: decodes a message, where the operation's own message type does not."""
    if operation.rpc:
        path = f"{RPC_PREFIX}{operation.rpc[0]}"
        return StreamRequest("POST", path, HEADERS, enveloped(request), MessageReader(operation, read))
    out = outgoing(operation, request)
    return StreamRequest(out.method, out.path, out.headers | _EVENT_STREAM, out.body or b"", EventReader(operation))


def enveloped(request: msgspec.Struct) -> bytes:
    """The only frame of a request."""
    text = message_to_json(request, "camel", rpc=True)
    return b"\0" + len(text).to_bytes(4, "big") + text


class MessageReader:
    """Reads the answers of one stream as its bytes come."""

    def __init__(self, operation: Operation[Any, Any], read: Callable[[bytes], Any] | None = None) -> None:
        self._operation = operation
        self._read = read or (reader(operation.response).read if operation.response is not None else None)
        self._held = b""
        self.ended = False

    def feed(self, part: bytes) -> Iterator[Any]:
        """The messages that are whole by now. Raises the error that the server ended the stream with."""
        held, begin = self._held + part, 0
        self._held = held
        while len(held) - begin >= _HEAD_BYTES:
            flags, size = held[begin], int.from_bytes(held[begin + 1 : begin + _HEAD_BYTES], "big")
            start, end = begin + _HEAD_BYTES, begin + _HEAD_BYTES + size
            if len(held) < end:
                break
            text, begin = held[start:end], end
            if flags & _COMPRESSED:
                raise Internal(
                    f"The server compressed its answers to {self._operation.name}, which the request does not accept."
                )
            if flags & _END:
                self.ended = True
                if (fault := _fault_in(text)) is not None:
                    raise fault
                return
            if self._read is not None:
                yield self._read(text)
        self._held = held[begin:]

    def check_ended(self) -> None:
        """Raises BrokenStream when the bytes ended before the stream."""
        if not self.ended:
            raise BrokenStream


class EventReader:
    """Reads the server-sent events of one stream as its bytes come."""

    def __init__(self, operation: Operation[Any, Any]) -> None:
        self._read = reader(operation.response) if operation.response is not None else None
        self._held = b""

    def feed(self, part: bytes) -> Iterator[Any]:
        """The messages that are whole by now. Raises the error that the server ended the stream with."""
        *whole, self._held = (self._held + part).split(b"\n\n")
        for block in whole:
            lines = [line.partition(b":") for line in block.split(b"\n")]
            data = b"\n".join(value.removeprefix(b" ") for name, _, value in lines if name == b"data")
            if any(name == b"event" and value.strip() == b"error" for name, _, value in lines):
                raise error_in(Answer(_STATUS, {}, data))
            if data and self._read is not None:
                yield self._read.read(data)

    def check_ended(self) -> None:
        """Raises BrokenStream: these streams have no end of their own."""
        raise BrokenStream


def _fault_in(text: bytes) -> IronflowError | None:
    """The error in a last frame, as the class that the server raised."""
    found = msgspec.json.decode(text).get("error")
    return error_in(Answer(_STATUS, {}, msgspec.json.encode(found))) if found else None
