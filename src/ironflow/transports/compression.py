"""gzip, as clients send and accept it: bounded on the way in, only where it is worth it on the way out."""

import zlib

from ironflow.base.errors import InvalidArgument, ResourceExhausted, Unimplemented

# Below this a packed answer saves no packet and costs time on both sides.
WORTHWHILE_BYTES = 2048
_LEVEL = 1
_GZIP = 31


class MessageTooLarge(ResourceExhausted):
    """The message is larger than this server accepts."""

    code, retryable = "MESSAGE_TOO_LARGE", False


class BadCompression(InvalidArgument):
    """The message is not what its compression says."""

    code = "BAD_COMPRESSION"


def is_gzip(named: str | None, header: str) -> bool:
    """Whether a Content-Encoding means gzip; False for none. Raises Unimplemented for another one."""
    if not named or named == "identity":
        return False
    if named == "gzip":
        return True
    raise Unimplemented(f"{header} {named[:40]} is not read here; send gzip or identity.")


def accepts_gzip(accepted: str | None) -> bool:
    """Whether an Accept-Encoding offers gzip by name."""
    if not accepted:
        return False
    for each in accepted.split(","):
        name, _, weight = each.strip().partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def gunzip(packed: bytes, bytes_max: int) -> bytes:
    """What was packed; unpacks no more than `bytes_max`. Raises BadCompression or MessageTooLarge."""
    parts: list[bytes] = []
    left = bytes_max
    while True:
        member = zlib.decompressobj(wbits=_GZIP)
        try:
            part = member.decompress(packed, left + 1)
        except zlib.error as fault:
            raise BadCompression(f"The message is not gzip: {fault}.") from None
        left -= len(part)
        if left < 0:
            raise MessageTooLarge(f"The message unpacks to more than {bytes_max} bytes, which is what is accepted.")
        if not member.eof:
            raise BadCompression("The message is cut off: its gzip has no end.")
        parts.append(part)
        packed = member.unused_data
        if not packed:
            return b"".join(parts)


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return packer.compress(data) + packer.flush()
