"""The structs of the engine declare the fields of runs, leases and steps; what repeats them agrees with that."""

import re
import sqlite3
from pathlib import Path

import msgspec
import pytest

from ironflow.engine.model import Lease, Run, Step
from ironflow.features.jobs.contract import ReportedStep, UpdateJob
from ironflow.features.jobs.report_rules import ATTEMPTS, REST
from ironflow.features.query.views import views_of
from ironflow.features.runs import contract
from ironflow.features.runs.store import PROGRESS
from ironflow.notify.port import LocalNotifier
from ironflow.sdk.client.views import runs as views
from ironflow.storage.open import open_database

RUN = {name for name in Run.__struct_fields__ if name not in ("lease", "steps", "values")}
STEP = set(Step.__struct_fields__)

# Columns of a lease that it has from its run, so that a claim reads one table.
FROM_RUN = {"environment", "function_id", "slot_key", "limit_key", "actor_id"}

# Fields of the engine under the names that clients know.
RUN_NAMES = {
    "environment": "environment_id", "reason": "pause_reason", "policy": "max_attempts", "next_at": "next_attempt_at",
    "cancelling": "cancel_requested", "cancel_requested_at": "cancel_requested",
}  # fmt: skip
STEP_NAMES = {
    "number": "id", "type": "step_type", "wait_event": "wait_event_name", "wait_until": "wait_timeout",
    "attempts_max": "max_attempts",
}  # fmt: skip
# Fields of the engine that no client is shown.
RUN_INTERNAL = {
    "execution_seq", "step_count", "next_sequence", "losses", "last_report", "open_step", "paused_from", "slot_key",
    "limit_key", "holds_slot", "watched", "recorded", "compensating", "open_waits", "wake_at", "family", "hold",
    "priority", "entity", "not_begun",
}  # fmt: skip
STEP_INTERNAL = {"injected", "failure", "on_timeout"}
# Fields of clients that come from elsewhere: the event, the lease, the status, or that this server leaves out.
RUN_ADDED = {
    "values", "execution_mode", "input", "resume_from_step", "timeout_at", "claimed_by", "claimed_at", "state",
    "advice",
}  # fmt: skip
STEP_ADDED = {"run_id", "duration_ms_full", "stored_status"}

# Columns of the views that are computed, and fields of the engine that the views leave out.
RUN_COMPUTED = {"state", "created", "started", "ended", "duration_ms"}
RUN_HIDDEN = RUN_INTERNAL | {
    "environment", "policy", "updated_at", "next_at", "actor_id", "parent_step_id", "pause_requested", "version",
    "unasked_steps", "cancelling", "cancel_requested_at", "paused_by",
    "pause_note",
}  # fmt: skip
STEP_COMPUTED = {"run_id", "function_id", "started", "ended"}
STEP_HIDDEN = {
    "number", "updated_at", "compensation_for", "sleep_until", "input", "wait_event", "wait_until",
    "original_output", "patched_at", "patched_by", "failure", "on_timeout", "attempts_max", "attempts", "progress",
    "handler_at",
}  # fmt: skip

# Their rows are found by an inbox, an entity or an event; the run is only shown.
BY_OTHER_KEYS = {"messages", "entity_states", "event_triggers"}

TABLES_WITH_A_RUN = """SELECT t.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND c.name = 'run_id'"""
INDEXED_BY_RUN = """SELECT t.name FROM sqlite_master t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
WHERE t.type = 'table' AND c.seqno = 0 AND c.name = 'run_id'"""
INDEXES = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
TABLE_INFO = "SELECT name FROM pragma_table_info(:table)"


async def columns(folder: Path, *tables: str) -> list[set[str]]:
    db = await open_database(str(folder / "ironflow.db"), LocalNotifier(), 0)
    try:
        return [
            {name for (name,) in await db.peek(lambda tx, table=table: tx.rows(TABLE_INFO, {"table": table}))}
            for table in tables
        ]
    finally:
        await db.close()


async def test_tables_have_the_fields_of_the_engine_as_columns(tmp_path: Path):
    runs, jobs, steps = await columns(tmp_path, "runs", "jobs", "steps")
    assert runs == RUN
    assert jobs == {"run_id", *Lease.__struct_fields__} | FROM_RUN
    assert steps == STEP | {"run_id"}


