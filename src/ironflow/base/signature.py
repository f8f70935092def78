"""Signatures of push requests: HMAC-SHA256 over the exact bytes of a body.

A header has up to two variants. `sha256=<hex>` signs the body; `t=<unix seconds>,v1=<hex>` signs the time, a full stop
and the body, so that an old request cannot be sent again. The server sends both, in this order; only the second is
verified here. Source: protocol/errors-and-defaults.md 6.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ironflow.base.errors import Unauthenticated

HEADER = "X-Ironflow-Signature"
# How far the time of a signature may be from the time of the verifier, in seconds.
DEFAULT_SIGNATURE_TOLERANCE = 300

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)

# A key, or several while a key is being replaced: the current one first.
Keys = str | bytes | Sequence[str | bytes]


class SignatureError(Unauthenticated):
    """The signature does not belong to this request. Both ends need the same signing key."""

    code = "SIGNATURE_INVALID"


class SignatureMissing(SignatureError):
    """The request has no signature. Its sender needs a signing key."""

    code = "SIGNATURE_MISSING"


class SignatureExpired(SignatureError):
    """The signature is too old, or from the future. Both clocks have to agree."""

    code = "SIGNATURE_EXPIRED"


@dataclass(frozen=True, slots=True)
class ParsedSignature:
    """What a header has. timestamp: unix seconds. signatures: the first of each scheme; v1: all of `v1`, in order."""

    timestamp: int
    signatures: Mapping[str, str]
    v1: tuple[str, ...]


def compute(payload: str | bytes, key: str | bytes, timestamp: int) -> str:
    """The `v1` of a body at a time, in lower-case hex."""
    return hmac.new(_bytes(key), b"%d." % timestamp + _bytes(payload), hashlib.sha256).hexdigest()


def sign(payload: str | bytes, key: Keys, timestamp: int | None = None) -> str:
    """The header `t=<timestamp>,v1=<hex>`, with a `v1` for each key. timestamp: unix seconds, by default now.

    Raises ValueError without a key.
    """
    at = int(time.time()) if timestamp is None else timestamp
    return ",".join([f"t={at}", *(f"v1={compute(payload, each, at)}" for each in _keys(key))])


def sign_request(payload: str | bytes, key: Keys, timestamp: int | None = None) -> str:
    """The header of a push request, `sha256=<hex>,t=<timestamp>,v1=<hex>`, which all existing clients read.

    Raises ValueError without a key.
    """
    whole_body = hmac.new(_bytes(_keys(key)[0]), _bytes(payload), hashlib.sha256).hexdigest()
    return f"sha256={whole_body},{sign(payload, key, timestamp)}"


def parse(header: str | bytes | None) -> ParsedSignature:
    """Raises SignatureMissing, and SignatureError for a header without one time and at least one `v1`."""
    if header is None or not (text := _text(header).strip()):
        raise SignatureMissing
    times: list[str] = []
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        scheme, _, value = part.strip().partition("=")
        if scheme == "t":
            times.append(value)
        else:
            found.setdefault(scheme, []).append(value)
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
        raise SignatureError("A signature has one time, `t=<unix seconds>`, besides its `v1=<hex>`.")
    # A signature in capitals is another text; nothing is normalised before the comparison.
    v1 = tuple(each for each in found.get("v1", ()) if _HEX.fullmatch(each))
    if not v1:
        raise SignatureError("A signature has a `v1` of 64 hexadecimal digits in lower case.")
    first = {scheme: values[0] for scheme, values in found.items()} | {"v1": v1[0]}
    return ParsedSignature(int(times[0]), MappingProxyType(first), v1)


def verify(
    payload: str | bytes,
    header: str | bytes | None,
    key: Keys,
    tolerance: float | None = DEFAULT_SIGNATURE_TOLERANCE,
    *,
    now: float | None = None,
) -> None:
    """Returns when one of the keys made one of the signatures in `header`, within the tolerance.

    payload: the body exactly as it arrived. tolerance: in seconds; None accepts any age. now: unix seconds.
    Raises SignatureMissing, SignatureExpired, SignatureError; ValueError without a key.
    """
    parsed = parse(header)
    genuine = False
    for each in _keys(key):
        expected = compute(payload, each, parsed.timestamp)
        for given in parsed.v1:
            # Every pair is compared, so the time does not depend on which key or signature matched.
            genuine |= hmac.compare_digest(expected, given)
    if not genuine:
        raise SignatureError
    age = (time.time() if now is None else now) - parsed.timestamp
    if tolerance is not None and abs(age) > tolerance:
        raise SignatureExpired(
            f"The signature is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}; {tolerance:g} s are tolerated. "
            "Do both clocks agree?"
        )


def is_valid(
    payload: str | bytes,
    header: str | bytes | None,
    key: Keys,
    tolerance: float | None = DEFAULT_SIGNATURE_TOLERANCE,
    *,
    now: float | None = None,
) -> bool:
    """Whether `verify` accepts the signature."""
    try:
        verify(payload, header, key, tolerance, now=now)
    except SignatureError:
        return False
    return True


def _keys(key: Keys) -> list[str | bytes]:
    keys = [key] if isinstance(key, str | bytes) else list(key)
    if not keys or not all(keys):
        raise ValueError(
            "a signing key is text or bytes of at least one byte; give one, or the current and the old one."
        )
    return keys


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _text(header: str | bytes) -> str:
    return header if isinstance(header, str) else bytes(header).decode("latin-1")
