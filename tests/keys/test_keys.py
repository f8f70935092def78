"""Runs under keys of their users: one that has not ended for each key, found by it wherever a run is named."""

from typing import Any

import pytest

from ironflow.base.run_keys import InvalidRunKey, RunKeyHeld
from ironflow.features.bulk import contract as bulk
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.query import contract as query
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.features.time_travel import contract as past
from tests.support.server import open_server
from tests.support.work import Work, step


async def a_chat(server: Work, **config: Any) -> None:
    await server.a_function("chat", on=None, **config)
    await server.a_worker(function_ids=["chat"])


async def invoke(server: Work, key: str = "ada", if_running: str = "", **more: Any) -> events.Invoked:
    return await server.call(events.invoke, function_id="chat", key=key, if_running=if_running, **more)


async def keys_held(server: Work) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in await server.db.read(lambda tx: tx.rows("SELECT key, run_id FROM run_keys"))]


async def test_a_second_start_with_the_key_of_a_run_uses_that_run(server: Work):
    await a_chat(server)

    first, second, other = await invoke(server), await invoke(server), await invoke(server, "bob")

    assert (first.existing, second.existing, other.existing) == (None, True, None)
    assert second.run_id == first.run_id != other.run_id
    assert (await server.run(first.run_id)).key == "ada"
    assert (await server.call(runs.list_, key="ada")).total_count == 1


async def test_refuse_records_nothing_and_leaves_an_idempotency_key_unused(server: Work):
    await a_chat(server)
    first = await invoke(server)

    with pytest.raises(RunKeyHeld, match=first.run_id):
        await invoke(server, if_running="refuse", idempotency_key="i1")

    await server.call(runs.cancel, id=first.run_id)
    again = await invoke(server, if_running="refuse", idempotency_key="i1")
    assert (again.duplicate, again.existing) == (None, None)
    assert again.run_id != first.run_id


async def test_replace_cancels_the_run_in_the_commit_that_starts_the_other(server: Work):
    await a_chat(server)
    first = await invoke(server)
    job = await server.claim()

    second = await invoke(server, if_running="replace")

    before, after = await server.run(first.run_id), await server.run(second.run_id)
    assert (before.status, before.cancellation_cause) == (
        RunStatus.CANCELLED,
        f"replaced by {second.run_id}, which has its key",
    )
    assert (after.status, second.existing) == (RunStatus.PENDING, None)
    assert await keys_held(server) == [("ada", second.run_id)]
    with pytest.raises(Exception, match="execution"):
        await server.report(job, "completed", output=1)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_the_end_of_a_run_frees_its_key(server: Work, end: str):
    await a_chat(server, retry={"max_attempts": 1})
    first = await invoke(server)
    if end == "cancelled":
        await server.call(runs.cancel, id=first.run_id)
    else:
        await server.report(await server.claim(), end)

    assert await keys_held(server) == []
    assert (await invoke(server)).run_id != first.run_id


async def test_a_key_is_kept_over_attempts_pauses_and_lost_leases(server: Work):
    await a_chat(server)
    first = await invoke(server)
    await server.report(await server.claim(), "failed")
    assert (await invoke(server)).run_id == first.run_id
    await server.call(controls.pause, run_id=first.run_id)
    assert (await invoke(server)).run_id == first.run_id
    await server.call(controls.resume, run_id=first.run_id)
    await server.claim()
    server.move(90_001)
    await server.loop("leases")

    assert (await invoke(server)).run_id == first.run_id
    assert (await server.claim()).run_id == first.run_id


async def test_a_failed_run_whose_key_another_has_is_not_resumed(server: Work):
    await a_chat(server, retry={"max_attempts": 1})
    first = await invoke(server)
    await server.report(await server.claim(), "failed")
    second = await invoke(server)

    with pytest.raises(RunKeyHeld, match=second.run_id):
        await server.call(controls.retry, id=first.run_id)
    assert (await server.run(first.run_id)).status is RunStatus.FAILED

    await server.report(await server.claim(), "completed", output=1)
    await server.call(controls.retry, id=first.run_id)
    assert await keys_held(server) == [("ada", first.run_id)]


async def test_a_run_is_named_by_function_and_key_wherever_its_id_is_taken(server: Work):
    await a_chat(server, recording=True)
    run = await invoke(server)
    await server.report(await server.claim(), "progress", step_of(run.run_id, "greet"))

    assert (await server.call(runs.get, id="chat:ada")).id == run.run_id
    assert [each.name for each in (await server.call(runs.steps, run_id="chat:ada")).steps] == ["greet"]
    assert (await server.call(controls.why, id="chat:ada")).run_id == run.run_id
    assert (await server.call(past.state_at, run_id="chat:ada")).run_id == run.run_id
    assert (await server.call(controls.pause, run_id="chat:ada")).status == "pause_requested"
    assert (await server.call(runs.cancel, id="chat:ada")).id == run.run_id
    # The newest that had the key, when no run has it.
    assert (await server.call(runs.get, id="chat:ada")).status is RunStatus.CANCELLED
    await server.call(redaction.redact_run, id="chat:ada")
    for missing in ("chat:bob", "other:ada", "chat:"):
        with pytest.raises(RunNotFound):
            await server.call(runs.get, id=missing)
    with pytest.raises(RunNotFound):
        await server.call(runs.get, id="chat:ada", env="other")


def step_of(run_id: str, name: str) -> dict[str, object]:
    return {"id": f"{run_id}:{name}:0", "name": name, "type": "invoke", "status": "completed", "output": 1}


