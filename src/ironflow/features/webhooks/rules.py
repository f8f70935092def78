"""What is decided about webhook sources and their requests; pure. Source: docs/reference/webhooks.md."""

import hashlib
import hmac
import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from ironflow.base.json import Json
from ironflow.base.signature import SignatureError
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.base.webhook.descriptor import Descriptor, check_age, check_descriptor, matching_key, presented
from ironflow.base.webhook.presets import preset_named
from ironflow.base.webhook.request import WebhookRequest
from ironflow.features.webhooks.contract import (
    CreateWebhookSource,
    InvalidWebhookSource,
    UpdateWebhookSource,
    WebhookSourceChanged,
    WebhookTooLarge,
    WebhookVerifyConfig,
    WrongIngestToken,
)

BODY_BYTES_MAX = 1024 * 1024
TOKEN_MARK = "ifwh_"
TOKEN_PREFIX_CHARS = len(TOKEN_MARK) + 8
# Where a secret is set and no header is named.
HEADER_DEFAULT = "X-Webhook-Signature"
CUSTOM = "custom"

_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class SourceRow(msgspec.Struct, frozen=True):
    """A source as it is kept.

    verify_config, metadata: JSON, empty without one. verifies: 0 or 1. secret, secret_prev: numbers of its secrets, 0
    for none; the secrets themselves are encrypted elsewhere. secrets_made: the last number.
    secret_prev_until: 0 without one.
    """

    id: str
    environment: str
    name: str
    source_type: str
    event_prefix: str
    verify_header: str
    verify_algorithm: str
    verify_config: str
    verifies: int
    schema_version: int
    metadata: str
    secrets_made: int
    secret: int
    secret_prev: int
    secret_prev_until: Millis
    token_hash: str
    token_prefix: str
    created_at: Millis
    updated_at: Millis


class Verdict(NamedTuple):
    """Whether a request is genuine. key: `current`, `prev`, `none` where nothing is verified, or `invalid`."""

    key: str
    fault: SignatureError | None


def new_source(request: CreateWebhookSource, *, id: str, environment: str, token: str, now: Millis) -> SourceRow:
    """The source to create, without its secret. Raises InvalidWebhookSource, InvalidDescriptor."""
    preset = preset_named(request.preset) if request.preset else None
    name = request.name or request.id
    if not name:
        raise InvalidWebhookSource("A webhook source has a name; send one.")
    if not _ID.fullmatch(id):
        raise InvalidWebhookSource(f"{id[:60]!r} is no id: write 1 to 128 letters, digits, `_`, `-` or `.`.")
    prefix = request.event_prefix.strip(".") or (preset.name if preset else "")
    if prefix and not _ID.fullmatch(prefix):
        raise InvalidWebhookSource(f"{prefix[:60]!r} is no event prefix: write letters, digits, `_`, `-` or `.`.")
    config = request.verify_config
    if preset is not None:
        if config is not None or request.verify_header:
            raise InvalidWebhookSource("A preset says how requests are signed; send no verify_config or verify_header.")
        if not request.verify_secret:
            raise InvalidWebhookSource(f"The preset {preset.name} verifies signatures: send verify_secret.")
        config = WebhookVerifyConfig(**msgspec.structs.asdict(preset.descriptor))
    row = SourceRow(
        id=id,
        environment=environment,
        name=name,
        source_type=preset.name if preset else CUSTOM,
        event_prefix=prefix,
        verify_header=request.verify_header,
        verify_algorithm=request.verify_algorithm,
        verify_config=_text(config),
        verifies=0,
        schema_version=request.schema_version or 1,
        metadata=_metadata(request.metadata),
        secrets_made=int(bool(request.verify_secret)),
        secret=int(bool(request.verify_secret)),
        secret_prev=0,
        secret_prev_until=0,
        token_hash=token_hash(token),
        token_prefix=token[:TOKEN_PREFIX_CHARS],
        created_at=now,
        updated_at=now,
    )
    check_descriptor(descriptor_of(row))
    return replace(row, verifies=int(bool(request.verify_secret) or _names_header(row)))


def decide_update(source: SourceRow, request: UpdateWebhookSource, now: Millis) -> SourceRow:
    """The source after the change. Raises WebhookSourceChanged, InvalidWebhookSource, InvalidDescriptor."""
    check_expected(source, request.expected_updated_at)
    if not request.name:
        raise InvalidWebhookSource("An update replaces the name; send it.")
    changed = replace(
        source,
        name=request.name,
        metadata=_metadata(request.metadata),
        verify_header=request.verify_header or source.verify_header,
        verify_algorithm=request.verify_algorithm or source.verify_algorithm,
        verify_config=_text(request.verify_config) or source.verify_config,
        schema_version=request.schema_version or source.schema_version,
        updated_at=_later(source, now),
    )
    check_descriptor(descriptor_of(changed))
    # A header where there was none means that signatures are wanted.
    return replace(changed, verifies=1) if _names_header(changed) and not _names_header(source) else changed


def decide_rotation(source: SourceRow, grace_s: int, now: Millis) -> SourceRow:
    """The source with a new secret, of the number `secret`, and the old one as the previous for the grace."""
    previous = source.secret if grace_s else 0
    return replace(
        source,
        secrets_made=source.secrets_made + 1,
        secret=source.secrets_made + 1,
        verifies=1,
        secret_prev=previous,
        secret_prev_until=now + grace_s * 1000 if previous else 0,
        updated_at=_later(source, now),
    )


