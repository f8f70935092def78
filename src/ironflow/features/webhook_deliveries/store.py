"""What is remembered of deliveries: one row for each request of a token's holder."""

import heapq
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import asdict

from ironflow.features.webhook_deliveries.rules import DeliveryRow
from ironflow.storage.port import Tx

# A list shows this much of each body.
BODY_SHOWN_BYTES = 8 * 1024
COUNTED_MAX = 10_000
# After every id there is.
LAST = "~"

_FIELDS = DeliveryRow.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)
_SHOWN = _COLUMNS.replace(" body,", " substr(body, 1, :shown),")
INSERT = f"INSERT INTO webhook_deliveries ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in _FIELDS)})"
ONE = f"SELECT {_COLUMNS} FROM webhook_deliveries WHERE id = :id AND environment = :environment"
ONE_TO_CHANGE = ONE + " {for_update}"
_OF_ENVIRONMENT = "environment = :environment AND status = :status"
_OF_SOURCE = "source_id = :source_id AND status = :status AND environment = :environment"
_PAGE = f"""SELECT {_SHOWN} FROM webhook_deliveries WHERE {{of}} AND id < :before AND id >= :first
ORDER BY id DESC LIMIT :limit"""
PAGE = _PAGE.replace("{of}", _OF_ENVIRONMENT)
PAGE_OF_SOURCE = _PAGE.replace("{of}", _OF_SOURCE)
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE {of} LIMIT :limit) AS found"
COUNT = _COUNT.replace("{of}", _OF_ENVIRONMENT)
COUNT_OF_SOURCE = _COUNT.replace("{of}", _OF_SOURCE)
NOT_REPLAYED = """SELECT id FROM webhook_deliveries
WHERE source_id = :source_id AND status = :status AND environment = :environment AND id > :after AND id < :before
 AND replayed_as = '' AND replay_of = '' ORDER BY id LIMIT :limit"""
MARK_REPLAYED = "UPDATE webhook_deliveries SET replayed_as = :replayed_as WHERE id = :id"
DELETE_OLD = """DELETE FROM webhook_deliveries WHERE id IN
(SELECT id FROM webhook_deliveries WHERE id < :before ORDER BY id LIMIT :limit)"""


def add(tx: Tx, deliveries: Sequence[DeliveryRow]) -> None:
    tx.many(INSERT, [asdict(delivery) for delivery in deliveries])


def delivery(tx: Tx, environment: str, delivery_id: str, *, to_change: bool = False) -> DeliveryRow | None:
    row = tx.row(ONE_TO_CHANGE if to_change else ONE, {"id": delivery_id, "environment": environment})
    return DeliveryRow(*row) if row else None


def page(
    tx: Tx, environment: str, source_id: str, statuses: Sequence[str], bounds: tuple[str, str], limit: int, offset: int
) -> list[DeliveryRow]:
    """Newest first, bodies cut. source_id: empty for all. bounds: (first id, id before which).

    Each status is read by its own index and merged, so a rare one is found as fast as a frequent one.
    """
    sql = PAGE_OF_SOURCE if source_id else PAGE
    params = {"environment": environment, "source_id": source_id, "first": bounds[0], "before": bounds[1]}
    parts = [
        [
            DeliveryRow(*row)
            for row in tx.rows(sql, {**params, "status": each, "limit": limit + offset, "shown": BODY_SHOWN_BYTES})
        ]
        for each in statuses
    ]
    merged = heapq.merge(*parts, key=_id, reverse=True)
    return list(islice(merged, offset, offset + limit))


def count(tx: Tx, environment: str, source_id: str, statuses: Sequence[str]) -> int:
    """Up to COUNTED_MAX."""
    sql, left = COUNT_OF_SOURCE if source_id else COUNT, COUNTED_MAX
    for each in statuses:
        params = {"environment": environment, "source_id": source_id, "status": each, "limit": left}
        row = tx.row(sql, params)
        left -= row[0] if row else 0
    return COUNTED_MAX - left


def not_replayed(
    tx: Tx, environment: str, source_id: str, status: str, bounds: tuple[str, str], limit: int
) -> list[str]:
    """Ids of deliveries that were not replayed and are no replays, oldest first. bounds: (after, before)."""
    params = {"environment": environment, "source_id": source_id, "status": status, "limit": limit}
    return [row[0] for row in tx.rows(NOT_REPLAYED, {**params, "after": bounds[0], "before": bounds[1]})]


def mark_replayed(tx: Tx, delivery_id: str, replayed_as: str) -> None:
    tx.run(MARK_REPLAYED, {"id": delivery_id, "replayed_as": replayed_as})


def delete_before(tx: Tx, before: str, limit: int) -> int:
    """Deletes up to `limit` deliveries whose id is less; how many."""
    return tx.run(DELETE_OLD, {"before": before, "limit": limit})


def _id(row: DeliveryRow) -> str:
    return row.id
