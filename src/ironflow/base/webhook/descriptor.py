"""How a provider signs its webhooks, as values, and whether a request is signed so.

A descriptor is neutral: it names the header, how the header is split, what is signed, and how the HMAC is written.
Nothing of the body is parsed before its signature was verified, but for a provider that signs a form's fields.
Source: behaviour.md 14.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.base.signature import SignatureError, SignatureExpired, SignatureMissing
from ironflow.base.time import Millis
from ironflow.base.webhook.request import WebhookRequest, found_at, query_value

TOLERANCE_S_DEFAULT = 300
# A tolerance of this accepts any age.
ANY_AGE = -1
_ALGORITHMS = {"hmac-sha256": "sha256", "hmac-sha1": "sha1", "hmac-sha512": "sha512"}
_PARTS = re.compile(r"\{(body|ts|id|url|form)\}")
_ID_HEADERS = "header:webhook-id, header:svix-id"
_MS_FROM = 100_000_000_000


class InvalidDescriptor(InvalidArgument):
    """The description of a signature is not valid."""

    code = "INVALID_VERIFY_CONFIG"


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are signed. Headers and paths may list several with commas: the first that is there counts.

    entry_separator: splits the signature header into entries; kv_delimiter: splits an entry into key and value.
    signature_key, timestamp_key: keys of the entries that are signatures, and the time.
    signing_template: what is signed, of `{body}`, `{ts}`, `{id}`, `{url}` and `{form}` (the sorted fields of a form).
    encoding: `hex` or `base64`. tolerance_seconds: only where `{ts}` is signed; 0 means 300, -1 accepts any age.
    """

    signature_header: str = ""
    entry_separator: str = ""
    kv_delimiter: str = ""
    signature_key: str = ""
    timestamp_header: str = ""
    timestamp_key: str = ""
    signing_template: str = ""
    encoding: str = ""
    algorithm: str = ""
    tolerance_seconds: int = 0
    event_name_path: str = ""
    dedup_id_path: str = ""

    @property
    def template(self) -> str:
        return self.signing_template or "{body}"

    @property
    def digest(self) -> str:
        """The hash's name in hashlib."""
        return _ALGORITHMS[self.algorithm or "hmac-sha256"]

    @property
    def tolerance_s(self) -> int | None:
        """None accepts any age."""
        if "{ts}" not in self.template or self.tolerance_seconds == ANY_AGE:
            return None
        return self.tolerance_seconds or TOLERANCE_S_DEFAULT


class Presented(NamedTuple):
    """What a request presents. signed: the strings that may have been signed, the likeliest first.

    timestamp: as it was sent, empty without one.
    """

    signed: list[bytes]
    signatures: list[str]
    timestamp: str


def check_descriptor(descriptor: Descriptor) -> None:
    """Raises InvalidDescriptor."""
    algorithm, encoding = descriptor.algorithm, descriptor.encoding
    if algorithm and algorithm not in _ALGORITHMS:
        raise InvalidDescriptor(f"{algorithm[:40]!r} is no algorithm; write {' or '.join(_ALGORITHMS)}.")
    if encoding not in ("", "hex", "base64"):
        raise InvalidDescriptor(f"{encoding[:40]!r} is no encoding of a signature; write hex or base64.")
    template = descriptor.template
    if "{body}" not in template and "{form}" not in template:
        raise InvalidDescriptor(f"signing_template is {template[:80]!r}: the body is not signed. Put {{body}} into it.")
    if descriptor.tolerance_seconds < ANY_AGE:
        raise InvalidDescriptor("tolerance_seconds is a number of seconds, 0 for 300, or -1 for any age.")
    if descriptor.tolerance_seconds > 0 and "{ts}" not in template:
        raise InvalidDescriptor(
            f"tolerance_seconds is {descriptor.tolerance_seconds}, but {template[:80]!r} does not sign the time: "
            "a time that is not signed proves nothing. Put {ts} into signing_template, or leave the tolerance out."
        )
    if "{ts}" in template and not descriptor.timestamp_header and not descriptor.timestamp_key:
        raise InvalidDescriptor("signing_template has {ts}: say timestamp_header or timestamp_key.")
    if (descriptor.signature_key or descriptor.timestamp_key) and not descriptor.kv_delimiter:
        raise InvalidDescriptor("a signature_key or timestamp_key needs a kv_delimiter, such as `=`.")


def presented(descriptor: Descriptor, request: WebhookRequest) -> Presented:
    """The signatures of a request, and what they would have signed. Raises SignatureMissing, SignatureError."""
    header = next((name for name in _names(descriptor.signature_header) if name in request.headers), None)
    if header is None:
        raise SignatureMissing(f"The request has no header {descriptor.signature_header}.")
    entries = _entries(descriptor, request.headers[header])
    signatures = [value for key, value in entries if not descriptor.signature_key or key == descriptor.signature_key]
    if not signatures:
        raise SignatureMissing(f"The header {header} has no signature {descriptor.signature_key!r}.")
    timestamp = ""
    if descriptor.timestamp_key or descriptor.timestamp_header:
        timestamps = [value for key, value in entries if descriptor.timestamp_key and key == descriptor.timestamp_key]
        timestamps += [request.headers[name] for name in _names(descriptor.timestamp_header) if name in request.headers]
        timestamp = timestamps[0] if timestamps else ""
    if "{ts}" in descriptor.template and not timestamp:
        raise SignatureError("The request has no time, which its signature covers.")
    return Presented(_signed(descriptor, request, timestamp), signatures, timestamp)


