"""A recorded run is shown as it was at any moment, on both databases and on every wire."""

import base64
from typing import Any

import pytest

from ironflow.base.json import Json, read_json
from ironflow.base.operation import Operation
from ironflow.base.time import DAY_MS, Millis, to_datetime
from ironflow.engine.errors import StepNotFound
from ironflow.features.audit import contract as audit
from ironflow.features.controls import contract as controls
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.features.runs.in_tx import RunDeletion
from ironflow.features.runs.loops import PurgeRuns
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import (
    BeforeTheRun,
    EntryNotFound,
    RecordingExpired,
    RunNotRecorded,
    RunState,
    StepOutput,
    StepsNotRecorded,
)
from ironflow.features.timers.in_tx import Timer, set_timers
from tests.support.work import Work, step, text_of

ASKS: list[Operation[Any, Any]] = [past.state_at, past.timeline]


async def state(server: Work, run_id: str, at: Millis | None = None, **more: Any) -> RunState:
    return await server.call(past.state_at, run_id=run_id, at=None if at is None else text_of(at), **more)


async def output(server: Work, run_id: str, named: str, at: Millis) -> StepOutput:
    return await server.call(past.step_output, run_id=run_id, step_id=named, timestamp=text_of(at))


def outputs(then: RunState) -> dict[str, Any]:
    return {each.name: read_json(each.output) for each in then.steps}


async def facts_kept(server: Work) -> list[str]:
    return await server.db.read(
        lambda tx: [row[0] for row in tx.rows("SELECT kind FROM facts ORDER BY run_id, version")]
    )


async def a_patched_run(server: Work) -> tuple[str, dict[str, Millis]]:
    """A run that reserves, charges, is paused, patched, resumed and completes, a second each; and when each was."""
    run = await server.a_run(recording=True)
    at = {"created": server.now}
    server.move(1_000)
    job = await server.claim()
    at["claimed"] = server.now
    server.move(1_000)
    await server.report(job, "progress", step(job, "reserve", {"table": 12}))
    at["reserved"] = server.now
    server.move(1_000)
    await server.sleep(job, step(job, "charge", 99), until=server.now + DAY_MS)
    at["asleep"] = server.now
    server.move(1_000)
    await server.call(controls.pause, run_id=run.id)
    await server.call(controls.patch, step_id=f"{run.id}:reserve:0", output={"table": 13}, reason="a better table")
    at["patched"] = server.now
    server.move(1_000)
    await server.call(controls.resume, run_id=run.id)
    server.move(DAY_MS)
    await server.loop("timers")
    await server.report(await server.claim(), "completed", output="flown")
    at["completed"] = server.now
    return run.id, at


async def test_a_run_and_its_steps_are_as_they_were_at_each_moment(server: Work):
    run_id, at = await a_patched_run(server)

    seen = {name: await state(server, run_id, moment) for name, moment in at.items()}

    assert {name: (then.status, then.state, outputs(then)) for name, then in seen.items()} == {
        "created": ("pending", "pending", {}),
        "claimed": ("running", "running", {}),
        "reserved": ("running", "running", {"reserve": {"table": 12}}),
        "asleep": ("paused", "waiting: sleep", {"reserve": {"table": 12}, "charge": 99, "nap": None}),
        "patched": ("paused", "paused: injection", {"reserve": {"table": 13}, "charge": 99, "nap": None}),
        "completed": ("completed", "completed", {"reserve": {"table": 13}, "charge": 99, "nap": None}),
    }
    assert seen["reserved"].timestamp == to_datetime(at["reserved"])
    assert seen["asleep"].next_at == to_datetime(at["asleep"] + DAY_MS)
    assert seen["completed"].output == Json(b'"flown"')


async def test_a_millisecond_before_something_was_recorded_it_is_not_there(server: Work):
    run_id, at = await a_patched_run(server)

    assert outputs(await state(server, run_id, at["reserved"] - 1)) == {}
    assert outputs(await state(server, run_id, at["patched"] - 1))["reserve"] == {"table": 12}


