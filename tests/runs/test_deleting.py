"""An ended run is removed with its steps and facts on request; its event stays."""

from typing import Any

import pytest

from ironflow.base.json import read_json
from ironflow.features.audit import contract as audit
from ironflow.features.events import contract as events
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotEnded, RunNotFound
from tests.support.work import Work, step


async def test_an_ended_run_is_deleted_with_its_steps_and_history(server: Work):
    await server.a_function(recording=True)
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids
    job = await server.claim()
    await server.report(job, "completed", steps=[step(job, "charge")])

    assert (await server.call(runs.delete, id=run_id, reason="a mistake")).id == run_id

    with pytest.raises(RunNotFound):
        await server.call(runs.get, id=run_id)
    with pytest.raises(RunNotFound):
        await server.call(runs.delete, id=run_id)
    for table in ("steps", "facts"):
        left = await server.db.read(lambda tx, table=table: tx.row(f"SELECT count(*) FROM {table}"))
        assert left == (0,), table
    assert len((await server.call(events.list_)).events) == 1
    notes = (await server.call(audit.list_, event_type="run_control.delete")).events
    noted: list[Any] = [read_json(each.payload) for each in notes]
    assert [(each["run_id"], each["reason"]) for each in noted] == [(run_id, "a mistake")]


async def test_a_run_that_has_not_ended_is_not_deleted(server: Work):
    await server.a_function()
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids

    with pytest.raises(RunNotEnded, match=run_id):
        await server.call(runs.delete, id=run_id)

    assert [run.id for run in await server.runs()] == [run_id]


async def test_a_run_of_another_environment_is_not_found(server: Work):
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids

    with pytest.raises(RunNotFound):
        await server.call(runs.delete, env="other", id=run_id)


# What the end of a run has removed.
NOT_OF_ENDED = {"jobs", "timers", "run_keys"}
# The events that it recorded, the state of its entity, that an event was given to a function, once, and for a day that
# a bulk job changed it: an undo counts it as refused.
STAYS = {"events", "entity_states", "event_triggers", "bulk_changes"}


async def test_nothing_that_names_a_deleted_run_is_left(server: Work):
    """Over every table of the schema with a run's id, so that a new one is not forgotten."""
    await server.a_function()
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids
    await server.report(await server.claim(), "completed")
    sqlite = """SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"""
    postgres = """SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema()"""
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in await server.db.read(
        lambda tx: tx.rows(sqlite if server.db.name == "sqlite" else postgres)
    ):
        columns.setdefault(table, {})[column] = kind.lower()
    tables = {table for table, kinds in columns.items() if "run_id" in kinds} - NOT_OF_ENDED

    def value_of(column: str, kind: str) -> Any:
        return (
            run_id
            if column in ("run_id", "inbox")
            else "x"
            if "text" in kind
            else b"x"
            if kind in ("blob", "bytea")
            else 77
        )

    def fill(tx: Any) -> None:
        for table in tables:
            values = {column: value_of(column, kind) for column, kind in columns[table].items()}
            names = ", ".join(values)
            tx.run(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{each}' for each in values)})", values)

    def left(tx: Any) -> set[str]:
        return {table for table in tables if tx.row(f"SELECT 1 FROM {table} WHERE run_id = :id", {"id": run_id})}

    await server.db.write(fill)
    assert await server.db.read(left) == tables
    assert {"messages", "run_values", "log_lines", "tick_runs", "waits", "steps", "facts"} <= tables

    await server.call(runs.delete, id=run_id)

    assert await server.db.read(left) == STAYS
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM run_keys")) == (0,)
