"""Runs by their users' filters: newest first, by pages."""

from dataclasses import dataclass

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


def page(tx: Tx, wanted: Filter, cursor: str, limit: int, offset: int) -> list[Run]:
    """Runs with ids below `cursor` (a run id, or empty), newest first."""
    where, params = _where(wanted)
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
