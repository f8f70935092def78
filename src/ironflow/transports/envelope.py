"""Frames of a Connect stream: one flag byte, the length as four bytes, the most significant first, and the message.

Source: protocol/connectrpc.md 1.
"""

from typing import Any

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.transports.compression import WORTHWHILE_BYTES, MessageTooLarge, gunzip, gzip

HEAD_BYTES = 5
COMPRESSED = 0x01
END = 0x02


class BadFrame(InvalidArgument):
    """The bytes of the stream are not frames."""

    code = "BAD_FRAME"


class FrameReader:
    """Cuts what arrives into messages, and unpacks them. Holds no more than one message and what came with it."""

    def __init__(self, message_bytes_max: int, gzipped: bool) -> None:
        self._bytes_max = message_bytes_max
        self._gzipped = gzipped
        self._held = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._held += chunk

    @property
    def within(self) -> bool:
        """Whether a frame has begun that has not ended."""
        return bool(self._held)

    def message(self) -> bytes | None:
        """The next message, None until all of it is there. Raises BadFrame, BadCompression or MessageTooLarge."""
        held = self._held
        if not held:
            return None
        flags = held[0]
        if flags & ~COMPRESSED:
            raise BadFrame(f"A frame begins with the flags {flags:#04x}; a client sends 0x00, or 0x01 for gzip.")
        if flags and not self._gzipped:
            raise BadFrame("A frame is compressed, and Connect-Content-Encoding does not say how.")
        if len(held) < HEAD_BYTES:
            return None
        size = int.from_bytes(held[1:HEAD_BYTES], "big")
        if size > self._bytes_max:
            raise MessageTooLarge(f"A frame of {size} bytes is more than {self._bytes_max}, which is what is accepted.")
        if len(held) < HEAD_BYTES + size:
            return None
        message = bytes(held[HEAD_BYTES : HEAD_BYTES + size])
        del held[: HEAD_BYTES + size]
        return gunzip(message, self._bytes_max) if flags else message

    def end(self) -> None:
        """The client has sent its last byte. Raises BadFrame when that was within a frame."""
        if self._held:
            raise BadFrame(f"The stream ends within a frame, after {len(self._held)} bytes of it.")


def frame(message: bytes, packed: bool) -> bytes:
    """One message as a frame. packed: the client accepts gzip."""
    if packed and len(message) >= WORTHWHILE_BYTES:
        small = gzip(message)
        if len(small) < len(message):
            return bytes([COMPRESSED]) + len(small).to_bytes(4, "big") + small
    return b"\0" + len(message).to_bytes(4, "big") + message


def end_frame(error: dict[str, Any] | None = None, metadata: dict[str, list[str]] | None = None) -> bytes:
    """The last frame: JSON in both codecs, never packed."""
    body: dict[str, Any] = {}
    if error is not None:
        body["error"] = error
    if metadata:
        body["metadata"] = metadata
    text = msgspec.json.encode(body)
    return bytes([END]) + len(text).to_bytes(4, "big") + text
