"""Records for the tests of the log."""

from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.log.scan import EVERYTHING, scan
from ironflow.storage.port import Tx


def record(id: str, **more: object) -> Record:
    """An event as a user would emit it."""
    fields = {"environment": "default", "kind": "event", "name": "order.placed", "data": "{}", "created_at": 1, **more}
    return Record(id=id, **fields)  # pyright: ignore[reportArgumentType]


def everything_after(tx: Tx, position: int, limit: int) -> list[Record]:
    """Up to `limit` records after `position`, in order."""
    return scan(tx, EVERYTHING, position, head(tx), limit).items
