"""Webhooks that a program receives itself: `from ironflow.webhooks import Webhook, WebhookEvent, verify_with`.

`serve(webhooks=[...])` routes to them; `receive` answers one request where no `serve` is at hand.
"""

from ironflow.base.webhook.descriptor import Descriptor, InvalidDescriptor
from ironflow.base.webhook.presets import sign_headers
from ironflow.base.webhook.request import Headers, WebhookRequest
from ironflow.sdk.webhooks.receiving import WebhookAnswer, receive
from ironflow.sdk.webhooks.webhook import Webhook, WebhookEvent, verify_with

__all__ = [
    "Descriptor",
    "Headers",
    "InvalidDescriptor",
    "Webhook",
    "WebhookAnswer",
    "WebhookEvent",
    "WebhookRequest",
    "receive",
    "sign_headers",
    "verify_with",
]
