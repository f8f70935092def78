"""What is remembered of projections, their states and their rebuilds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ironflow.base.time import Millis
from ironflow.features.projections.rules import ProjectionRow, RebuildRow
from ironflow.storage.port import Row, Tx

_FIELDS = (
    "environment, name, mode, version, events, partition_key, description, paused, generation, cursor, "
    "rebuild_id, sent_up_to, error_message, tries_position, tries, retry_at, lease_token, lease_epoch, "
    "lease_ends_at, implicit_lease, implicit_lease_ends_at, created_at, updated_at, without_key, feeds_both"
)
_REBUILD = (
    "id, environment, name, generation, status, partition_key, from_event_id, to_event_id, start_position, target, "
    "cursor, events_total, events_done, error, started_at, ended_at, without_key"
)
_STATE = "partition_key, position, state, event_id, event_at, version, kept_at, saved_at"
# Columns with an older name than their field.
_COLUMN = {"generation": "side", "implicit_lease": "seat", "implicit_lease_ends_at": "seat_ends_at"}


def _columns(names: str) -> str:
    return ", ".join(_COLUMN.get(name, name) for name in names.split(", "))


def _values(names: str) -> str:
    return ", ".join(f":{name}" for name in names.split(", "))


def _set(names: str, without: Sequence[str]) -> str:
    return ", ".join(f"{_COLUMN.get(name, name)} = :{name}" for name in names.split(", ") if name not in without)


INSERT = f"""INSERT INTO projections ({_columns(_FIELDS)}) VALUES ({_values(_FIELDS)})
ON CONFLICT (environment, name) DO NOTHING"""
BY_NAME = f"SELECT {_columns(_FIELDS)} FROM projections WHERE environment = :environment AND name = :name"
BY_NAME_TO_WRITE = BY_NAME + " {for_update}"
SAVE = f"""UPDATE projections SET {_set(_FIELDS, ("environment", "name", "created_at"))}
WHERE environment = :environment AND name = :name"""
# Streams are named after the incarnation that they end with.
DROP_IMPLICIT_LEASES = """UPDATE projections SET seat = '', seat_ends_at = 0
WHERE substr(seat, 1, length(:node) + 1) = :node || '/'"""
DELETE = "DELETE FROM projections WHERE environment = :environment AND name = :name"
AFTER = f"""SELECT {_columns(_FIELDS)} FROM projections
WHERE environment = :environment AND name > :cursor ORDER BY name LIMIT :limit"""
_FILTER = """FROM projections WHERE environment = :environment AND (:mode = '' OR mode = :mode)
 AND (:status = '' OR :status = CASE WHEN paused = 1 THEN 'paused' WHEN rebuild_id <> '' THEN 'rebuilding'
  WHEN error_message <> '' THEN 'error' ELSE 'active' END)"""
PAGE = f"SELECT {_columns(_FIELDS)} {_FILTER} ORDER BY name LIMIT :limit OFFSET :offset"
COUNT = f"SELECT count(*) {_FILTER}"

EVERY_AFTER = f"""SELECT {_columns(_FIELDS)} FROM projections WHERE (environment, name) > (:environment, :name)
ORDER BY environment, name LIMIT :limit"""

NEWEST = (
    f"SELECT {_STATE} FROM projection_states WHERE side = :generation AND partition_key = :partition_key AND newest = 1"
)
NEWEST_AT = f"""SELECT {_STATE} FROM projection_states
WHERE side = :generation AND partition_key = :partition_key AND event_at <= :at ORDER BY position DESC LIMIT 1"""
POSITIONS = """SELECT partition_key, position FROM projection_states
WHERE side = :generation AND newest = 1 AND partition_key IN {each:partitions}"""
PARTITIONS_AFTER = """SELECT partition_key FROM projection_states
WHERE side = :generation AND newest = 1 AND partition_key > :cursor
 AND partition_key >= :first AND partition_key < :last
ORDER BY partition_key LIMIT :limit"""
INSERT_STATE = """INSERT INTO projection_states
(side, partition_key, position, newest, state, event_id, event_at, version, kept_at, saved_at)
VALUES (:generation, :partition_key, :position, 1, :state, :event_id, :event_at, :version, :kept_at, :saved_at)"""
REPLACE_STATE = """UPDATE projection_states SET position = :position, state = :state, event_id = :event_id,
 event_at = :event_at, version = :version, kept_at = :kept_at, saved_at = :saved_at
