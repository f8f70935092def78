"""What is remembered of versions of code."""

from collections.abc import Mapping, Sequence

from ironflow.base.time import Millis
from ironflow.features.code_versions.rules import CodeVersion, InFlight
from ironflow.storage.port import Tx

SEEN = """INSERT INTO function_code_versions (environment, function_id, version, first_seen_at)
VALUES (:environment, :function_id, :version, :now) ON CONFLICT (environment, function_id, version) DO NOTHING"""
FIRST_SEEN = """SELECT version, first_seen_at FROM function_code_versions
WHERE environment = :environment AND function_id = :function_id ORDER BY first_seen_at DESC LIMIT :limit"""
# Of no run, and seen first a while ago.
OLD = """SELECT f.environment, f.function_id, f.version FROM function_code_versions f
WHERE f.first_seen_at < :oldest
 AND (f.environment, f.function_id, f.version) > (:environment, :function_id, :version)
 AND NOT EXISTS (SELECT 1 FROM run_code_versions v WHERE v.environment = f.environment
  AND v.function_id = f.function_id AND v.version = f.version)
ORDER BY f.environment, f.function_id, f.version LIMIT :limit"""
FORGET = """DELETE FROM function_code_versions
WHERE environment = :environment AND function_id = :function_id AND version = :version"""
# The first execution decides; a run that was moved has no row, and gets one anew.
PIN = """INSERT INTO run_code_versions (run_id, environment, function_id, version)
VALUES (:run_id, :environment, :function_id, :version) ON CONFLICT (run_id) DO NOTHING"""
OF_RUN = "SELECT version FROM run_code_versions WHERE run_id = :run_id"
IN_FLIGHT = """SELECT v.version, count(*) FROM run_code_versions v JOIN runs r ON r.id = v.run_id
WHERE v.environment = :environment AND v.function_id = :function_id
 AND r.status NOT IN ('completed', 'failed', 'cancelled') GROUP BY v.version"""
_SOME = """run_id IN (SELECT v.run_id FROM run_code_versions v JOIN runs r ON r.id = v.run_id
 WHERE v.environment = :environment AND v.function_id = :function_id AND v.version = :version AND v.run_id > :after
 AND r.status NOT IN ('completed', 'failed', 'cancelled') ORDER BY v.run_id LIMIT :limit)"""
UNPIN = f"DELETE FROM run_code_versions WHERE {_SOME} RETURNING run_id"
MOVE = f"UPDATE run_code_versions SET version = :to WHERE {_SOME} RETURNING run_id"
DROP = "DELETE FROM run_code_versions WHERE run_id IN {each:run_ids}"
VERSIONS_MAX = 1_000


def seen(tx: Tx, environment: str, versions: Mapping[str, str], now: Millis) -> None:
    """A worker serves these versions. versions: by function id."""
    rows = [{"environment": environment, "function_id": each, "version": versions[each]} for each in versions]
    tx.many(SEEN, [{**row, "now": now} for row in rows])


def first_seen(tx: Tx, environment: str, function_id: str) -> dict[str, Millis]:
    """When versions of a function were seen first; of the newest ones."""
    asked = {"environment": environment, "function_id": function_id, "limit": VERSIONS_MAX}
    return {row[0]: row[1] for row in tx.rows(FIRST_SEEN, asked)}


def unused(tx: Tx, oldest: Millis, after: CodeVersion, limit: int) -> list[CodeVersion]:
    """Versions behind `after` that were seen first before `oldest`, and that no run is pinned to."""
    return [CodeVersion(*row) for row in tx.rows(OLD, {**after._asdict(), "oldest": oldest, "limit": limit})]


def forget(tx: Tx, versions: Sequence[CodeVersion]) -> None:
    tx.many(FORGET, [each._asdict() for each in versions])


def pin(tx: Tx, runs: Sequence[tuple[str, str, str, str]]) -> None:
    """Runs that have no version yet get theirs. runs: id, environment, function id, version."""
    names = ("run_id", "environment", "function_id", "version")
    tx.many(PIN, [dict(zip(names, run, strict=True)) for run in runs])


def version_of(tx: Tx, run_id: str) -> str | None:
    """The version that a run is pinned to; None for a run that is not."""
    row = tx.row(OF_RUN, {"run_id": run_id})
    return row[0] if row else None


def in_flight(tx: Tx, environment: str, function_id: str) -> list[InFlight]:
    return [InFlight(*row) for row in tx.rows(IN_FLIGHT, {"environment": environment, "function_id": function_id})]


def move(tx: Tx, environment: str, function_id: str, version: str, to: str, after: str, limit: int) -> list[str]:
    """Moves up to `limit` runs under way behind `after`; their ids. to: empty has the next worker pin them anew."""
    asked = {"environment": environment, "function_id": function_id, "version": version, "after": after, "limit": limit}
    found = tx.rows(MOVE, {**asked, "to": to}) if to else tx.rows(UNPIN, asked)
    return sorted(row[0] for row in found)


def drop(tx: Tx, run_ids: Sequence[str]) -> None:
    tx.run(DROP, {"run_ids": list(run_ids)})
