"""What is remembered of redactions: who did it, when and why. The payloads themselves are nowhere any more."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx


class Row(NamedTuple):
    id: str
    environment: str
    target: str
    target_id: str
    actor: str
    reason: str
    payloads: int
    at: Millis


_COLUMNS = ", ".join(Row._fields)
ADD = f"""INSERT INTO redactions ({_COLUMNS})
VALUES (:id, :environment, :target, :target_id, :actor, :reason, :payloads, :at)"""
_BEFORE = "environment = :environment AND (:cursor = '' OR id < :cursor) ORDER BY id DESC LIMIT :limit"
BEFORE = f"SELECT {_COLUMNS} FROM redactions WHERE {_BEFORE}"
BEFORE_OF_TARGET = f"SELECT {_COLUMNS} FROM redactions WHERE target_id = :target_id AND {_BEFORE}"


def add(tx: Tx, row: Row) -> None:
    tx.run(ADD, row._asdict())


def before(tx: Tx, environment: str, target_id: str, cursor: str, limit: int) -> list[Row]:
    """Redactions before `cursor`, newest first. target_id: empty for all."""
    params = {"environment": environment, "target_id": target_id, "cursor": cursor, "limit": limit}
    return [Row(*row) for row in tx.rows(BEFORE_OF_TARGET if target_id else BEFORE, params)]
