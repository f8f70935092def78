"""What happens: one method for each operation of the feature."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import first_id_at
from ironflow.base.time import to_millis
from ironflow.features.webhook_deliveries import contract, rules, store
from ironflow.storage.port import Database, Tx

LIMIT_DEFAULT = 50


class WebhookDeliveryLog:
    """The kept deliveries of one server."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list_, contract.get: self.get}

    async def list_(self, call: Call, request: contract.ListWebhookDeliveries) -> contract.WebhookDeliveries:
        statuses = rules.statuses_of(request.status)
        limit = request.limit or LIMIT_DEFAULT
        first = first_id_at("whd", to_millis(request.since)) if request.since else ""
        before = first_id_at("whd", to_millis(request.until)) if request.until else store.LAST
        before = min(before, request.cursor) if request.cursor else before

        def look(tx: Tx) -> contract.WebhookDeliveries:
            place = (tx, call.environment, request.source_id, statuses)
            found = store.page(*place, (first, before), limit + 1, request.offset)
            page = found[:limit]
            return contract.WebhookDeliveries(
                deliveries=[rules.message_of(row) for row in page],
                total_count=store.count(*place),
                next_cursor=page[-1].id if len(found) > limit else None,
            )

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.GetWebhookDelivery) -> contract.WebhookDelivery:
        row = await self._db.read(lambda tx: store.delivery(tx, call.environment, request.id))
        if row is None:
            raise contract.WebhookDeliveryNotFound(
                f"There is no webhook delivery {request.id[:80]!r} in environment {call.environment!r}, "
                "or its retention is over."
            )
        return rules.message_of(row)