async def test_without_a_moment_it_is_as_it_is_now(server: Work):
    run_id, _ = await a_patched_run(server)
    run, steps = await server.run(run_id), await server.steps(run_id)

    now = await state(server, run_id)

    shared = (
        "function_id", "function_version", "event_id", "event_name", "input", "output", "attempt", "max_attempts",
        "created_at", "started_at", "ended_at", "state", "worker_id",
    )  # fmt: skip
    assert {name: getattr(now, name) for name in shared} == {name: getattr(run, name) for name in shared}
    assert now.status == run.status.sent
    assert [
        (each.id, each.step_id, each.name, each.type, each.sequence, each.status, each.output) for each in now.steps
    ] == [
        (each.id, each.step_id, each.name, each.step_type.value, each.sequence, each.status.value, each.output)
        for each in steps
    ]


async def test_the_version_and_code_of_the_function_are_those_it_was_created_with(server: Work):
    run = await server.a_run(recording=True, metadata={"__ironflow_code_hash": "0123456789abcdef"})
    await server.a_function(recording=True, metadata={"__ironflow_code_hash": "fedcba9876543210"})

    then = await state(server, run.id)
    assert (then.function_version, then.code_hash) == (1, "0123456789abcdef")


async def test_an_output_is_known_before_and_after_a_patch(server: Work):
    run_id, at = await a_patched_run(server)

    before = await output(server, run_id, "reserve", at["patched"] - 1)
    after = await output(server, run_id, f"{run_id}:reserve:0", at["patched"])

    assert (before.output, before.original_output, before.patched) == (Json(b'{"table":12}'), None, False)
    assert (after.output, after.original_output, after.patched) == (
        Json(b'{"table":13}'),
        Json(b'{"table":12}'),
        True,
    )
    assert (after.injected, after.status) == (False, "completed")


async def test_an_output_is_known_before_and_after_an_injection(server: Work):
    run = await server.a_run(recording=True, status="pending")
    job = await server.claim()
    await server.sleep(job, step(job, "reserve", 1), until=server.now + DAY_MS)
    await server.call(controls.pause, run_id=run.id)
    server.move(1)
    await server.call(controls.inject, run_id=run.id, step_id="reserve", new_output=2)

    before = await output(server, run.id, "reserve", server.now - 1)
    after = await output(server, run.id, "reserve", server.now)

    assert (before.output, before.injected) == (Json(b"1"), False)
    assert (after.output, after.original_output) == (Json(b"2"), Json(b"1"))
    assert (after.injected, after.patched) == (True, False)


async def test_a_step_that_was_not_there_yet_or_never_is_not_found(server: Work):
    run_id, at = await a_patched_run(server)

    with pytest.raises(StepNotFound, match="had no step 'charge' at "):
        await output(server, run_id, "charge", at["reserved"])
    with pytest.raises(StepNotFound):
        await output(server, run_id, "fly", server.now)


async def test_a_step_dropped_by_a_resume_is_there_before_and_not_after(server: Work):
    run = await server.a_run(recording=True, retry={"maxAttempts": 1})
    job = await server.claim()
    await server.report(job, "failed", step(job, "reserve", 1), step(job, "charge", error={"message": "no"}))
    server.move(1)
    await server.call(controls.resume, run_id=run.id, from_step="charge")

    assert [each.name for each in (await state(server, run.id, server.now - 1)).steps] == ["reserve", "charge"]
    assert [each.name for each in (await state(server, run.id)).steps] == ["reserve"]


