"""What can be asked of webhook deliveries. Source: protocol/connectrpc.md 5, protocol/rest.md 14a."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation


class WebhookDeliveryNotFound(NotFound):
    """There is no webhook delivery of that id in this environment, or its retention is over."""

    code = "WEBHOOK_DELIVERY_NOT_FOUND"


class InvalidDeliveryFilter(InvalidArgument):
    """A delivery's status is accepted, rejected or failed."""

    code = "INVALID_DELIVERY_FILTER"


class WebhookDelivery(Message, kw_only=True):
    """One request to a source.

    external_id: the provider's id of it. status: `accepted` (its event is recorded), `rejected` (not genuine) or
    `failed` (genuine, but no valid event). signature_key: `current` or `prev` secret, `none` where nothing is verified,
    or `invalid`. duplicate: its event had been recorded before. request_headers: credentials are taken out.
    body_bytes: of the whole body; in a list request_body has its first 8 KiB. replay_of, replayed_as: other deliveries.
    """

    id: Annotated[str, field(1)]
    source_id: Annotated[str, field(2)]
    external_id: Annotated[str, field(3)] = ""
    status: Annotated[str, field(4)]
    event_id: Annotated[str, field(5)] = ""
    error: Annotated[str, field(6)] = ""
    created_at: Annotated[datetime, field(7)]
    request_body: Annotated[str, field(8)] = ""
    request_headers: Annotated[Json, field(9)] | None = None
    signature_key: Annotated[str, field(10)] = "none"
    event_name: str = ""
    duplicate: bool = False
    body_bytes: int = 0
    replay_of: str = ""
    replayed_as: str = ""


class ListWebhookDeliveries(Message, kw_only=True):
    """Newest first. limit 0 means 50. offset counts from the cursor."""

    source_id: Annotated[str, field(1)] = ""
    status: Annotated[str, field(2)] = ""
    limit: Annotated[int, field(3, ge=0, le=1000)] = 0
    offset: Annotated[int, field(4, ge=0, le=10_000)] = 0
    since: datetime | None = None
    until: datetime | None = None
    cursor: str = ""


class WebhookDeliveries(Message, kw_only=True):
    """total_count: of all that pass source and status, counted up to 10000."""

    deliveries: Annotated[list[WebhookDelivery], field(1)]
    total_count: Annotated[int, field(2)]
    next_cursor: str | None = None


class GetWebhookDelivery(Message, kw_only=True):
    id: str


list_ = operation(
    "webhook_deliveries.list", ListWebhookDeliveries, WebhookDeliveries,
    rest="GET /api/v1/webhook-deliveries", rpc="WebhookService/ListWebhookDeliveries",
    spelling="both", rpc_spelling="both", scope="webhooks:read", errors=(InvalidDeliveryFilter,),
    doc="The requests to webhook sources, newest first, and what became of them.",
)  # fmt: skip
get = operation(
    "webhook_deliveries.get", GetWebhookDelivery, WebhookDelivery,
    rest="GET /api/v1/webhook-deliveries/{id}", spelling="both", scope="webhooks:read",
    errors=(WebhookDeliveryNotFound,),
    doc="One delivery with its whole body.",
)  # fmt: skip
