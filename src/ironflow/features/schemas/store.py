"""What is remembered of schemas: one row for each event name and version."""

from ironflow.features.schemas.rules import SchemaRow
from ironflow.storage.port import Tx

_COLUMNS = "environment, event_name, version, schema_json, digest, description, created_at, updated_at"

ONE = f"""SELECT {_COLUMNS} FROM event_schemas
WHERE environment = :environment AND event_name = :event_name AND version = :version"""
ONE_TO_CHANGE = ONE + " {for_update}"
LATEST = f"""SELECT {_COLUMNS} FROM event_schemas
WHERE environment = :environment AND event_name = :event_name ORDER BY version DESC LIMIT 1"""
SAVE = f"""INSERT INTO event_schemas ({_COLUMNS})
VALUES (:environment, :event_name, :version, :schema_json, :digest, :description, :created_at, :updated_at)
ON CONFLICT (environment, event_name, version) DO UPDATE SET schema_json = excluded.schema_json,
 digest = excluded.digest, description = excluded.description, updated_at = excluded.updated_at"""
DELETE = """DELETE FROM event_schemas
WHERE environment = :environment AND event_name = :event_name AND version = :version"""
AFTER = f"""SELECT {_COLUMNS} FROM event_schemas
WHERE environment = :environment AND (event_name, version) > (:after_name, :after_version)
 AND (:every = 1 OR event_name IN {{each:names}}) ORDER BY event_name, version LIMIT :limit OFFSET :offset"""
COUNT = """SELECT count(*) FROM event_schemas
WHERE environment = :environment AND (:every = 1 OR event_name IN {each:names})"""
NAMES = "SELECT DISTINCT event_name FROM event_schemas WHERE environment = :environment"
# Each found by the primary key; a few more than wanted where environments and names are mixed.
DIGESTS = """SELECT environment, event_name, version, digest FROM event_schemas
WHERE environment IN {each:environments} AND event_name IN {each:names} AND version >= :least AND version <= :most"""

# (environment, event name, version)
Place = tuple[str, str, int]


def schema(tx: Tx, place: Place, *, to_change: bool = False) -> SchemaRow | None:
    """The schema of an event's version; version 0: of the latest."""
    environment, event_name, version = place
    sql = (ONE_TO_CHANGE if to_change else ONE) if version else LATEST
    row = tx.row(sql, {"environment": environment, "event_name": event_name, "version": version})
    return SchemaRow(*row) if row else None


def save(tx: Tx, row: SchemaRow) -> None:
    tx.run(SAVE, {name: getattr(row, name) for name in SchemaRow.__slots__})


def delete(tx: Tx, place: Place) -> bool:
    environment, event_name, version = place
    return tx.run(DELETE, {"environment": environment, "event_name": event_name, "version": version}) == 1


def names(tx: Tx, environment: str) -> list[str]:
    return [row[0] for row in tx.rows(NAMES, {"environment": environment})]


def page(
    tx: Tx, environment: str, wanted: list[str] | None, after: tuple[str, int], limit: int, offset: int
) -> list[SchemaRow]:
    """Schemas by name and version. wanted: names, None for all."""
    params = {"environment": environment, "every": int(wanted is None), "names": wanted or [], "limit": limit}
    rows = tx.rows(AFTER, {**params, "after_name": after[0], "after_version": after[1], "offset": offset})
    return [SchemaRow(*row) for row in rows]


def count(tx: Tx, environment: str, wanted: list[str] | None) -> int:
    row = tx.row(COUNT, {"environment": environment, "every": int(wanted is None), "names": wanted or []})
    return row[0] if row else 0


def digests(tx: Tx, places: set[Place]) -> dict[Place, str]:
    """The digests of the schemas that these events have; those without one are left out."""
    versions = [version for _, _, version in places]
    params = {
        "environments": sorted({environment for environment, _, _ in places}),
        "names": sorted({name for _, name, _ in places}),
        "least": min(versions),
        "most": max(versions),
    }
    found = {(row[0], row[1], row[2]): row[3] for row in tx.rows(DIGESTS, params)}
    return {place: found[place] for place in places if place in found}
