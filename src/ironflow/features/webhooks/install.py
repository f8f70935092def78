"""Puts the feature into a server."""

from ironflow.features.events.in_tx import Emitter
from ironflow.features.limits.service import Limiter
from ironflow.features.parts import Metric, Parts
from ironflow.features.secrets.in_tx import Vault
from ironflow.features.webhooks.ingesting import Ingestion
from ironflow.features.webhooks.known import KnownSources
from ironflow.features.webhooks.service import Webhooks


def install(parts: Parts) -> None:
    vault = parts.need(Vault)
    webhooks = Webhooks(
        parts.db,
        KnownSources(parts.db, vault, parts.notifier),
        vault,
        Ingestion(parts.need(Emitter), parts.ids, parts.settings.event_bytes_max),
        parts.ids,
        parts.need(Limiter),
        public_url=parts.settings.public_url,
        grace_hours=parts.settings.webhook_secret_grace_hours_default,
    )
    parts.bind(webhooks.handlers())
    parts.metrics.append(
        Metric(
            "ironflow_webhook_deliveries",
            "Requests with a valid ingest token since the start; a duplicate is accepted too.",
            "counter",
            ("status",),
            read=lambda: webhooks.counts,
        )
    )