async def test_the_timeline_has_everything_in_the_order_of_time(server: Work):
    run_id, at = await a_patched_run(server)

    timeline = (await server.call(past.timeline, run_id=run_id)).events

    assert [(each.event_type, each.step_name) for each in timeline if each.significant] == [
        ("run.created", ""),
        ("run.started", ""),
        ("step.completed", "reserve"),
        ("step.completed", "charge"),
        ("run.paused", ""),
        ("step.patched", "reserve"),
        ("run.resumed", ""),
        ("step.completed", "nap"),
        ("run.status_changed", ""),
    ]
    assert [each.timestamp for each in timeline] == sorted(each.timestamp for each in timeline)
    assert len({each.id for each in timeline}) == len(timeline)
    patched = next(each for each in timeline if each.event_type == "step.patched")
    assert (patched.step_id, patched.timestamp) == (f"{run_id}:reserve:0", to_datetime(at["patched"]))
    assert patched.summary == "'reserve' patched by api: a better table"


async def test_a_step_began_when_its_body_began_not_when_it_was_reported(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    began = server.now + 1_000
    server.move(3_000)
    reported = server.now
    # A body of a parallel branch began earlier, and a clock that is off says that one began before the run.
    times = {"started_at": text_of(began), "ended_at": text_of(began + 500), "duration_ms": 500}
    await server.report(
        job, "progress", step(job, "reserve", 1, **times), step(job, "charge", 2, **times, sequence=1),
        step(job, "ship", 3, sequence=2, started_at=text_of(0), ended_at=text_of(1), duration_ms=1),
    )  # fmt: skip

    timeline = (await server.call(past.timeline, run_id=run.id)).events
    trail = (await server.call(audit.trail, run_id=run.id)).events

    assert [(each.event_type, each.timestamp) for each in timeline if each.event_type.startswith("step.")] == [
        ("step.started", to_datetime(began)),
        ("step.completed", to_datetime(reported)),
        *[("step.started", to_datetime(reported)), ("step.completed", to_datetime(reported))] * 2,
    ]
    # The audit trail has both: when it was recorded, and when the body began.
    row = next(each for each in trail if each.event_type == "step.started")
    payload: Any = read_json(row.payload)
    assert (row.step_id, row.created_at) == (f"{run.id}:reserve:0", to_datetime(reported))
    assert (payload["step_name"], payload["started_at"]) == ("reserve", text_of(began))


async def test_the_state_of_a_moment_agrees_with_the_timeline(server: Work):
    run_id, _ = await a_patched_run(server)

    for each in (await server.call(past.timeline, run_id=run_id)).events:
        if each.event_type == "step.completed":
            then = await server.call(past.state_at, run_id=run_id, timestamp=each.timestamp.isoformat())
            assert {step.step_id: step.status for step in then.steps}[each.step_id] == "completed"


async def test_a_long_timeline_comes_in_pages(server: Work):
    run_id, _ = await a_patched_run(server)
    whole = (await server.call(past.timeline, run_id=run_id)).events

    first = await server.call(past.timeline, run_id=run_id, limit=3)
    rest = await server.call(past.timeline, run_id=run_id, cursor=first.next_cursor)

    assert [*first.events, *rest.events] == whole
    assert rest.next_cursor is None


async def versions_kept(server: Work, run_id: str) -> list[int]:
    asked = "SELECT version FROM facts WHERE run_id = :run_id ORDER BY version"
    return await server.db.read(lambda tx: [row[0] for row in tx.rows(asked, {"run_id": run_id})])


async def test_every_fact_is_kept_once_and_in_order(server: Work):
    run_id, _ = await a_patched_run(server)

    assert await versions_kept(server, run_id) == list(range(1, (await server.run(run_id)).version + 1))


async def test_a_timer_that_comes_with_another_of_its_run_costs_no_fact(server: Work):
    run = await server.a_run(recording=True)
    await server.sleep(await server.claim(), until=server.now + 1_000)
    server.move(1_000)
    await server.db.write(lambda tx: set_timers(tx, [Timer(run.id, "retry", "", server.now)], server.now))
    await server.loop("timers")

    assert await versions_kept(server, run.id) == list(range(1, (await server.run(run.id)).version + 1))
    assert (await state(server, run.id)).status == "pending"


@pytest.mark.parametrize("recording", [{}, {"recording": False}, {"recording": False, "recording_profile": "all"}])
async def test_with_recording_off_nothing_is_kept_and_the_error_names_the_remedy(server: Work, recording):
    run = await server.a_run(status="running", **recording)

    assert await facts_kept(server) == []
    for ask in ASKS:
        with pytest.raises(RunNotRecorded, match="Register the function with recording on"):
            await server.call(ask, run_id=run.id)
    with pytest.raises(RunNotRecorded):
        await server.call(past.step_output, run_id=run.id, step_id="reserve")


async def test_recording_turned_on_later_is_for_later_runs(server: Work):
    early = await server.a_run()
    late = await server.a_run(recording=True)

    with pytest.raises(RunNotRecorded):
        await state(server, early.id)
    assert (await state(server, late.id)).recording == "all"


async def test_before_its_creation_there_was_no_run(server: Work):
    run = await server.a_run(recording=True)

    with pytest.raises(BeforeTheRun, match="there was nothing of it at 2025-12-31T23:59:59"):
        await state(server, run.id, server.now - 1)


async def test_runs_of_another_environment_are_not_found(server: Work):
    run = await server.a_run(recording=True)

    for ask in ASKS:
        with pytest.raises(RunNotFound):
            await server.call(ask, run_id=run.id, env="staging")
        with pytest.raises(RunNotFound):
            await server.call(ask, run_id="run_none")


async def test_a_lifecycle_recording_knows_the_run_and_no_step(server: Work):
    run = await server.a_run(recording=True, recording_profile="run_lifecycle")
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 1))
    await server.report(job, "completed", output=2)

    assert await facts_kept(server) == ["run.created", "execution.leased", "run.completed"]
    then = await state(server, run.id)
    assert (then.recording, then.status, then.steps) == ("run_lifecycle", "completed", [])
    with pytest.raises(StepsNotRecorded):
        await output(server, run.id, "reserve", server.now)


