"""A server with webhook sources, and requests that are signed as providers sign them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ironflow.base.webhook.presets import PRESETS, sign_headers
from ironflow.features.events import contract as events
from ironflow.features.webhook_deliveries import contract as deliveries
from ironflow.features.webhook_deliveries.contract import WebhookDelivery
from ironflow.features.webhooks import contract as webhooks
from ironflow.features.webhooks.contract import WebhookSource
from tests.support.server import open_server
from tests.support.work import Work

SECRET = "s3cret"


class WebhookWork(Work):
    """A server with methods for webhooks."""

    async def a_source(self, preset: str = "github", env: str = "default", **more: Any) -> WebhookSource:
        """preset: empty for a source that verifies nothing."""
        fields = {"name": preset or "plain", "preset": preset, **({"verify_secret": SECRET} if preset else {}), **more}
        return await self.call(webhooks.create, env=env, **fields)

    async def send(
        self, source: WebhookSource, body: bytes = b'{"n": 1}', *, secret: str = SECRET, **headers: str
    ) -> httpx.Response:
        """A delivery to the source, signed as its provider does. headers: besides, with `_` for `-`."""
        signed: dict[str, str] = {}
        if source.source_type != "custom" and secret:
            descriptor = PRESETS[source.source_type].descriptor
            signed = sign_headers(descriptor, body, secret, self.now)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.post(source, body, {**signed, **more})

    async def post(
        self, source: WebhookSource, body: bytes, headers: dict[str, str], query: str = ""
    ) -> httpx.Response:
        token = source.ingest_token or ""
        async with self.http() as client:
            url = f"/api/v1/webhooks/{source.id}?token={token}{query}"
            return await client.post(url, content=body, headers=headers)

    async def deliveries(self, **filters: Any) -> list[WebhookDelivery]:
        return (await self.call(deliveries.list_, **filters)).deliveries

    async def events(self, **filters: Any) -> list[events.Event]:
        return (await self.call(events.list_, **filters)).events

    async def names(self) -> list[str]:
        """The names of all events, oldest first."""
        return [event.name for event in reversed(await self.events())]


def payload_of(event: Any) -> Any:
    return json.loads(bytes(event.data))


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[WebhookWork]:
    async with open_server(WebhookWork, database_url, public_url="https://flow.example") as opened:
        yield opened
