"""Runs by their users' filters: newest first, by pages."""

from dataclasses import dataclass, replace

from ironflow.base.ids import first_id_at
from ironflow.base.time import Millis
from ironflow.engine.model import Run
from ironflow.features.runs import rules
from ironflow.features.runs.store import RUN_COLUMNS, run_of
from ironflow.storage.port import Params, Tx


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty and zero mean no matter. states: (status, reasons) as `rules.status_filter` says.

    error: a part of `Class: message`, where … stands for anything. output: as of `rules.output_filter`.
    failed_step: name of the step that failed last.
    """

    environment: str
    function_id: str = ""
    event_id: str = ""
    parent_run_id: str = ""
    key: str = ""
    search: str = ""
    since: Millis = 0
    until: Millis = 0
    states: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    function_version: int = 0
    error: str = ""
    output: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    failed_step: str = ""

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the runs. Otherwise each one that passes the rest of the filter is read."""
        return not (self.search or self.error or self.output or self.failed_step)

    @property
    def is_of_all_runs(self) -> bool:
        """Whether no index narrows the runs down, but by their time."""
        named = self.function_id or self.event_id or self.parent_run_id or self.key or self.error or self.failed_step
        # Those that have completed are in no index of their status.
        return not named and (not self.states or any(status == "completed" for status, _ in self.states))


@dataclass(frozen=True, slots=True)
class Searched:
    """cursor: where the search goes on; empty when all runs have been searched.

    back_to: the creation time of the run at the cursor, of a search that has read as many runs as it may.
    """

    runs: list[Run]
    cursor: str = ""
    back_to: Millis | None = None


def search(tx: Tx, wanted: Filter, cursor: str, limit: int, scan_max: int) -> Searched:
    """The newest runs below `cursor` that pass the filter, out of at most `scan_max` that are read.

    scan_max: 0 for no bound.
    """
    oldest = None if wanted.is_indexed or scan_max == 0 else _oldest_read(tx, wanted, cursor, scan_max)
    found = page(tx, wanted, cursor, limit + 1, 0, oldest[0] if oldest else "")
    if len(found) > limit:
        return Searched(found[:limit], cursor=found[limit - 1].id)
    return Searched(found) if oldest is None else Searched(found, cursor=oldest[0], back_to=oldest[1])


def _oldest_read(tx: Tx, wanted: Filter, cursor: str, scan_max: int) -> tuple[str, Millis] | None:
    """Id and time of the last run that a search may read; None when there are fewer."""
    indexed = replace(wanted, search="", error="", output=None, failed_step="")
    if wanted.is_of_all_runs:
        # Runs of other environments are read, too: no index has an environment's runs in their order. With that
        # condition, SQLite sorts all of them (2 s at 1,000,000 runs instead of 3 ms).
        where, params = _where(replace(indexed, states=()))
        where = "1 = 1" + where.removeprefix("r.environment = :environment")
    else:
        where, params = _where(indexed)
    if wanted.error or wanted.failed_step:
        where += " AND r.status <> 'completed'"
    if cursor:
        where += " AND r.id < :cursor"
        params["cursor"] = cursor
    # One more: where nothing follows it, the search is complete.
    params |= {"offset": scan_max - 1}
    # Ids alone: an index has them, so that no row is read.
    found = tx.rows(f"SELECT r.id FROM runs r WHERE {where} ORDER BY r.id DESC LIMIT 2 OFFSET :offset", params)
    if len(found) < 2:
        return None
    row = tx.row("SELECT created_at FROM runs WHERE id = :id", {"id": found[0][0]})
    return (found[0][0], row[0]) if row else None


def page(tx: Tx, wanted: Filter, cursor: str, limit: int, offset: int, oldest: str = "") -> list[Run]:
    """Runs with ids below `cursor` (a run id, or empty) and not below `oldest`, newest first."""
    where, params = _where(wanted)
    if oldest:
        where += " AND r.id >= :oldest"
        params["oldest"] = oldest
    if cursor:
        where += " AND r.id < :cursor"
        params["cursor"] = cursor
    params |= {"limit": limit, "offset": offset}
    sql = f"SELECT {RUN_COLUMNS} FROM runs r WHERE {where} ORDER BY r.id DESC LIMIT :limit OFFSET :offset"
    return [run_of(row) for row in tx.rows(sql, params)]


def count(tx: Tx, wanted: Filter) -> int:
    """How many runs pass the filter in all."""
    where, params = _where(wanted)
    row = tx.row(f"SELECT count(*) FROM runs r WHERE {where}", params)
    return row[0] if row else 0