async def test_no_index_has_a_column_that_steps_and_renewed_leases_change(tmp_path: Path):
    """A statement that sets such a column would write that index, for every report of a worker."""
    db = await open_database(str(tmp_path / "ironflow.db"), LocalNotifier(), 0)
    try:
        indexes = [sql for (sql,) in await db.peek(lambda tx: tx.rows(INDEXES, {"table": "runs"})) if sql]
    finally:
        await db.close()
    indexed = {name for sql in indexes for name in re.findall(r"\w+", sql)}
    assert {"status", "parent_run_id"} <= indexed
    assert not indexed & set(PROGRESS) - {"id"}


async def test_rows_of_a_run_are_found_by_an_index_whatever_table_they_are_in(tmp_path: Path):
    """A purge of runs would read the whole table otherwise."""
    db = await open_database(str(tmp_path / "ironflow.db"), LocalNotifier(), 0)
    try:
        with_run = {table for (table,) in await db.peek(lambda tx: tx.rows(TABLES_WITH_A_RUN))}
        indexed = {table for (table,) in await db.peek(lambda tx: tx.rows(INDEXED_BY_RUN))}
    finally:
        await db.close()
    assert with_run - indexed == BY_OTHER_KEYS


def test_booleans_are_those_that_the_store_converts():
    """The store writes them by name, and reads `injected` as the last column, so that no load looks at types."""
    assert [each.name for each in msgspec.structs.fields(Run) if each.type is bool] == [
        "pause_requested",
        "holds_slot",
        "watched",
    ]
    assert [each.name for each in msgspec.structs.fields(Step) if each.type is bool] == [Step.__struct_fields__[-1]]


def test_every_field_of_a_report_is_read():
    """Those that few reports have are looked for by name: one that is not listed would be lost."""
    by_the_service = {"worker", "started", "logs"}
    of_every_report = {"job", "execution_seq", "lease_token", "status", "steps", "step_offset", "output"}
    assert {*UpdateJob.__struct_fields__} == by_the_service | of_every_report | {*REST}

    of_every_step = {
        "id", "name", "type", "status", "output", "error", "duration_ms", "started_at", "ended_at", "announced",
        "source",
    }  # fmt: skip
    assert {*ReportedStep.__struct_fields__} == of_every_step | {*ATTEMPTS, "retry_in_ms"}


@pytest.mark.parametrize(
    ("engine", "message", "names", "internal", "added"),
    [
        (RUN, contract.Run, RUN_NAMES, RUN_INTERNAL, RUN_ADDED),
        (STEP, contract.Step, STEP_NAMES, STEP_INTERNAL, STEP_ADDED),
    ],
)
def test_a_message_has_the_fields_of_the_engine(
    engine: set[str], message: type[msgspec.Struct], names: dict[str, str], internal: set[str], added: set[str]
):
    shown = {names.get(name, name) for name in engine - internal}
    assert set(message.__struct_fields__) == shown | added
    assert not shown & added


@pytest.mark.parametrize(("message", "view"), [(contract.Run, views.Run), (contract.Step, views.Step)])
def test_a_view_of_the_client_has_the_fields_and_defaults_of_the_message(
    message: type[msgspec.Struct], view: type[msgspec.Struct]
):
    def declared(struct: type[msgspec.Struct]) -> list[tuple[str, object]]:
        return [(each.name, each.default) for each in msgspec.structs.fields(struct)]

    assert declared(view) == declared(message)


@pytest.mark.parametrize(
    ("name", "engine", "computed", "hidden"),
    [("runs", RUN, RUN_COMPUTED, RUN_HIDDEN), ("steps", STEP, STEP_COMPUTED, STEP_HIDDEN)],
)
def test_a_view_for_queries_has_the_fields_of_the_engine(
    name: str, engine: set[str], computed: set[str], hidden: set[str]
):
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE runs ({', '.join(sorted(RUN))})")
    database.execute(f"CREATE TABLE steps (run_id, {', '.join(sorted(STEP))})")
    found = database.execute(views_of("default", "sqlite")[name].format(main=""))
    shown = {column for column, *_ in found.description}
    database.close()
    assert shown == (engine - hidden) | computed
