"""Signatures of push requests: `from ironflow.signing import sign, verify`.

`sign` makes the header `X-Ironflow-Signature`, `verify` checks one against the body exactly as it arrived.
"""

from ironflow.base.signature import (
    DEFAULT_SIGNATURE_TOLERANCE,
    HEADER,
    ParsedSignature,
    SignatureError,
    SignatureExpired,
    SignatureMissing,
    compute,
    is_valid,
    parse,
    sign,
    sign_request,
    verify,
)

__all__ = [
    "DEFAULT_SIGNATURE_TOLERANCE",
    "HEADER",
    "ParsedSignature",
    "SignatureError",
    "SignatureExpired",
    "SignatureMissing",
    "compute",
    "is_valid",
    "parse",
    "sign",
    "sign_request",
    "verify",
]
