"""Answers one request to a webhook: verify, transform, emit. Framework-free; a server of any kind routes to it."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ironflow.base.errors import InvalidArgument, IronflowError, PayloadTooLarge
from ironflow.base.json import InvalidJson
from ironflow.base.webhook.request import Headers, WebhookRequest, found_at
from ironflow.sdk.user_code.call import call
from ironflow.sdk.webhooks.webhook import Webhook, WebhookEvent

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 1024 * 1024
# The provider's id of a delivery, the same when it sends one again.
_DELIVERY_ID = (
    "header:webhook-id, header:svix-id, header:x-github-delivery, header:x-shopify-webhook-id, "
    "header:i-twilio-idempotency-token, id, event_id"
)
_KEY = re.compile(r"[!-~]{1,200}")

Emit = Callable[[WebhookEvent], Awaitable[Any]]


class WebhookAnswer(NamedTuple):
    """body: a JSON object."""

    status: int
    body: dict[str, Any]


async def receive(
    webhooks: Iterable[Webhook] | Mapping[str, Webhook],
    id: str,
    method: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    emit: Emit,
    *,
    url: str = "",
) -> WebhookAnswer:
    """The answer to one request for the webhook `id`; the event is recorded when it is 200.

    emit: records the event, such as `client.webhooks.forward`; called at most once, and its answer's `event_id` is
    passed on. url: the whole URL that was called, where a signature covers it.
    404 unknown webhook, 405 not POST, 413 larger than 1 MiB, 401 not genuine, 400 no JSON, or `transform` failed or
    made no valid event, 502 the event could not be recorded: the provider sends it again.
    """
    webhook = _find(webhooks, id)
    if webhook is None:
        return _refusal(404, "WEBHOOK_NOT_FOUND", f"There is no webhook {id[:128]!r} here.")
    if method.upper() != "POST":
        return _refusal(405, "METHOD_NOT_ALLOWED", f"A webhook takes POST, not {method[:20]}.")
    if len(body) > BODY_BYTES_MAX:
        return _refusal(413, "PAYLOAD_TOO_LARGE", f"The body is {len(body)} bytes; {BODY_BYTES_MAX} is the limit.")
    request = WebhookRequest(bytes(body), Headers(headers), "POST", url)
    payload, fault = await call(webhook.verify, (request,))
    if fault is not None:
        # What the provider must not learn is in the log.
        logger.warning("webhook refused", extra={"webhook": id, "reason": str(fault)})
        return _refusal(401, "VERIFY_FAILED", "The webhook's signature was not accepted.")
    if payload is None:
        try:
            payload = request.json()
        except InvalidJson as error:
            return _refusal(400, "INVALID_JSON", error.message)
    event, fault = await call(webhook.transform, (payload,))
    if fault is not None or not isinstance(event, WebhookEvent | None):
        reason = f"it returned a {type(event).__name__}, no WebhookEvent" if fault is None else str(fault)
        logger.error("webhook transform failed", extra={"webhook": id, "reason": reason}, exc_info=fault)
        return _refusal(400, "TRANSFORM_FAILED", "The webhook could not be made into an event.")
    if event is None:
        return WebhookAnswer(200, {"status": "ignored"})
    return await _emitted(id, _with_key(id, event, request, payload), emit)


async def _emitted(id: str, event: WebhookEvent, emit: Emit) -> WebhookAnswer:
    try:
        emitted = await emit(event)
    except IronflowError as error:
        # An event that is never valid must not come again for days; everything else is the provider's to repeat.
        status = 400 if isinstance(error, InvalidArgument | PayloadTooLarge) else 502
        logger.error("webhook emit failed", extra={"webhook": id, "event_name": event.name, "reason": error.message})
        return _refusal(status, "EMIT_FAILED", "The webhook's event could not be recorded.")
    return WebhookAnswer(200, {"status": "accepted", "event_id": getattr(emitted, "event_id", "")})


def _find(webhooks: Iterable[Webhook] | Mapping[str, Webhook], id: str) -> Webhook | None:
    each_one: Iterable[Webhook] = webhooks.values() if isinstance(webhooks, Mapping) else webhooks
    return next((each for each in each_one if each.id == id), None)


def _with_key(id: str, event: WebhookEvent, request: WebhookRequest, payload: Any) -> WebhookEvent:
    """The event with a key by which a repeated delivery is known."""
    if event.idempotency_key:
        return event
    found = found_at(_DELIVERY_ID, payload, request.headers)
    if not found:
        return event
    kept = found if _KEY.fullmatch(found) else hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
    return replace(event, idempotency_key=f"{id[:50]}:{kept}")


def _refusal(status: int, code: str, message: str) -> WebhookAnswer:
    return WebhookAnswer(status, {"error": {"message": message, "code": code}})
