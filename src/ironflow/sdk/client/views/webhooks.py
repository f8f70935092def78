"""Webhook sources and their deliveries."""

from datetime import datetime
from typing import Any

from ironflow.features.webhooks.contract import WebhookVerifyConfig
from ironflow.sdk.client.views.base import View


class WebhookSource(View, kw_only=True, frozen=True):
    """A source. ingest_token: only of a new source and a new token; its repr hides it."""

    id: str
    event_prefix: str = ""
    verify_header: str = ""
    verify_algorithm: str = ""
    source_type: str = "custom"
    metadata: Any = None
    created_at: datetime
    updated_at: datetime
    verify_secret_set: bool = False
    name: str
    verify_secret_prev_set: bool = False
    verify_secret_prev_expires_at: datetime | None = None
    ingest_token_prefix: str = ""
    ingest_token: str | None = None
    verify_config: WebhookVerifyConfig | None = None
    schema_version: int = 1
    verifies: bool = False
    ingest_url: str = ""

    def __repr__(self) -> str:
        return f"<WebhookSource {self.id!r} {self.name!r}>"


class WebhookDelivery(View, kw_only=True, frozen=True):
    """One request to a source. status: accepted, rejected or failed. In a list request_body has its first 8 KiB."""

    id: str
    source_id: str
    external_id: str = ""
    status: str
    event_id: str = ""
    error: str = ""
    created_at: datetime
    request_body: str = ""
    request_headers: Any = None
    signature_key: str = "none"
    event_name: str = ""
    duplicate: bool = False
    body_bytes: int = 0
    replay_of: str = ""
    replayed_as: str = ""
