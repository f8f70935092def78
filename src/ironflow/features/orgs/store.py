"""What is remembered of organisations."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

DEFAULT_ID = "org_default"


class OrgRow(NamedTuple):
    """timezone: its default time zone, empty for none."""

    id: str
    name: str
    timezone: str
    created_at: Millis
    updated_at: Millis


_COLUMNS = ", ".join(OrgRow._fields)
INSERT = f"INSERT INTO orgs ({_COLUMNS}) VALUES (:id, :name, :timezone, :created_at, :updated_at)"
ONE = f"SELECT {_COLUMNS} FROM orgs WHERE id = :id"
AFTER = f"SELECT {_COLUMNS} FROM orgs WHERE id > :cursor ORDER BY id LIMIT :limit"
SAVE = "UPDATE orgs SET name = :name, timezone = :timezone, updated_at = :updated_at WHERE id = :id"
DELETE = "DELETE FROM orgs WHERE id = :id"


def add(tx: Tx, org: OrgRow) -> None:
    tx.run(INSERT, org._asdict())


def org(tx: Tx, org_id: str, *, to_write: bool = False) -> OrgRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": org_id})
    return OrgRow(*row) if row else None


def orgs_after(tx: Tx, cursor: str, limit: int) -> list[OrgRow]:
    """By id, after `cursor`."""
    return [OrgRow(*row) for row in tx.rows(AFTER, {"cursor": cursor, "limit": limit})]


def save(tx: Tx, org: OrgRow) -> None:
    tx.run(SAVE, org._asdict())


def delete(tx: Tx, org_id: str) -> None:
    tx.run(DELETE, {"id": org_id})