async def test_a_run_that_goes_on_is_meant_before_a_newer_one_that_has_ended(server: Work):
    await a_chat(server, retry={"max_attempts": 1})
    first = await invoke(server)
    await server.report(await server.claim(), "failed")
    second = await invoke(server)
    await server.report(await server.claim(), "completed", output=1)
    assert (await server.call(runs.get, id="chat:ada")).id == second.run_id

    await server.call(controls.retry, id=first.run_id)

    assert (await server.call(runs.get, id="chat:ada")).id == first.run_id


async def test_a_key_is_a_column_for_sql(server: Work):
    await a_chat(server)
    run = await invoke(server)

    found = await server.call(query.execute, query="SELECT id FROM runs WHERE key = 'ada'")

    assert [bytes(row) for row in found.rows] == [b'["%s"]' % run.run_id.encode()]


async def test_events_start_one_run_for_each_key_of_the_functions_expression(server: Work):
    await server.a_function(run_key="data.order")
    await server.a_worker()

    one, again, number = [await server.emit(data={"order": order}) for order in ("o1", "o1", 7)]

    assert again.run_ids == one.run_ids
    assert [(await server.run(each.run_ids[0])).key for each in (one, number)] == ["o1", "7"]


async def test_an_event_replaces_the_run_of_its_key_also_within_one_batch(server: Work):
    await server.a_function(run_key="data.order", if_running="replace")
    await server.a_worker()
    batch = [{"event": "order.placed", "data": {"order": "o1", "n": number}} for number in range(3)]

    found = await server.call(events.emit_batch, events=batch)

    started = [each.run_ids[0] for each in found.results]
    statuses = [(await server.run(run_id)).status for run_id in started]
    assert statuses == [RunStatus.CANCELLED, RunStatus.CANCELLED, RunStatus.PENDING]
    assert await keys_held(server) == [("o1", started[2])]
    assert [job.run_id for job in await server.poll(available=10)] == [started[2]]


async def test_a_refused_event_is_recorded_and_starts_what_else_it_starts(server: Work):
    await server.a_function(run_key="data.order", if_running="refuse")
    await server.a_function("mail")
    first = await server.emit(data={"order": "o1"})

    second = await server.emit(data={"order": "o1"})

    assert len(first.run_ids) == 2
    assert [(await server.run(run_id)).function_id for run_id in second.run_ids] == ["mail"]


@pytest.mark.parametrize("data", [{}, {"order": None}, {"order": {"a": 1}}, {"order": "a b"}, {"order": ""}])
async def test_an_event_without_a_key_fails_its_run(server: Work, data: object):
    await server.a_function(run_key="data.order")

    (run_id,) = (await server.emit(data=data)).run_ids

    run = await server.run(run_id)
    assert run.error is not None
    assert (run.status, run.error.code, run.key) == (RunStatus.FAILED, "RUN_KEY_MISSING", None)


async def test_debounced_events_start_one_run_for_a_key(server: Work):
    await server.a_function(run_key="data.order", debounce={"period_ms": 1000})
    await server.a_worker()
    await server.emit(data={"order": "o1"})
    server.move(2_000)
    await server.loops()
    await server.emit(data={"order": "o1"})
    server.move(2_000)
    await server.loops()

    assert (await server.call(runs.list_)).total_count == 1


@pytest.mark.parametrize(
    "config",
    [{"run_key": "data.("}, {"run_key": "data.x", "if_running": "wait"}, {"if_running": "use"},
     {"run_key": "data.items.filter(x, x > 1).filter(y, y > 2)"}],
)  # fmt: skip
async def test_settings_that_are_no_key_are_refused(server: Work, config: dict[str, str]):
    with pytest.raises(InvalidFunction):
        await server.a_function(**config)


async def test_keys_that_are_not_valid_are_refused(server: Work):
    await a_chat(server)
    for fields in ({"key": "a b"}, {"key": "ada", "if_running": "wait"}):
        with pytest.raises(InvalidRunKey):
            await server.call(events.invoke, function_id="chat", **fields)


async def test_a_caller_that_leaves_does_not_cancel_a_run_under_a_key(server: Work):
    await a_chat(server)
    run = await invoke(server)

    waited = await server.call(events.invoke_sync, function_id="chat", key="ada", timeout_ms=1)

    assert (waited.result.run_id, waited.result.wait_timed_out) == (run.run_id, True)
    assert (await server.run(run.run_id)).status is RunStatus.PENDING


async def test_bulk_retries_refuse_runs_whose_keys_others_have(server: Work):
    await a_chat(server, retry={"max_attempts": 1})
    first = await invoke(server)
    await server.report(await server.claim(), "failed")
    await invoke(server)

    job = await server.call(bulk.start, action="retry", function_id="chat", statuses=["failed"])
    await server.loops()

    done = await server.call(bulk.get, id=job.id)
    assert (await server.run(first.run_id)).status is RunStatus.FAILED
    assert (done.status, done.changed, done.refused) == ("done", 0, 1)


async def test_purged_runs_have_no_keys(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        run = await invoke(server)
        job = await server.claim()
        await server.report(job, "completed", step(job, "greet"), output=1)
        server.move(3 * 24 * 3_600_000)
        await server.loops()

        with pytest.raises(RunNotFound):
            await server.call(runs.get, id="chat:ada")
        assert (await invoke(server)).run_id != run.run_id