def decide_no_verification(source: SourceRow, grace_s: int, now: Millis) -> SourceRow:
    """The source that accepts what is not signed; its secret stays as the previous one for the grace."""
    previous = source.secret if grace_s else 0
    until = now + grace_s * 1000 if previous else 0
    return replace(
        source, verifies=0, secret=0, secret_prev=previous, secret_prev_until=until, updated_at=_later(source, now)
    )


def without_previous(source: SourceRow, now: Millis) -> SourceRow:
    return replace(source, secret_prev=0, secret_prev_until=0, updated_at=_later(source, now))


def secret_name(source: SourceRow, number: int) -> str:
    """Under which a secret of the source is kept."""
    return f"{source.id}/{number}"


def secret_names(source: SourceRow) -> list[str]:
    """Names of the secrets that the source has, whatever the time."""
    return [secret_name(source, number) for number in (source.secret, source.secret_prev) if number]


def secrets_to_forget(before: SourceRow, after: SourceRow) -> list[str]:
    """Names of the secrets that a change leaves without use."""
    kept = secret_names(after)
    return [name for name in secret_names(before) if name not in kept]


def with_token(source: SourceRow, token: str, now: Millis) -> SourceRow:
    prefix = token[:TOKEN_PREFIX_CHARS]
    return replace(source, token_hash=token_hash(token), token_prefix=prefix, updated_at=_later(source, now))


def check_expected(source: SourceRow, expected: datetime | None) -> None:
    """Raises WebhookSourceChanged."""
    if expected is not None and to_millis(expected) != source.updated_at:
        raise WebhookSourceChanged(
            f"Webhook source {source.id!r} was changed at {to_datetime(source.updated_at).isoformat()}, the request "
            f"expects {expected.isoformat()}. Read it again and repeat the change."
        )


def check_token(source: SourceRow, token: str, authorization: str) -> None:
    """Raises WrongIngestToken. authorization: the header; its bearer token counts where `token` is empty."""
    scheme, _, bearer = authorization.partition(" ")
    given = token or (bearer.strip() if scheme.lower() == "bearer" else "")
    if not hmac.compare_digest(token_hash(given), source.token_hash):
        raise WrongIngestToken


def check_size(body: bytes) -> None:
    """Raises WebhookTooLarge."""
    if len(body) > BODY_BYTES_MAX:
        raise WebhookTooLarge(f"The body is {len(body)} bytes; a webhook's is at most {BODY_BYTES_MAX}.")


def decide_genuine(source: SourceRow, secrets: tuple[str, str], request: WebhookRequest, now: Millis) -> Verdict:
    """Whether the request was signed with the source's secret, on its raw bytes.

    secrets: the current and the previous one, empty where there is none. now: when it arrived.
    """
    named = [(key, secret) for key, secret in zip(("current", "prev"), secrets, strict=True) if secret]
    if not source.verifies and not named:
        return Verdict("none", None)
    if not named:
        return Verdict("invalid", SignatureError("The source verifies signatures and has no secret yet: rotate it in."))
    descriptor = descriptor_of(source)
    try:
        found = presented(descriptor, request)
        place = matching_key(descriptor, found, [secret for _, secret in named])
        if place is None:
            raise SignatureError("The signature was not made with the source's secret, or the body was changed.")
        check_age(descriptor, found.timestamp, now)
    except SignatureError as fault:
        return Verdict("invalid", fault) if source.verifies else Verdict("none", None)
    return Verdict(named[place][0], None)


def descriptor_of(source: SourceRow) -> Descriptor:
    """How the source's requests are signed; a header alone means an HMAC of the body in hex."""
    return _descriptor(source.verify_config, source.verify_header, source.verify_algorithm)


@lru_cache(maxsize=1024)
def _descriptor(verify_config: str, verify_header: str, verify_algorithm: str) -> Descriptor:
    config = msgspec.json.decode(verify_config, type=Descriptor) if verify_config else Descriptor()
    return replace(
        config,
        signature_header=config.signature_header or verify_header or HEADER_DEFAULT,
        algorithm=config.algorithm or verify_algorithm,
    )


def as_descriptor(config: WebhookVerifyConfig) -> Descriptor:
    return Descriptor(**msgspec.structs.asdict(config))


def config_of(source: SourceRow) -> WebhookVerifyConfig | None:
    return msgspec.json.decode(source.verify_config, type=WebhookVerifyConfig) if source.verify_config else None


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _names_header(source: SourceRow) -> bool:
    config = config_of(source)
    return bool(source.verify_header or (config and config.signature_header))


def _later(source: SourceRow, now: Millis) -> Millis:
    """When the source is changed: never the time that it has already, which callers compare."""
    return max(now, source.updated_at + 1)


def _text(config: WebhookVerifyConfig | None) -> str:
    return "" if config is None else msgspec.json.encode(config).decode()


def _metadata(metadata: Json | None) -> str:
    text = "" if metadata is None else bytes(metadata).decode()
    if text and not text.lstrip().startswith("{"):
        raise InvalidWebhookSource("The source's metadata is not a JSON object.")
    return text