def count_some(tx: Tx, wanted: Filter, most: int, scan_max: int) -> tuple[int, bool]:
    """How many runs pass the filter, up to `most`, and whether there are more, or may be: not all were read."""
    oldest = None if wanted.is_indexed else _oldest_read(tx, wanted, "", scan_max)
    where, params = _where(wanted)
    if oldest is not None:
        where += " AND r.id >= :oldest"
        params["oldest"] = oldest[0]
    params["most"] = most + 1
    row = tx.row(f"SELECT count(*) FROM (SELECT 1 FROM runs r WHERE {where} LIMIT :most) AS counted", params)
    found = row[0] if row else 0
    return min(found, most), found > most or oldest is not None


def count_active(tx: Tx) -> int:
    """Runs of all environments that have not ended."""
    row = tx.row("SELECT count(*) FROM runs WHERE status IN ('pending', 'running', 'waiting', 'paused')")
    return row[0] if row else 0


def count_active_by_environment(tx: Tx) -> dict[str, int]:
    """Runs that have not ended; `default` is there also without any."""
    rows = tx.rows(
        "SELECT environment, count(*) FROM runs WHERE status IN ('pending', 'running', 'waiting', 'paused') "
        "GROUP BY environment"
    )
    return {"default": 0} | {row[0]: row[1] for row in rows}


def count_by_status(tx: Tx) -> dict[str, int]:
    """Runs that are not completed, by status, over all environments."""
    rows = tx.rows("SELECT status, count(*) FROM runs WHERE status <> 'completed' GROUP BY status")
    return {row[0]: row[1] for row in rows}


def _where(wanted: Filter) -> tuple[str, Params]:
    """Only conditions that are asked for, so that the fitting index is found; ids sort by creation time."""
    parts = ["r.environment = :environment"]
    params: Params = {"environment": wanted.environment}
    for name in ("function_id", "event_id", "parent_run_id", "key", "function_version"):
        if value := getattr(wanted, name):
            parts.append(f"r.{name} = :{name}")
            params[name] = value
    if wanted.since:
        parts.append("r.id >= :since")
        params["since"] = first_id_at("run", wanted.since)
    if wanted.until:
        parts.append("r.id < :until")
        params["until"] = first_id_at("run", wanted.until)
    if wanted.search:
        parts.append(
            "(r.id = :search OR r.event_id = :search OR r.function_id {ilike} :like OR r.event_name {ilike} :like)"
        )
        params |= {"search": wanted.search, "like": f"%{wanted.search}%"}
    if wanted.error:
        # Redundant where the status is given, so that the planner recognises the partial index.
        parts.append(
            "r.status <> 'completed' AND r.error IS NOT NULL AND {error_text:r.error} {ilike} :error ESCAPE '!'"
        )
        text = wanted.error.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        params["error"] = f"%{text.replace('…', '%')}%"
    if wanted.failed_step:
        # A run that has completed may have such a step, too: it was caught, or it succeeded in a later attempt.
        parts.append(
            "r.status <> 'completed' AND :failed_step = (SELECT s.name FROM steps s "
            "WHERE s.run_id = r.id AND s.status = 'failed' ORDER BY s.sequence DESC LIMIT 1)"
        )
        params["failed_step"] = wanted.failed_step
    if wanted.output:
        path, values = wanted.output
        parts.append("r.output IS NOT NULL AND {json_part:r.output} IN {each:output_values}")
        params |= {"json_path": list(path), "output_values": list(values)}
    if wanted.states:
        states: list[str] = []
        for number, (status, reasons) in enumerate(wanted.states):
            params[f"status_{number}"] = status
            state = f"r.status = :status_{number}"
            if reasons is not None:
                params[f"reasons_{number}"] = list(reasons)
                state += f" AND r.reason IN {{each:reasons_{number}}}"
            if status in rules.UNDER_WAY:
                # Those that are undone before they are cancelled are shown as running.
                state = f"({state} AND r.cancelling IS NULL)"
            if status == "running":
                state = f"({state} OR (r.cancelling IS NOT NULL AND r.status IN ('pending', 'waiting', 'running')))"
            if status != "completed":
                # Redundant, so that the planner recognises the partial index.
                state += " AND r.status <> 'completed'"
            states.append(f"({state})")
        parts.append(f"({' OR '.join(states)})")
    return " AND ".join(parts), params
