"""Fills the SQLite file of a stopped server with many runs: copies of some that a worker executed, by SQL."""

from pathlib import Path
from typing import Any

import apsw

from ironflow.base.ids import first_id_at
from ironflow.base.time import Millis

# From the first copy to the last.
SPAN_MS = 30 * 24 * 3600 * 1000
FUNCTIONS = 20
PIECE = 100_000
_TIMES = frozenset({"created_at", "updated_at", "started_at", "ended_at"})


def copy_runs(file: Path, runs: int, until: Millis, often: str, seldom: dict[str, int]) -> None:
    """Adds `runs` runs with their events and steps, the last one created at `until`.

    often: the id of the run that most are copies of. seldom: how often others are taken instead, by id: every how many.
    """
    connection = apsw.Connection(str(file))
    try:
        connection.execute("PRAGMA synchronous=OFF; PRAGMA cache_size=-400000")
        connection.create_scalar_function("id_at", _id_at, deterministic=True)
        (head,) = connection.execute("SELECT max(position) FROM events").fetchone() or (0,)
        for first in range(0, runs, PIECE):
            with connection:
                connection.execute(
                    f"CREATE TEMP TABLE copied AS {_CHOSEN.format(kinds=_kinds(often, seldom))}",
                    _piece(first, runs, until),
                )
                for statement in (_event(connection, head), _run(connection), _step(connection)):
                    connection.execute(statement)
                connection.execute("DROP TABLE copied")
        connection.execute("UPDATE log_head SET position = (SELECT max(position) FROM events)")
        connection.execute("ANALYZE")
    finally:
        connection.close()


# number: of the copy. of: the run it is a copy of. at: when it is created; later: by how much after that one.
_CHOSEN = """WITH RECURSIVE numbers (number) AS (
  SELECT :first UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :end)
SELECT number, id AS of, id_at('run', at, number) AS run_id, id_at('evt', at, number) AS event_id,
 at - created_at AS later
FROM (SELECT number, CASE {kinds} END AS of, :begin + number * :span / :runs AS at FROM numbers) JOIN runs ON id = of"""


def _piece(first: int, runs: int, until: Millis) -> dict[str, int]:
    return {"first": first, "end": min(first + PIECE, runs), "runs": runs, "begin": until - SPAN_MS, "span": SPAN_MS}


def _kinds(often: str, seldom: dict[str, int]) -> str:
    cases = [f"WHEN number % {every} = {place} THEN '{run_id}'" for place, (run_id, every) in enumerate(seldom.items())]
    return f"{' '.join(cases)} ELSE '{often}'"


def _id_at(*given: Any) -> str:
    """given: prefix, milliseconds, number of the copy."""
    prefix, at, number = given
    return f"{first_id_at(prefix, at)[:-7]}{number:07d}"


def _copy(connection: apsw.Connection, table: str, other: dict[str, str], of: str) -> str:
    """Copies rows with the columns `other` by expression, and times later."""
    names = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
    values = [other.get(name, f"t.{name} + later" if name in _TIMES else f"t.{name}") for name in names]
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM copied JOIN {table} t ON t.{of}"


def _run(connection: apsw.Connection) -> str:
    other = {"id": "run_id", "event_id": "copied.event_id", "function_id": f"'function-' || (number % {FUNCTIONS})"}
    return _copy(connection, "runs", other, "id = copied.of")


def _step(connection: apsw.Connection) -> str:
    return _copy(connection, "steps", {"run_id": "copied.run_id"}, "run_id = copied.of")


def _event(connection: apsw.Connection, head: int) -> str:
    other = {"position": f"{head} + 1 + number", "id": "copied.event_id", "idempotency_key": "NULL"}
    return _copy(connection, "events", other, "id = (SELECT event_id FROM runs WHERE runs.id = copied.of)")
