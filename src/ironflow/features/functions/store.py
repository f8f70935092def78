"""What is remembered of functions: the current row of each and all its versions."""

from typing import NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.features.functions.recording import retention_ms
from ironflow.features.functions.rules import FunctionRow, read_config
from ironflow.storage.port import Row, Tx

_COLUMNS = "environment, id, version, status, config, code_hash, epoch, created_at, updated_at"

NEXT_EPOCH = "UPDATE function_epoch SET epoch = epoch + 1 WHERE name = 'functions' RETURNING epoch"
EPOCH = "SELECT epoch FROM function_epoch WHERE name = 'functions'"
CHANGED_SINCE = f"SELECT {_COLUMNS} FROM functions WHERE epoch > :epoch ORDER BY epoch"
ONE = f"SELECT {_COLUMNS} FROM functions WHERE environment = :environment AND id = :id"
ONE_TO_CHANGE = ONE + " {for_update}"
SAVE = f"""INSERT INTO functions ({_COLUMNS})
VALUES (:environment, :id, :version, :status, :config, :code_hash, :epoch, :created_at, :updated_at)
ON CONFLICT (environment, id) DO UPDATE SET version = excluded.version, status = excluded.status,
 config = excluded.config, code_hash = excluded.code_hash, epoch = excluded.epoch, created_at = excluded.created_at,
 updated_at = excluded.updated_at"""
ADD_VERSION = """INSERT INTO function_versions
(environment, id, version, config, code_hash, reason, actor, recorded_at)
VALUES (:environment, :id, :version, :config, :code_hash, :reason, :actor, :now)"""
IN_STATUS = f"""SELECT {_COLUMNS} FROM functions
WHERE environment = :environment AND status IN {{each:statuses}} ORDER BY id"""
CODE_HASH = """SELECT code_hash FROM function_versions
WHERE environment = :environment AND id = :id AND version = :version"""
VERSIONS = """SELECT version, config, code_hash, reason, actor, recorded_at FROM function_versions
WHERE environment = :environment AND id = :id AND version < :before ORDER BY version DESC LIMIT :limit"""
# A configuration does not say what it leaves at its default.
WITH_RETENTION = """SELECT environment, id, config FROM functions WHERE config LIKE '%"recording_retention"%'"""


class Retention(NamedTuple):
    """How long a function's recordings are kept after the end of their runs."""

    environment: str
    function_id: str
    kept_ms: int


class VersionRow(NamedTuple):
    """A configuration as it was registered. config: JSON text. actor: the name of the key or user."""

    version: int
    config: str
    code_hash: str
    reason: str
    actor: str
    recorded_at: Millis


def count(tx: Tx) -> int:
    """Functions of all environments that are not deleted."""
    row = tx.row("SELECT count(*) FROM functions WHERE status <> 'deleted'")
    return row[0] if row else 0


def next_epoch(tx: Tx) -> int:
    """Counts a change of any function. Caches of functions compare it with theirs."""
    row = tx.row(NEXT_EPOCH)
    return row[0] if row else 0


def epoch(tx: Tx) -> int:
    row = tx.row(EPOCH)
    return row[0] if row else 0


def changed_since(tx: Tx, epoch: int) -> list[FunctionRow]:
    return [_function(row) for row in tx.rows(CHANGED_SINCE, {"epoch": epoch})]


def function(tx: Tx, environment: str, function_id: str, *, to_change: bool = False) -> FunctionRow | None:
    row = tx.row(ONE_TO_CHANGE if to_change else ONE, {"environment": environment, "id": function_id})
    return _function(row) if row else None


def save(tx: Tx, function: FunctionRow) -> None:
    tx.run(
        SAVE,
        {
            "environment": function.environment,
            "id": function.id,
            "version": function.version,
            "status": function.status,
            "config": msgspec.json.encode(function.config).decode(),
            "code_hash": function.code_hash,
            "epoch": function.epoch,
            "created_at": function.created_at,
            "updated_at": function.updated_at,
        },
    )


def add_version(tx: Tx, function: FunctionRow, reason: str, actor: str, now: Millis) -> None:
    tx.run(
        ADD_VERSION,
        {
            "environment": function.environment,
            "id": function.id,
            "version": function.version,
            "config": msgspec.json.encode(function.config).decode(),
            "code_hash": function.code_hash,
            "reason": reason,
            "actor": actor,
            "now": now,
        },
    )


def in_status(tx: Tx, environment: str, statuses: list[str]) -> list[FunctionRow]:
    """All functions that have one of these statuses, by id. They are few: as many as there is code of users."""
    return [_function(row) for row in tx.rows(IN_STATUS, {"environment": environment, "statuses": statuses})]


def code_hash(tx: Tx, environment: str, function_id: str, version: int) -> str:
    """The code hash that a version of a function was registered with; empty when there was none."""
    row = tx.row(CODE_HASH, {"environment": environment, "id": function_id, "version": version})
    return row[0] if row else ""


def versions(tx: Tx, environment: str, function_id: str, before: int, limit: int) -> list[VersionRow]:
    """Versions older than `before`, the newest first."""
    params = {"environment": environment, "id": function_id, "before": before, "limit": limit}
    return [VersionRow(*row) for row in tx.rows(VERSIONS, params)]


def retentions(tx: Tx) -> list[Retention]:
    """The functions of all environments, deleted ones included, whose recordings are not kept for ever."""
    configured = (
        (row[0], row[1], retention_ms(read_config(row[2]).recording_retention)) for row in tx.rows(WITH_RETENTION)
    )
    return [Retention(environment, name, kept_ms) for environment, name, kept_ms in configured if kept_ms is not None]


def _function(row: Row) -> FunctionRow:
    return FunctionRow(row[0], row[1], row[2], row[3], read_config(row[4]), row[5], row[6], row[7], row[8])
