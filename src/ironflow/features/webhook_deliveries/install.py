"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.webhook_deliveries.loops import PurgeDeliveries
from ironflow.features.webhook_deliveries.service import WebhookDeliveryLog


def install(parts: Parts) -> None:
    parts.bind(WebhookDeliveryLog(parts.db).handlers())
    parts.loops.append(PurgeDeliveries(parts.db, parts.settings.webhook_delivery_retention_days))
