"""What is remembered of webhook sources."""

from msgspec.structs import asdict

from ironflow.features.webhooks.rules import SourceRow
from ironflow.storage.port import Tx

_FIELDS = SourceRow.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)
_CHANGED = ", ".join(f"{name} = :{name}" for name in _FIELDS if name not in ("id", "environment", "created_at"))
INSERT = f"""INSERT INTO webhook_sources ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in _FIELDS)})
ON CONFLICT (id) DO NOTHING"""
ONE = f"SELECT {_COLUMNS} FROM webhook_sources WHERE id = :id"
ONE_TO_CHANGE = ONE + " {for_update}"
SAVE = f"UPDATE webhook_sources SET {_CHANGED} WHERE id = :id"
DELETE = "DELETE FROM webhook_sources WHERE id = :id AND environment = :environment"
AFTER = f"""SELECT {_COLUMNS} FROM webhook_sources WHERE environment = :environment AND id > :cursor
ORDER BY id LIMIT :limit OFFSET :offset"""
COUNT = "SELECT count(*) FROM webhook_sources WHERE environment = :environment"


def add(tx: Tx, source: SourceRow) -> bool:
    """Whether the id was free."""
    return tx.run(INSERT, asdict(source)) == 1


def source(tx: Tx, source_id: str, *, to_change: bool = False) -> SourceRow | None:
    """The source of that id in any environment: an ingest URL names none."""
    row = tx.row(ONE_TO_CHANGE if to_change else ONE, {"id": source_id})
    return SourceRow(*row) if row else None


def save(tx: Tx, source: SourceRow) -> None:
    tx.run(SAVE, asdict(source))


def delete(tx: Tx, environment: str, source_id: str) -> bool:
    return tx.run(DELETE, {"id": source_id, "environment": environment}) == 1


def page(tx: Tx, environment: str, cursor: str, limit: int, offset: int) -> list[SourceRow]:
    """By id, after `cursor`."""
    params = {"environment": environment, "cursor": cursor, "limit": limit, "offset": offset}
    return [SourceRow(*row) for row in tx.rows(AFTER, params)]


def count(tx: Tx, environment: str) -> int:
    row = tx.row(COUNT, {"environment": environment})
    return row[0] if row else 0
