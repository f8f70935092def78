"""Reading the log by names: for followers of a few names in a long log."""

from collections.abc import Sequence

from ironflow.log.read import COLUMNS
from ironflow.log.record import Record
from ironflow.storage.port import Tx

AT = f"SELECT {COLUMNS} FROM events WHERE position = :position"
# One index range for each name.
OF_NAME_AFTER = f"""SELECT {COLUMNS} FROM events WHERE environment = :environment AND name = :name
 AND position > :position AND position <= :until AND kind IN ('event', 'entity') ORDER BY position LIMIT :limit"""


def record_at(tx: Tx, position: int) -> Record | None:
    """The record at `position`; None when there is none, or none any more."""
    row = tx.row(AT, {"position": position})
    return Record(*row) if row else None


def of_names_after(
    tx: Tx, environment: str, names: Sequence[str], position: int, until: int, limit: int
) -> tuple[list[Record], int]:
    """Events of users and streams with one of these names after `position`, in order, and how far that has looked.

    Up to `limit` of them, and not after `until`, which is answered when there are no more before it.
    """
    found: list[Record] = []
    for name in names:
        params = {"environment": environment, "name": name, "position": position, "until": until, "limit": limit}
        rows = [Record(*row) for row in tx.rows(OF_NAME_AFTER, params)]
        if len(rows) == limit:
            # Of this name there may be more; nothing behind its last one is complete.
            until = rows[-1].position
        found += rows
    found = sorted((each for each in found if each.position <= until), key=lambda each: each.position)
    if len(found) > limit:
        found = found[:limit]
        until = found[-1].position
    return found, until
