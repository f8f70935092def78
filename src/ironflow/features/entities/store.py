"""What is remembered of entities: the newest state of each, and the one that its run began with.

A row is the fold of its entity's stream. What the stream has beyond it, as after an import, is read there.
"""

from collections.abc import Iterable

from ironflow.base.entity_streams import parts_of, state_event, streams_of
from ironflow.engine.model import Run
from ironflow.features.entities.rules import StateRow
from ironflow.storage.port import Params, Tx

_FIELDS = StateRow._fields
_LOOK = f"""SELECT s.entity_id, s.version, s.deleted_at, {", ".join(f"e.{name}" for name in _FIELDS)}
FROM streams s LEFT JOIN entity_states e ON e.environment = s.environment AND e.entity_id = s.entity_id
WHERE s.environment = :environment"""
STATES = f"{_LOOK} AND s.entity_id IN {{each:ids}} ORDER BY s.entity_id"
PAGE = f"{_LOOK} AND s.entity_id > :cursor AND s.entity_id < :last ORDER BY s.entity_id LIMIT :limit"
IS_KEPT = "SELECT 1 FROM entity_states WHERE environment = :environment AND entity_id = :entity_id"
SAVE = f"""INSERT INTO entity_states (environment, {", ".join(_FIELDS)})
VALUES (:environment, {", ".join(f":{name}" for name in _FIELDS)})
ON CONFLICT (environment, entity_id) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in _FIELDS if name != "entity_id")}"""
_ONE = "environment = :environment AND entity_id = :entity_id"
DELETE = f"DELETE FROM entity_states WHERE {_ONE}"
REDACT = f"UPDATE entity_states SET state = :state WHERE {_ONE} AND version = :version"
REDACT_BASE = f"UPDATE entity_states SET base = :state WHERE {_ONE} AND base_version = :version"
BEGIN_AGAIN = f"UPDATE entity_states SET number = 0 WHERE {_ONE} AND run_id = :run_id"
LATER = f"""SELECT data, entity_version, run_id, created_at FROM events
WHERE {_ONE} AND entity_version > :version AND name = :name ORDER BY entity_version DESC LIMIT 1"""


def states(tx: Tx, environment: str, entity_ids: Iterable[str]) -> dict[str, StateRow]:
    """By the ids of their streams; entities without a state, and deleted ones, are left out."""
    wanted = list(dict.fromkeys(entity_ids))
    return _of(tx, environment, STATES, {"ids": wanted})[0]


def page(tx: Tx, environment: str, entity: str, cursor: str, limit: int) -> tuple[list[StateRow], str | None]:
    """Entities by stream id, after the cursor, which is one. Also the cursor to go on from, None at the end."""
    first, last = streams_of(entity)
    params: Params = {"cursor": max(cursor, first), "last": last, "limit": limit}
    found, looked_to = _of(tx, environment, PAGE, params)
    return list(found.values()), looked_to[-1] if len(looked_to) == limit else None


def _of(tx: Tx, environment: str, sql: str, params: Params) -> tuple[dict[str, StateRow], list[str]]:
    """The states, and the ids of all streams that were looked at."""
    found: dict[str, StateRow] = {}
    looked_at: list[str] = []
    for entity_id, version, deleted_at, *rest in tx.rows(sql, {"environment": environment, **params}):
        looked_at.append(entity_id)
        if deleted_at is not None:
            continue
        row = StateRow(*rest) if rest[0] is not None else None
        if row is None or row.version < version:
            row = _later(tx, environment, entity_id, row)
        if row is not None:
            found[entity_id] = row
    return found, looked_at


def _later(tx: Tx, environment: str, entity_id: str, row: StateRow | None) -> StateRow | None:
    """The state that the stream has beyond the row; the row where it has none."""
    params: Params = {"environment": environment, "entity_id": entity_id}
    params |= {"version": row.version if row is not None else 0, "name": state_event(parts_of(entity_id)[0])}
    event = tx.row(LATER, params)
    if event is None:
        return row
    state, version, run_id, updated_at = event
    return StateRow(entity_id, state, version, run_id, 0, None, 0, updated_at)


def is_kept(tx: Tx, environment: str, entity_id: str) -> bool:
    """Whether a handler has set a state of the entity."""
    return tx.row(IS_KEPT, {"environment": environment, "entity_id": entity_id}) is not None


def save(tx: Tx, rows: Iterable[tuple[str, StateRow]]) -> None:
    """Rows with their environments."""
    tx.many(SAVE, [{"environment": environment, **row._asdict()} for environment, row in rows])


def delete(tx: Tx, environment: str, entity_id: str) -> None:
    tx.run(DELETE, {"environment": environment, "entity_id": entity_id})


def begin_again(tx: Tx, run: Run) -> None:
    """A run has dropped recorded steps: what it changes from now on is new, whatever its number."""
    if run.entity is not None:
        tx.run(BEGIN_AGAIN, {"environment": run.environment, "entity_id": run.entity, "run_id": run.id})


def redact(tx: Tx, environment: str, entity_id: str, version: int, state: str) -> None:
    """Replaces the state that the event of this version brought, where it is kept."""
    params: Params = {"environment": environment, "entity_id": entity_id, "version": version, "state": state}
    tx.run(REDACT, params)
    tx.run(REDACT_BASE, params)
