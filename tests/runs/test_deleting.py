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
