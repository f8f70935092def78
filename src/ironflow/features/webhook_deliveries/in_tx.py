"""What webhook sources do with deliveries inside their own transactions."""

from ironflow.features.webhook_deliveries.rules import STATUSES as STATUSES
from ironflow.features.webhook_deliveries.rules import DeliveryRow as DeliveryRow
from ironflow.features.webhook_deliveries.rules import kept_headers as kept_headers
from ironflow.features.webhook_deliveries.rules import statuses_of as statuses_of
from ironflow.features.webhook_deliveries.store import add as add
from ironflow.features.webhook_deliveries.store import delivery as delivery
from ironflow.features.webhook_deliveries.store import mark_replayed as mark_replayed
from ironflow.features.webhook_deliveries.store import not_replayed as not_replayed