def matching_key(descriptor: Descriptor, found: Presented, secrets: Sequence[str]) -> int | None:
    """Which of the secrets made one of the signatures; every pair is compared. None when none did."""
    matched: int | None = None
    for place, secret in enumerate(secrets):
        for signed in found.signed:
            expected = signature(descriptor, signed, secret).encode()
            for given in found.signatures:
                text = given if descriptor.encoding == "base64" else given.lower()
                if hmac.compare_digest(expected, text.encode("latin-1", "replace")) and matched is None:
                    matched = place
    return matched


def check_age(descriptor: Descriptor, timestamp: str, now: Millis) -> None:
    """Raises SignatureExpired outside of the tolerance, SignatureError for what is no time."""
    tolerance_s = descriptor.tolerance_s
    if tolerance_s is None:
        return
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 15:
        raise SignatureError(f"{timestamp[:40]!r} is no time in unix seconds.")
    at_s = int(timestamp) / 1000 if int(timestamp) > _MS_FROM else int(timestamp)
    age_s = now / 1000 - at_s
    if abs(age_s) > tolerance_s:
        raise SignatureExpired(
            f"The signature is {abs(age_s):.0f} s {'old' if age_s > 0 else 'ahead'}; {tolerance_s} s are tolerated."
        )


def signature(descriptor: Descriptor, signed: bytes, secret: str) -> str:
    """The HMAC of a string in the descriptor's encoding."""
    made = hmac.digest(key_of(descriptor, secret), signed, descriptor.digest)
    return base64.b64encode(made).decode() if descriptor.encoding == "base64" else made.hex()


def key_of(descriptor: Descriptor, secret: str) -> bytes:
    """The key that a secret stands for.

    Of Standard Webhooks (`whsec_`, with `{id}` signed) what its base64 stands for, else its own bytes.
    """
    if secret.startswith("whsec_") and "{id}" in descriptor.template:
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


@lru_cache(maxsize=1024)
def _names(header: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in header.split(",") if name.strip())


def _entries(descriptor: Descriptor, value: str) -> list[tuple[str, str]]:
    """(key, value) of each entry of the header; without a delimiter the key is empty."""
    texts = value.split(descriptor.entry_separator) if descriptor.entry_separator else [value]
    if not descriptor.kv_delimiter:
        # `sha256=` before the value is a custom of so many that it is taken without a description.
        return [("", text.strip().removeprefix(f"{descriptor.digest}=")) for text in texts]
    pairs = (text.strip().partition(descriptor.kv_delimiter) for text in texts)
    return [(key.strip(), found.strip()) for key, delimiter, found in pairs if delimiter]


def _signed(descriptor: Descriptor, request: WebhookRequest, timestamp: str) -> list[bytes]:
    template = descriptor.template
    parts = {"body": request.body, "ts": timestamp.encode("latin-1", "replace")}
    if "{id}" in template:
        by_header = ",".join(path for path in descriptor.dedup_id_path.split(",") if "header:" in path.lower())
        found = found_at(by_header or _ID_HEADERS, None, request.headers)
        if not found:
            raise SignatureError("The request has no id header, which its signature covers.")
        parts["id"] = found.encode("latin-1", "replace")
    if "{form}" in template:
        parts["form"] = _form_text(request)
    if "{url}" not in template:
        return [_filled(template, parts)]
    if not request.url:
        raise SignatureError("The signature covers the URL: set the server's public_url to the one that is called.")
    return [_filled(template, {**parts, "url": url.encode()}) for url in _urls(request.url)]


def _filled(template: str, parts: dict[str, bytes]) -> bytes:
    return b"".join(parts[name] if name else text for name, text in _pieces(template))


@lru_cache(maxsize=1024)
def _pieces(template: str) -> tuple[tuple[str, bytes], ...]:
    """(name of a part, or empty; the text where there is no part) in order."""
    pieces = enumerate(_PARTS.split(template))
    return tuple((piece, b"") if place % 2 else ("", piece.encode()) for place, piece in pieces if piece)


def _form_text(request: WebhookRequest) -> bytes:
    """The fields of a form, sorted and run together, as Twilio signs them.

    Another body is covered by its hash in the URL, which is signed. Raises SignatureError, InvalidJson.
    """
    by_hash = query_value(request.url, "bodySHA256")
    if by_hash is not None and not hmac.compare_digest(
        by_hash.lower().encode(), hashlib.sha256(request.body).hexdigest().encode()
    ):
        raise SignatureError("The body is not the one whose hash the URL has.")
    if not request.is_form:
        if by_hash is None:
            raise SignatureError("The body is no form and the URL has no bodySHA256: the signature does not cover it.")
        return b""
    return "".join(name + value for name, value in sorted(set(request.form()))).encode()


def _urls(url: str) -> list[str]:
    """The URL as it is, and with or without its scheme's own port: providers differ in what they sign."""
    split = urlsplit(url)
    port = {"https": 443, "http": 80}.get(split.scheme)
    if port is None or not split.hostname:
        return [url]
    host = split.netloc
    other = host.removesuffix(f":{port}") if host.endswith(f":{port}") else host if split.port else f"{host}:{port}"
    return [url, *([urlunsplit(split._replace(netloc=other))] if other != host else [])]
