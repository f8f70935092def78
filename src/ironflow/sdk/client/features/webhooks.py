"""`client.webhooks`: sources at which other systems deliver events, and their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.webhook.descriptor import Descriptor
from ironflow.features.events import contract as events_contract
from ironflow.features.webhook_deliveries import contract as deliveries_contract
from ironflow.features.webhooks import contract
from ironflow.features.webhooks.contract import WebhookIngested, WebhooksReplayed, WebhookVerifyTested
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.views import Emitted, WebhookDelivery, WebhookSource, view
from ironflow.sdk.values.payload import to_payload
from ironflow.sdk.webhooks.webhook import WebhookEvent, emit_of
from ironflow.sdk.wire.operations import read_answer

SEND_S = 30.0


class Webhooks:
    """Webhook sources. Secrets are never returned; a token is in the answers of `create` and `rotate_token` only."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self,
        name: str,
        *,
        preset: str = "",
        secret: str = "",
        event_prefix: str = "",
        verify: Descriptor | None = None,
        metadata: Mapping[str, Any] | None = None,
        schema_version: int = 1,
        id: str = "",
    ) -> WebhookSource:
        """A new source, with its ingest token.

        preset: github, stripe, slack, shopify, twilio or standard. verify: how others sign. secret: that they sign
        with. event_prefix: before the names of its events. id: to choose it.
        Raises InvalidWebhookSource, InvalidDescriptor, WebhookSourceExists, MasterKeyMissing.
        """
        request = contract.CreateWebhookSource(
            id=id,
            name=name,
            preset=preset,
            verify_secret=secret,
            event_prefix=event_prefix,
            verify_config=_config(verify),
            metadata=_metadata(metadata),
            schema_version=schema_version,
        )
        return view(WebhookSource, await self._calls.call(contract.create, request))

    def list(self, *, page_size: int = 100) -> Listing[WebhookSource]:
        """Every source of the environment by id."""
        return Listing(
            self._calls,
            contract.list_,
            contract.ListWebhookSources(limit=page_size),
            lambda page: [view(WebhookSource, each) for each in page.sources],
        )

    async def get(self, source_id: str) -> WebhookSource:
        """One source. Raises WebhookSourceNotFound."""
        return view(WebhookSource, await self._calls.call(contract.get, contract.NamedWebhookSource(id=source_id)))

    async def update(
        self,
        source_id: str,
        *,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        verify: Descriptor | None = None,
        schema_version: int = 0,
        expected_updated_at: datetime | None = None,
    ) -> WebhookSource:
        """Replaces name and metadata; the others where they are given.

        expected_updated_at: of the source that was read; raises WebhookSourceChanged when another change came first.
        """
        request = contract.UpdateWebhookSource(
            id=source_id,
            name=name,
            metadata=_metadata(metadata),
            verify_config=_config(verify),
            schema_version=schema_version,
            expected_updated_at=expected_updated_at,
        )
        return view(WebhookSource, await self._calls.call(contract.update, request))

    async def delete(self, source_id: str) -> None:
        """Deletes a source at once; its deliveries are kept for their retention. Raises WebhookSourceNotFound."""
        await self._calls.call(contract.delete, contract.NamedWebhookSource(id=source_id))

    async def rotate_secret(self, source_id: str, secret: str, *, grace: Duration | None = None) -> WebhookSource:
        """Replaces the signing secret. grace: for so long the old one is accepted too; None for the server's 24 h."""
        grace_s = None if grace is None else duration_ms(grace) // 1000
        request = contract.RotateWebhookSecret(id=source_id, verify_secret=secret, grace_seconds=grace_s)
        return view(WebhookSource, await self._calls.call(contract.rotate_secret, request))

    async def expire_previous_secret(self, source_id: str) -> WebhookSource:
        """Ends the grace of the previous secret."""
        request = contract.ChangeWebhookSource(id=source_id)
        return view(WebhookSource, await self._calls.call(contract.expire_previous, request))

    async def disable_verification(self, source_id: str) -> WebhookSource:
        """Accepts requests without a signature: the ingest token alone protects the source."""
        request = contract.DisableWebhookVerification(id=source_id)
        return view(WebhookSource, await self._calls.call(contract.disable_verification, request))

    async def rotate_token(self, source_id: str) -> WebhookSource:
        """Replaces the ingest token at once; the new one is in the answer."""
        request = contract.ChangeWebhookSource(id=source_id)
        return view(WebhookSource, await self._calls.call(contract.rotate_token, request))

    async def test(
        self,
        body: bytes | str,
        headers: Mapping[str, str],
        *,
        source_id: str = "",
        preset: str = "",
        verify: Descriptor | None = None,
        secret: str = "",
    ) -> WebhookVerifyTested:
        """A dry run: whether a request would be accepted, the text that was signed, and the event that it would be."""
        request = contract.TestWebhookVerifyConfig(
            body=body if isinstance(body, str) else body.decode(),
            headers=dict(headers),
            source_id=source_id,
            preset=preset,
            verify_config=_config(verify),
            verify_secret=secret,
        )
        return await self._calls.call(contract.test, request)

    async def send(
        self, source_id: str, token: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> WebhookIngested:
        """Delivers a body to a source, as a provider does. Raises what the server refuses it with."""
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
        path = contract.ingest.rest[0].path.replace("{source}", source_id)
        answer = await self._calls.transport.request("POST", path, sent, body, SEND_S)
        return read_answer(contract.ingest, answer)

    def deliveries(
        self,
        *,
        source_id: str = "",
        status: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 50,
    ) -> Listing[WebhookDelivery]:
        """Deliveries, newest first. status: accepted, rejected or failed."""
        request = deliveries_contract.ListWebhookDeliveries(
            source_id=source_id, status=status, since=since, until=until, limit=page_size
        )
        return Listing(
            self._calls,
            deliveries_contract.list_,
            request,
            lambda page: [view(WebhookDelivery, each) for each in page.deliveries],
        )

    async def delivery(self, delivery_id: str) -> WebhookDelivery:
        """One delivery with its whole body. Raises WebhookDeliveryNotFound."""
        request = deliveries_contract.GetWebhookDelivery(id=delivery_id)
        return view(WebhookDelivery, await self._calls.call(deliveries_contract.get, request))

    async def replay(
        self,
        ids: Sequence[str] = (),
        *,
        source_id: str = "",
        status: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> WebhooksReplayed:
        """Makes deliveries again: those of `ids`, or of a source with a status that were not replayed.

        Of an accepted one there is a new event; a rejected one is verified with the source's secrets of now.
        next_cursor: there are more. Raises WebhookDeliveryNotFound, WebhookSourceNotFound, InvalidDeliveryFilter.
        """
        request = contract.ReplayWebhookDeliveries(
            ids=[*ids], source_id=source_id, status=status, since=since, until=until, limit=limit, cursor=cursor
        )
        return await self._calls.call(contract.replay, request)

    async def forward(self, event: WebhookEvent) -> Emitted:
        """Records the event of a webhook that this program received; its source is `webhook`."""
        data = to_payload(event.data, f"the data of event {event.name!r}")
        metadata = None if event.metadata is None else to_payload(event.metadata, "the metadata")
        return view(Emitted, await self._calls.call(events_contract.emit, emit_of(event, data, metadata)))


def _config(verify: Descriptor | None) -> contract.WebhookVerifyConfig | None:
    return None if verify is None else contract.WebhookVerifyConfig(**msgspec.structs.asdict(verify))


def _metadata(metadata: Mapping[str, Any] | None) -> msgspec.Raw | None:
    return None if metadata is None else to_payload(metadata, "the source's metadata")
