"""A webhook of a program: how a request is verified, and which event it becomes.

github = Webhook("github", verify=verify_with("github", secret), transform=to_event)
app = serve([...], webhooks=[github])      # POST …/webhooks/github
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ironflow.base.errors import ValidationError
from ironflow.base.signature import SignatureError
from ironflow.base.webhook.descriptor import Descriptor, check_age, check_descriptor, matching_key, presented
from ironflow.base.webhook.presets import preset_named
from ironflow.base.webhook.request import WebhookRequest
from ironflow.features.events.contract import Emit

_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """The event that a webhook becomes.

    idempotency_key: events with the same key within 7 days are one. When it is empty, the provider's id of the delivery
    is taken, from its header or from `id` or `event_id` of the payload; without one every delivery is an event.
    """

    name: str
    data: Any = None
    idempotency_key: str = ""
    metadata: Mapping[str, Any] | None = None
    version: int = 1


Verify = Callable[[WebhookRequest], Any]
Transform = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook at `…/webhooks/<id>`.

    verify: raises for a request that is not genuine; what it returns is what `transform` receives, None stands for the
    body as JSON. transform: returns the WebhookEvent, or None when the request is no event. Both may be async; plain
    functions run in a thread.
    Raises ValidationError for an id that cannot be in a URL.
    """

    id: str
    verify: Verify
    transform: Transform

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValidationError(
                f"{self.id[:60]!r} is no webhook id: write 1 to 128 letters, digits, `_`, `-` or `.`."
            )


def verify_with(
    how: str | Descriptor, secret: str, *previous: str, now: Callable[[], float] = time.time
) -> Callable[[WebhookRequest], None]:
    """A `verify` for a known provider (github, stripe, slack, shopify, twilio, standard) or a Descriptor.

    previous: older secrets that are accepted too. now: unix seconds.
    Raises InvalidDescriptor, ValidationError without a secret; the function raises SignatureError.
    """
    descriptor = how if isinstance(how, Descriptor) else preset_named(how).descriptor
    check_descriptor(descriptor)
    secrets = (secret, *previous)
    if not all(secrets):
        raise ValidationError("a webhook's secret is not empty; give the one that the provider signs with.")

    def verify(request: WebhookRequest) -> None:
        found = presented(descriptor, request)
        if matching_key(descriptor, found, secrets) is None:
            raise SignatureError("No signature of the request was made with this webhook's secret.")
        check_age(descriptor, found.timestamp, int(now() * 1000))

    return verify


def emit_of(event: WebhookEvent, data: Any, metadata: Any) -> Emit:
    """The request that records the event. data, metadata: as JSON."""
    return Emit(
        event=event.name,
        data=data,
        idempotency_key=event.idempotency_key,
        metadata=metadata,
        version=event.version,
        source="webhook",
    )
