"""Providers whose signatures are known: their descriptors, and how a request is signed as they do it."""

import re
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.base.webhook.descriptor import Descriptor, InvalidDescriptor, presented, signature
from ironflow.base.webhook.request import Headers, WebhookRequest, found_at

_COMMON_NAME = "type"
_COMMON_ID = "id, event_id"


# What nearly all names are; the other characters are looked at one by one.
_PLAIN = re.compile(r"[A-Za-z0-9_./:-]*")


class Preset(NamedTuple):
    """A provider. about: for lists of presets."""

    name: str
    about: str
    descriptor: Descriptor


_ALL = (
    Preset(
        "github",
        "X-Hub-Signature-256 over the body",
        Descriptor(
            signature_header="X-Hub-Signature-256",
            kv_delimiter="=",
            signature_key="sha256",
            event_name_path="header:X-GitHub-Event",
            dedup_id_path="header:X-GitHub-Delivery",
        ),
    ),
    Preset(
        "stripe",
        "Stripe-Signature over time and body",
        Descriptor(
            signature_header="Stripe-Signature",
            entry_separator=",",
            kv_delimiter="=",
            signature_key="v1",
            timestamp_key="t",
            signing_template="{ts}.{body}",
            event_name_path="type",
            dedup_id_path="id",
        ),
    ),
    Preset(
        "slack",
        "X-Slack-Signature over time and body; the URL challenge is answered",
        Descriptor(
            signature_header="X-Slack-Signature",
            kv_delimiter="=",
            signature_key="v0",
            timestamp_header="X-Slack-Request-Timestamp",
            signing_template="v0:{ts}:{body}",
            event_name_path="event.type, type, command",
            dedup_id_path="event_id, trigger_id",
        ),
    ),
    Preset(
        "shopify",
        "X-Shopify-Hmac-SHA256 over the body",
        Descriptor(
            signature_header="X-Shopify-Hmac-SHA256",
            encoding="base64",
            event_name_path="header:X-Shopify-Topic",
            dedup_id_path="header:X-Shopify-Webhook-Id",
        ),
    ),
    Preset(
        "twilio",
        "X-Twilio-Signature over the URL and the form's fields; needs public_url",
        Descriptor(
            signature_header="X-Twilio-Signature",
            signing_template="{url}{form}",
            encoding="base64",
            algorithm="hmac-sha1",
            event_name_path="MessageStatus, SmsStatus, CallStatus, EventType",
            dedup_id_path="header:I-Twilio-Idempotency-Token",
        ),
    ),
    Preset(
        "standard",
        "Standard Webhooks, as Svix and others send it: id, time and body",
        Descriptor(
            signature_header="webhook-signature, svix-signature",
            entry_separator=" ",
            kv_delimiter=",",
            signature_key="v1",
            timestamp_header="webhook-timestamp, svix-timestamp",
            signing_template="{id}.{ts}.{body}",
            encoding="base64",
            event_name_path="type",
            dedup_id_path="header:webhook-id, header:svix-id",
        ),
    ),
)
PRESETS = {preset.name: preset for preset in _ALL}
# Other names of a preset.
_ALSO = {"svix": "standard", "standard-webhooks": "standard"}


def preset_named(name: str) -> Preset:
    """Raises InvalidDescriptor."""
    found = PRESETS.get(_ALSO.get(name.lower(), name.lower()))
    if found is None:
        raise InvalidDescriptor(
            f"{name[:40]!r} is no preset; there are {', '.join(PRESETS)}. Else send a verify_config."
        )
    return found


def event_name(descriptor: Descriptor, prefix: str, payload: object, headers: Headers) -> str:
    """The event that a request is: the prefix, and what the event name path finds.

    A slash becomes a dot, of several dots one is left, and characters that no event name has become underscores. Empty
    when there is neither.
    """
    found = found_at(descriptor.event_name_path or _COMMON_NAME, payload, headers)
    if not _PLAIN.fullmatch(found):
        found = "".join("_" if each.isspace() or each in "*>" or not each.isprintable() else each for each in found)
    return ".".join(filter(None, [*prefix.split("."), *found.replace("/", ".").split(".")]))


def dedup_id(descriptor: Descriptor, payload: object, headers: Headers) -> str:
    """The provider's own id of the delivery, empty without one."""
    return found_at(descriptor.dedup_id_path or _COMMON_ID, payload, headers)


def sign_headers(
    descriptor: Descriptor,
    body: bytes,
    secret: str,
    now: Millis,
    *,
    url: str = "",
    message_id: str = "",
    form: bool = False,
) -> dict[str, str]:
    """The headers with which the provider would sign a body now; for tests and for trying a source out."""
    headers = {"content-type": "application/x-www-form-urlencoded" if form else "application/json"}
    timestamp = str(now // 1000) if "{ts}" in descriptor.template else ""
    if timestamp and descriptor.timestamp_header:
        headers[_first(descriptor.timestamp_header)] = timestamp
    if "{id}" in descriptor.template:
        by_header = [path for path in descriptor.dedup_id_path.split(",") if "header:" in path.lower()]
        headers[_first(by_header[0] if by_header else "header:webhook-id").partition(":")[2]] = message_id or "msg_test"
    header = _first(descriptor.signature_header)
    time_entry = (
        f"{descriptor.timestamp_key}{descriptor.kv_delimiter}{timestamp}{descriptor.entry_separator}"
        if descriptor.timestamp_key
        else ""
    )
    key = f"{descriptor.signature_key}{descriptor.kv_delimiter}" if descriptor.signature_key else ""
    draft = WebhookRequest(body, Headers({**headers, header: f"{time_entry}{key}x"}), url=url)
    made = signature(descriptor, presented(descriptor, draft).signed[0], secret)
    return {**headers, header: f"{time_entry}{key}{made}"}


def _first(names: str) -> str:
    return names.split(",", maxsplit=1)[0].strip()
