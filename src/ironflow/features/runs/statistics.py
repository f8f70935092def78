"""Bounded reads of many runs for numbers about them: only the columns that numbers need."""

from typing import NamedTuple

from ironflow.base.ids import first_id_at
from ironflow.base.time import Millis
from ironflow.storage.port import Tx


class RunNumbers(NamedTuple):
    """error: JSON as text, only of failed runs. step: the name of the step that failed last, where it was asked for."""

    id: str
    function_id: str
    version: int
    status: str
    created_at: Millis
    ended_at: Millis | None
    error: str | None
    step: str


class Started(NamedTuple):
    """What started a run: the function of its parent, else its event."""

    id: str
    function_id: str
    event_name: str
    status: str
    parent_function_id: str | None


_COLUMNS = "r.id, r.function_id, r.function_version, r.status, r.created_at, r.ended_at"
_NEWEST = f"""SELECT {_COLUMNS}, CASE WHEN r.status = 'failed' THEN r.error END, ''
FROM runs r WHERE r.environment = :environment AND r.id >= :since ORDER BY r.id DESC LIMIT :limit"""
# `<> 'completed'` lets the partial index be recognised.
_FAILED = f"""SELECT {_COLUMNS}, r.error, coalesce(
  (SELECT s.name FROM steps s WHERE s.run_id = r.id AND s.status = 'failed' ORDER BY s.sequence DESC LIMIT 1), '')
FROM runs r WHERE r.environment = :environment AND r.status = 'failed' AND r.status <> 'completed' AND r.id >= :since
  AND (:function_id = '' OR r.function_id = :function_id)
ORDER BY r.id DESC LIMIT :limit"""
_UNFINISHED = """SELECT count(*) FROM (SELECT 1 FROM runs
  WHERE environment = :environment AND status = :status AND status <> 'completed' LIMIT :cap) AS counted"""


def newest_runs(tx: Tx, environment: str, since: Millis, limit: int) -> list[RunNumbers]:
    """Runs created from `since` on, the newest first."""
    params = {"environment": environment, "since": first_id_at("run", since), "limit": limit}
    return [RunNumbers(*row) for row in tx.rows(_NEWEST, params)]


def failed_runs(tx: Tx, environment: str, function_id: str, since: Millis, limit: int) -> list[RunNumbers]:
    """Failed runs created from `since` on, the newest first. function_id: empty for all."""
    params = {
        "environment": environment,
        "since": first_id_at("run", since),
        "function_id": function_id,
        "limit": limit,
    }
    return [RunNumbers(*row) for row in tx.rows(_FAILED, params)]


def unfinished_counts(tx: Tx, environment: str, cap: int) -> dict[str, int]:
    """Runs that have not ended, by status, each counted up to `cap`."""
    counts: dict[str, int] = {}
    for status in ("pending", "running", "waiting", "paused"):
        row = tx.row(_UNFINISHED, {"environment": environment, "status": status, "cap": cap})
        counts[status] = row[0] if row else 0
    return counts


# Those of other functions have no version.
_BY_VERSION = """SELECT CASE WHEN function_id = :function_id THEN function_version END AS version, count(*)
FROM (SELECT function_id, function_version FROM runs
  WHERE environment = :environment AND status IN ('pending', 'running', 'waiting', 'paused') AND status <> 'completed'
  LIMIT :cap) AS unfinished GROUP BY 1"""


def unfinished_by_version(tx: Tx, environment: str, function_id: str, cap: int) -> tuple[dict[int, int], bool]:
    """Runs of a function that have not ended, by its version; out of at most `cap` runs of all functions.

    Also whether there may be more than those.
    """
    params = {"environment": environment, "function_id": function_id, "cap": cap}
    counts: dict[int | None, int] = {row[0]: row[1] for row in tx.rows(_BY_VERSION, params)}
    runs = {version: count for version, count in counts.items() if version is not None}
    return runs, sum(counts.values()) >= cap


_STUCK = """SELECT id FROM runs WHERE environment = :environment AND status <> 'completed'
  AND (status = 'paused' OR (status = 'pending' AND updated_at <= :pending_since)) ORDER BY id LIMIT :limit"""


def stuck_runs(tx: Tx, environment: str, pending_since: Millis, limit: int) -> list[str]:
    """Ids of runs that are paused, or pending since before a moment; the oldest first."""
    params = {"environment": environment, "pending_since": pending_since, "limit": limit}
    return [row[0] for row in tx.rows(_STUCK, params)]


# Limited before the join and bounded by an id: SQLite would sort all runs of the environment.
_STARTED = """SELECT r.id, r.function_id, r.event_name, r.status, p.function_id
FROM (SELECT id, function_id, event_name, status, parent_run_id FROM runs
  WHERE environment = :environment AND id < :before ORDER BY id DESC LIMIT :limit) AS r
LEFT JOIN runs p ON p.id = r.parent_run_id ORDER BY r.id DESC"""
# Greater than every id of a run.
_LAST = "run_z"
_FUNCTIONS = "SELECT id, function_id FROM runs WHERE id IN {each:ids} AND environment = :environment"


def started_before(tx: Tx, environment: str, before: str, limit: int) -> list[Started]:
    """Runs with ids below `before`, empty for the newest; the newest first."""
    params = {"environment": environment, "before": before or _LAST, "limit": limit}
    return [Started(*row) for row in tx.rows(_STARTED, params)]


def functions_of(tx: Tx, environment: str, ids: list[str]) -> dict[str, str]:
    """The functions of those ids that are runs, by id."""
    return {row[0]: row[1] for row in tx.rows(_FUNCTIONS, {"environment": environment, "ids": ids})}