async def test_a_recording_of_steps_leaves_out_heartbeats(server: Work):
    await server.a_run(recording=True, recording_profile="steps")
    job = await server.claim()
    await server.heartbeat(job)
    await server.report(job, "progress", step(job, "reserve", 1))

    assert await facts_kept(server) == ["run.created", "execution.leased", "steps.recorded"]


@pytest.mark.parametrize(
    "config", [{"recording_profile": "everything"}, {"recording_retention": "soon"}, {"recording_retention": "0d"}]
)
async def test_a_profile_or_retention_that_means_nothing_is_refused(server: Work, config: dict[str, str]):
    with pytest.raises(InvalidFunction, match=next(iter(config))):
        await server.a_function(recording=True, **config)


async def an_ended_run(server: Work, function_id: str, **config: Any) -> str:
    await server.a_function(function_id, on=None, recording=True, **config)
    await server.a_worker(function_ids=[function_id])
    async with server.http() as http:
        run_id = (await http.post(f"/api/v1/functions/{function_id}/invoke", json={})).json()["run_id"]
    await server.report(await server.claim(), "failed", error={"message": "no", "retryable": False})
    return run_id


async def test_recordings_are_forgotten_when_their_retention_is_over(server: Work):
    week = await an_ended_run(server, "week", recording_retention="7d")
    month = await an_ended_run(server, "month", recording_retention="30d")
    ever = await an_ended_run(server, "ever", recording_retention="forever")
    unsaid = await an_ended_run(server, "unsaid")

    server.move(7 * DAY_MS)
    assert [each.done["forgotten"] for each in await server.loop("recordings-forget")] == [0]
    server.move(1)
    assert [each.done["forgotten"] for each in await server.loop("recordings-forget")] == [1]

    with pytest.raises(RecordingExpired, match="recording_retention of function 'week' is over"):
        await state(server, week)
    assert (await server.run(week)).status is RunStatus.FAILED
    assert [(await state(server, run_id)).status for run_id in (month, ever, unsaid)] == ["failed"] * 3

    server.move(23 * DAY_MS)
    await server.loop("recordings-forget")
    with pytest.raises(RecordingExpired):
        await state(server, month)
    assert [(await state(server, run_id)).status for run_id in (ever, unsaid)] == ["failed"] * 2