WHERE side = :generation AND partition_key = :partition_key AND newest = 1"""
KEEP_STATE = """UPDATE projection_states SET newest = 0
WHERE side = :generation AND partition_key = :partition_key AND newest = 1"""
DELETE_PARTITION = "DELETE FROM projection_states WHERE side = :generation AND partition_key = :partition_key"
MOVE_PARTITION = """UPDATE projection_states SET side = :new_generation
WHERE side = :generation AND partition_key = :partition_key"""
DELETE_OLD = """DELETE FROM projection_states WHERE (side, partition_key, position) IN (
  SELECT side, partition_key, position FROM projection_states WHERE newest = 0 AND saved_at <= :oldest
  ORDER BY saved_at LIMIT :limit)"""
DELETE_OF_GENERATION = """DELETE FROM projection_states WHERE (side, partition_key, position) IN (
  SELECT side, partition_key, position FROM projection_states WHERE side = :generation LIMIT :limit)"""

DROP_GENERATION = (
    "INSERT INTO projection_garbage (side, since) VALUES (:generation, :now) ON CONFLICT (side) DO NOTHING"
)
DROPPED_GENERATIONS = "SELECT side FROM projection_garbage ORDER BY since, side LIMIT :limit"
FORGET_GENERATION = "DELETE FROM projection_garbage WHERE side = :generation"

INSERT_REBUILD = f"INSERT INTO projection_rebuilds ({_columns(_REBUILD)}) VALUES ({_values(_REBUILD)})"
REBUILD = f"SELECT {_columns(_REBUILD)} FROM projection_rebuilds WHERE id = :id"
LAST_REBUILD = f"""SELECT {_columns(_REBUILD)} FROM projection_rebuilds
WHERE environment = :environment AND name = :name ORDER BY id DESC LIMIT 1"""
SAVE_REBUILD = """UPDATE projection_rebuilds SET status = :status, cursor = :cursor, events_done = :events_done,
 error = :error, ended_at = :ended_at, without_key = :without_key WHERE id = :id"""
RUNNING = f"""SELECT {_columns(_REBUILD)} FROM projection_rebuilds WHERE status = 'running' AND id > :cursor
ORDER BY id LIMIT :limit"""
DELETE_REBUILDS = "DELETE FROM projection_rebuilds WHERE environment = :environment AND name = :name"
# All but the newest few of each projection.
DELETE_OLD_REBUILDS = """DELETE FROM projection_rebuilds
WHERE environment = :environment AND name = :name AND status <> 'running' AND id NOT IN (
  SELECT id FROM projection_rebuilds WHERE environment = :environment AND name = :name ORDER BY id DESC LIMIT :kept)"""


@dataclass(frozen=True, slots=True)
class StateRow:
    """The state of a partition up to and with the event at `position`. version: how often the partition was saved.

    kept_at: when the last older state that stays in the history was saved, 0 for none.
    """

    partition_key: str
    position: int
    state: str
    event_id: str
    event_at: Millis
    version: int
    kept_at: Millis
    saved_at: Millis


def create(tx: Tx, projection: ProjectionRow) -> bool:
    """Whether it was created; False when one of that name exists."""
    return tx.run(INSERT, _params(projection)) == 1


def projection(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> ProjectionRow | None:
    row = tx.row(BY_NAME_TO_WRITE if to_write else BY_NAME, {"environment": environment, "name": name})
    return _projection(row) if row else None


def save(tx: Tx, projection: ProjectionRow) -> None:
    tx.run(SAVE, _params(projection))


def delete(tx: Tx, environment: str, name: str) -> bool:
    place = {"environment": environment, "name": name}
    deleted = tx.run(DELETE, place) == 1
    tx.run(DELETE_REBUILDS, place)
    return deleted


def after(tx: Tx, environment: str, cursor: str, limit: int) -> list[ProjectionRow]:
    rows = tx.rows(AFTER, {"environment": environment, "cursor": cursor, "limit": limit})
    return [_projection(row) for row in rows]


def page(tx: Tx, environment: str, status: str, mode: str, limit: int, offset: int) -> tuple[list[ProjectionRow], int]:
    """Projections by name that have the status and the mode, empty for any; and how many there are in all."""
    asked = {"environment": environment, "status": status, "mode": mode}
    rows = tx.rows(PAGE, {**asked, "limit": limit, "offset": offset})
    count = tx.row(COUNT, asked)
    return [_projection(row) for row in rows], count[0] if count else 0


# States.


def newest_state(tx: Tx, generation: str, partition: str) -> StateRow | None:
    row = tx.row(NEWEST, {"generation": generation, "partition_key": partition})
    return StateRow(*row) if row else None


def state_at(tx: Tx, generation: str, partition: str, at: Millis) -> StateRow | None:
    """The last state kept whose last event is not after `at`."""
    row = tx.row(NEWEST_AT, {"generation": generation, "partition_key": partition, "at": at})
    return StateRow(*row) if row else None


def positions(tx: Tx, generation: str, partitions: set[str]) -> dict[str, int]:
    """Up to where each of these partitions is saved; those never saved are left out."""
    if not partitions:
        return {}
    return {row[0]: row[1] for row in tx.rows(POSITIONS, {"generation": generation, "partitions": sorted(partitions)})}


def partitions_after(tx: Tx, generation: str, prefix: str, cursor: str, limit: int) -> list[str]:
    last = prefix + "\U0010ffff" * 512
    asked = {"generation": generation, "cursor": cursor, "first": prefix, "last": last, "limit": limit}
    return [row[0] for row in tx.rows(PARTITIONS_AFTER, asked)]


def save_state(tx: Tx, generation: str, state: StateRow, *, is_first: bool, keep_older: bool) -> None:
    """Stores the newest state of a partition. keep_older: the one before stays in the history."""
    params = {"generation": generation, **_plain(state)}
    if keep_older:
        tx.run(KEEP_STATE, params)
    tx.run(INSERT_STATE if is_first or keep_older else REPLACE_STATE, params)


def swap_partition(tx: Tx, generation: str, new_generation: str, partition: str) -> None:
    """Puts the states of a partition on `new_generation` in the place of those on `generation`."""
    tx.run(DELETE_PARTITION, {"generation": generation, "partition_key": partition})
    tx.run(MOVE_PARTITION, {"generation": new_generation, "new_generation": generation, "partition_key": partition})


def delete_old_states(tx: Tx, oldest: Millis, limit: int) -> int:
    """Removes up to `limit` states of the history saved at `oldest` or before; how many."""
    return tx.run(DELETE_OLD, {"oldest": oldest, "limit": limit})


def drop_generation(tx: Tx, generation: str, now: Millis) -> None:
    """Marks a generation without readers; its states are removed in small transactions."""
    tx.run(DROP_GENERATION, {"generation": generation, "now": now})


def delete_dropped_states(tx: Tx, limit: int) -> int:
    """Removes up to `limit` states of one dropped generation; how many. Deletes the generation once it is empty."""
    row = tx.row(DROPPED_GENERATIONS, {"limit": 1})
    if row is None:
        return 0
    deleted = tx.run(DELETE_OF_GENERATION, {"generation": row[0], "limit": limit})
    if deleted < limit:
        tx.run(FORGET_GENERATION, {"generation": row[0]})
    return deleted


def dropped_generations(tx: Tx, limit: int) -> list[str]:
    return [row[0] for row in tx.rows(DROPPED_GENERATIONS, {"limit": limit})]


# Rebuilds.


def create_rebuild(tx: Tx, rebuild: RebuildRow, kept: int) -> None:
    """Stores a new rebuild; of the older ones of its projection the newest stay, `kept` in all."""
    tx.run(INSERT_REBUILD, _plain(rebuild))
    tx.run(DELETE_OLD_REBUILDS, {"environment": rebuild.environment, "name": rebuild.name, "kept": kept})


def rebuild(tx: Tx, rebuild_id: str) -> RebuildRow | None:
    row = tx.row(REBUILD, {"id": rebuild_id}) if rebuild_id else None
    return RebuildRow(*row) if row else None


def last_rebuild(tx: Tx, environment: str, name: str) -> RebuildRow | None:
    row = tx.row(LAST_REBUILD, {"environment": environment, "name": name})
    return RebuildRow(*row) if row else None


def save_rebuild(tx: Tx, rebuild: RebuildRow) -> None:
    tx.run(SAVE_REBUILD, _plain(rebuild))


def running(tx: Tx, cursor: str, limit: int) -> list[RebuildRow]:
    """Rebuilds under way in all environments, by id."""
    return [RebuildRow(*row) for row in tx.rows(RUNNING, {"cursor": cursor, "limit": limit})]


def _params(projection: ProjectionRow) -> dict[str, Any]:
    events = msgspec.json.encode(projection.events).decode()
    flags = {"paused": int(projection.paused), "feeds_both": int(projection.feeds_both)}
    return {**_plain(projection), "events": events, **flags}


def _plain(row: Any) -> dict[str, Any]:
    """A row's columns by name; unlike `asdict` it copies nothing."""
    return {name: getattr(row, name) for name in row.__slots__}


def every_after(tx: Tx, environment: str, name: str, limit: int) -> list[ProjectionRow]:
    """Projections of all environments, after the one named."""
    rows = tx.rows(EVERY_AFTER, {"environment": environment, "name": name, "limit": limit})
    return [_projection(row) for row in rows]


def _projection(row: Row) -> ProjectionRow:
    values = dict(zip(_FIELDS.split(", "), row, strict=True))
    values["events"] = tuple(msgspec.json.decode(values["events"], type=list[str]))
    values["paused"] = bool(values["paused"])
    values["feeds_both"] = bool(values["feeds_both"])
    return ProjectionRow(**values)


def drop_implicit_leases(tx: Tx, node: str) -> int:
    """Ends the implicit leases of the streams of an incarnation of a node. Returns their number."""
    return tx.run(DROP_IMPLICIT_LEASES, {"node": node})