async def test_a_run_that_has_not_ended_keeps_its_recording(server: Work):
    run = await server.a_run(recording=True, recording_retention="7d")
    server.move(100 * DAY_MS)
    await server.loop("recordings-forget")

    assert (await state(server, run.id)).status == "pending"


async def test_a_run_resumed_after_its_recording_was_forgotten_is_recorded_no_more(server: Work):
    run_id = await an_ended_run(server, "week", recording_retention="7d")
    server.move(8 * DAY_MS)
    await server.loop("recordings-forget")
    await server.call(controls.resume, run_id=run_id)

    assert await facts_kept(server) == []
    with pytest.raises(RecordingExpired):
        await state(server, run_id)


async def test_a_retention_changed_later_holds_for_earlier_runs_too(server: Work):
    run_id = await an_ended_run(server, "charge")
    await server.a_function("charge", on=None, recording=True, recording_retention="1d")
    await server.call(functions.delete, id="charge")
    server.move(2 * DAY_MS)
    await server.loop("recordings-forget")

    with pytest.raises(RecordingExpired):
        await state(server, run_id)


async def test_many_recordings_are_forgotten_in_small_transactions(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ironflow.features.time_travel.loops.BATCH", 2)
    for number in range(5):
        await an_ended_run(server, "week", recording_retention="7d")
        if server.db.name == "postgres" and not number:
            # PostgreSQL believes that there is one run, and plans for that.
            await server.db.write(lambda tx: tx.run("ANALYZE runs", {}))
    server.move(8 * DAY_MS)

    assert [each.done["forgotten"] for each in await server.loop("recordings-forget")] == [2, 2, 1]
    assert await facts_kept(server) == []


async def test_old_clients_and_generated_ones_both_find_what_they_read(server: Work):
    run_id, at = await a_patched_run(server)
    async with server.http() as http:
        answer = await http.post(
            "/ironflow.v1.TimeTravelService/GetRunStateAt",
            json={"runId": run_id, "timestamp": text_of(at["reserved"])},
        )
        rest = await http.get(f"/api/v1/runs/{run_id}/state", params={"at": text_of(at["reserved"])})
    body = answer.json()

    snapshot = body["snapshot"]
    assert read_json(base64.b64decode(snapshot["input"])) == {"total": 100}
    assert [read_json(base64.b64decode(each["output"])) for each in snapshot["steps"]] == [{"table": 12}]
    assert (snapshot["runId"], snapshot["status"], snapshot["steps"][0]["stepId"]) == (
        run_id,
        "running",
        f"{run_id}:reserve:0",
    )
    assert (body["runId"], body["status"], body["timestamp"]) == (run_id, "running", text_of(at["reserved"]))
    (first,) = body["steps"]
    assert {name: first[name] for name in ("name", "status", "output")} == {
        "name": "reserve",
        "status": "completed",
        "output": {"table": 12},
    }
    assert "snapshot" not in rest.json()
    assert rest.json()["steps"][0]["output"] == {"table": 12}


async def test_an_output_goes_as_bytes_to_rpc_and_as_json_to_rest(server: Work):
    run_id, at = await a_patched_run(server)
    async with server.http() as http:
        answer = await http.post(
            "/ironflow.v1.TimeTravelService/GetStepOutputAt",
            json={"run_id": run_id, "step_id": "reserve", "timestamp": text_of(at["patched"])},
        )
        rest = await http.get(f"/api/v1/runs/{run_id}/steps/reserve/output", params={"at": text_of(at["patched"])})

    assert answer.json() == {
        "stepId": f"{run_id}:reserve:0",
        "status": "completed",
        "output": base64.b64encode(b'{"table":13}').decode(),
        "originalOutput": base64.b64encode(b'{"table":12}').decode(),
        "patched": True,
        "injected": False,
        "timestamp": text_of(at["patched"]),
    }
    assert rest.json() == {
        "step_id": f"{run_id}:reserve:0",
        "status": "completed",
        "output": {"table": 13},
        "original_output": {"table": 12},
        "patched": True,
        "injected": False,
        "timestamp": text_of(at["patched"]),
    }


async def test_purged_runs_take_their_facts_with_them(server: Work):
    await an_ended_run(server, "charge")

    await PurgeRuns(server.db, server.part(RunDeletion), retention_days=1).run_once(server.now + DAY_MS + 1)

    assert await facts_kept(server) == []


async def test_between_its_start_and_its_end_a_step_is_running(server: Work):
    """As its worker measured; it is recorded later."""
    run = await server.a_run(recording=True)
    job = await server.claim()
    began = server.now
    server.move(1_000)
    pay = step(job, "pay", 1) | {"started_at": text_of(began + 100), "ended_at": text_of(began + 400)}
    await server.report(job, "progress", pay)

    found = [
        [(each.name, each.status) for each in (await state(server, run.id, began + ms)).steps]
        for ms in range(0, 501, 100)
    ]

    running, completed = [("pay", "running")], [("pay", "completed")]
    assert found == [[], running, running, running, completed, completed]


async def test_a_step_that_runs_now_is_shown_as_running(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    pay = f"{run.id}:pay:0"
    await server.report(
        job, "progress", started=[{"id": pay, "name": "pay", "started_at": text_of(server.now)}], running=1
    )
    assert [(each.name, each.status) for each in (await state(server, run.id)).steps] == [("pay", "running")]

    await server.report(job, "progress", step(job, "pay", 1))

    assert [(each.name, each.status) for each in (await state(server, run.id)).steps] == [("pay", "completed")]


async def test_a_state_is_that_just_after_an_entry_even_within_a_millisecond(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 1))
    await server.report(job, "completed", step(job, "charge", 2), output=3)
    entries = (await server.call(past.timeline, run_id=run.id)).events

    seen = {each.event_type: await server.call(past.state_at, run_id=run.id, entry=each.id) for each in entries}

    assert len({each.timestamp for each in entries}) == 1
    assert (seen["run.created"].status, outputs(seen["run.created"])) == ("pending", {})
    assert (seen["run.started"].status, outputs(seen["run.started"])) == ("running", {})
    first = next(each for each in entries if each.step_name == "reserve")
    assert outputs(await server.call(past.state_at, run_id=run.id, entry=first.id)) == {"reserve": 1}
    assert outputs(seen["run.status_changed"]) == {"reserve": 1, "charge": 2}


async def test_a_body_that_runs_at_an_entry_is_running_then(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    started = text_of(server.now)
    await server.report(job, "progress", step(job, "reserve", 1, started_at=started))
    entries = (await server.call(past.timeline, run_id=run.id)).events

    before = await server.call(past.state_at, run_id=run.id, entry=entries[1].id)
    assert [(each.name, each.status) for each in before.steps] == [("reserve", "running")]


@pytest.mark.parametrize("entry", ["aud_x_1_0", "aud_", "nothing", "aud_{run}_0_0", "aud_{run}_99_0", "aud_{run}_٣_0"])
async def test_an_entry_that_the_timeline_has_not_is_not_found(server: Work, entry: str):
    run = await server.a_run(recording=True)
    with pytest.raises(EntryNotFound):
        await server.call(past.state_at, run_id=run.id, entry=entry.format(run=run.id.removeprefix("run_")))


async def test_entries_of_failures_are_marked(server: Work):
    run = await server.a_run(recording=True, retry={"max_attempts": 1})
    job = await server.claim()
    await server.report(job, "failed", step(job, "reserve", 1), step(job, "charge", error={"message": "no"}))
    entries = (await server.call(past.timeline, run_id=run.id)).events

    failed = [each for each in entries if each.failed]
    assert [each.step_name for each in failed] == ["charge", ""]
