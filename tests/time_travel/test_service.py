"""A recorded run is shown as it was at any moment, on both databases and on every wire."""

import base64
from typing import Any

import pytest

from ironflow.base.json import Json, read_json
from ironflow.base.operation import Operation
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.errors import StepNotFound
from ironflow.features.controls import contract as controls
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import (
    BeforeTheRun,
    RecordingExpired,
    RunNotRecorded,
    RunState,
    StepOutput,
    StepsNotRecorded,
)
from ironflow.features.timers.in_tx import Timer, set_timers
from ironflow.storage.port import Tx
from tests.support.work import Work, step, text_of

DAY_MS = 24 * 3_600_000
ASKS: list[Operation[Any, Any]] = [past.state_at, past.timeline]


async def state(house: Work, run_id: str, at: Millis | None = None, **more: Any) -> RunState:
    return await house.call(past.state_at, run_id=run_id, at=None if at is None else text_of(at), **more)


async def output(house: Work, run_id: str, named: str, at: Millis) -> StepOutput:
    return await house.call(past.step_output, run_id=run_id, step_id=named, timestamp=text_of(at))


def outputs(then: RunState) -> dict[str, Any]:
    return {each.name: read_json(each.output) for each in then.steps}


async def facts_kept(house: Work) -> list[str]:
    return await house.db.read(
        lambda tx: [row[0] for row in tx.rows("SELECT kind FROM facts ORDER BY run_id, version")]
    )


async def a_patched_run(house: Work) -> tuple[str, dict[str, Millis]]:
    """A run that reserves, charges, is paused, patched, resumed and completes, a second each; and when each was."""
    run = await house.a_run(recording=True)
    at = {"created": house.now}
    house.move(1_000)
    job = await house.claim()
    at["claimed"] = house.now
    house.move(1_000)
    await house.report(job, "progress", step(job, "reserve", {"seat": 12}))
    at["reserved"] = house.now
    house.move(1_000)
    await house.sleep(job, step(job, "charge", 99), until=house.now + DAY_MS)
    at["asleep"] = house.now
    house.move(1_000)
    await house.call(controls.pause, run_id=run.id)
    await house.call(controls.patch, step_id=f"{run.id}:reserve:0", output={"seat": 13}, reason="a better seat")
    at["patched"] = house.now
    house.move(1_000)
    await house.call(controls.resume, run_id=run.id)
    house.move(DAY_MS)
    await house.loop("timers")
    await house.report(await house.claim(), "completed", output="flown")
    at["completed"] = house.now
    return run.id, at


async def test_a_run_and_its_steps_are_as_they_were_at_each_moment(house: Work):
    run_id, at = await a_patched_run(house)

    seen = {name: await state(house, run_id, moment) for name, moment in at.items()}

    assert {name: (then.status, then.state, outputs(then)) for name, then in seen.items()} == {
        "created": ("pending", "pending", {}),
        "claimed": ("running", "running", {}),
        "reserved": ("running", "running", {"reserve": {"seat": 12}}),
        "asleep": ("paused", "waiting: sleep", {"reserve": {"seat": 12}, "charge": 99, "nap": None}),
        "patched": ("paused", "paused: injection", {"reserve": {"seat": 13}, "charge": 99, "nap": None}),
        "completed": ("completed", "completed", {"reserve": {"seat": 13}, "charge": 99, "nap": None}),
    }
    assert seen["reserved"].timestamp == to_datetime(at["reserved"])
    assert seen["asleep"].next_at == to_datetime(at["asleep"] + DAY_MS)
    assert seen["completed"].output == Json(b'"flown"')


async def test_a_millisecond_before_something_was_recorded_it_is_not_there(house: Work):
    run_id, at = await a_patched_run(house)

    assert outputs(await state(house, run_id, at["reserved"] - 1)) == {}
    assert outputs(await state(house, run_id, at["patched"] - 1))["reserve"] == {"seat": 12}


async def test_without_a_moment_it_is_as_it_is_now(house: Work):
    run_id, _ = await a_patched_run(house)
    run, steps = await house.run(run_id), await house.steps(run_id)

    now = await state(house, run_id)

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


async def test_the_version_and_code_of_the_function_are_those_it_was_created_with(house: Work):
    run = await house.a_run(recording=True, metadata={"__ironflow_code_hash": "0123456789abcdef"})
    await house.a_function(recording=True, metadata={"__ironflow_code_hash": "fedcba9876543210"})

    then = await state(house, run.id)
    assert (then.function_version, then.code_hash) == (1, "0123456789abcdef")


async def test_an_output_is_known_before_and_after_a_patch(house: Work):
    run_id, at = await a_patched_run(house)

    before = await output(house, run_id, "reserve", at["patched"] - 1)
    after = await output(house, run_id, f"{run_id}:reserve:0", at["patched"])

    assert (before.output, before.original_output, before.patched) == (Json(b'{"seat":12}'), None, False)
    assert (after.output, after.original_output, after.patched) == (
        Json(b'{"seat":13}'),
        Json(b'{"seat":12}'),
        True,
    )
    assert (after.injected, after.status) == (False, "completed")


async def test_an_output_is_known_before_and_after_an_injection(house: Work):
    run = await house.a_run(recording=True, status="pending")
    job = await house.claim()
    await house.sleep(job, step(job, "reserve", 1), until=house.now + DAY_MS)
    await house.call(controls.pause, run_id=run.id)
    house.move(1)
    await house.call(controls.inject, run_id=run.id, step_id="reserve", new_output=2)

    before = await output(house, run.id, "reserve", house.now - 1)
    after = await output(house, run.id, "reserve", house.now)

    assert (before.output, before.injected) == (Json(b"1"), False)
    assert (after.output, after.original_output) == (Json(b"2"), Json(b"1"))
    assert (after.injected, after.patched) == (True, False)


async def test_a_step_that_was_not_there_yet_or_never_is_not_found(house: Work):
    run_id, at = await a_patched_run(house)

    with pytest.raises(StepNotFound, match="had no step 'charge' at "):
        await output(house, run_id, "charge", at["reserved"])
    with pytest.raises(StepNotFound):
        await output(house, run_id, "fly", house.now)


async def test_a_step_dropped_by_a_resume_is_there_before_and_not_after(house: Work):
    run = await house.a_run(recording=True, retry={"maxAttempts": 1})
    job = await house.claim()
    await house.report(job, "failed", step(job, "reserve", 1), step(job, "charge", error={"message": "no"}))
    house.move(1)
    await house.call(controls.resume, run_id=run.id, from_step="charge")

    assert [each.name for each in (await state(house, run.id, house.now - 1)).steps] == ["reserve", "charge"]
    assert [each.name for each in (await state(house, run.id)).steps] == ["reserve"]


async def test_the_timeline_tells_everything_in_the_order_of_time(house: Work):
    run_id, at = await a_patched_run(house)

    told = (await house.call(past.timeline, run_id=run_id)).events

    assert [(each.event_type, each.step_name) for each in told if each.significant] == [
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
    assert [each.timestamp for each in told] == sorted(each.timestamp for each in told)
    assert len({each.id for each in told}) == len(told)
    patched = next(each for each in told if each.event_type == "step.patched")
    assert (patched.step_id, patched.timestamp) == (f"{run_id}:reserve:0", to_datetime(at["patched"]))
    assert patched.summary == "'reserve' patched by api: a better seat"


async def test_what_the_timeline_tells_of_a_moment_the_state_of_that_moment_shows(house: Work):
    run_id, _ = await a_patched_run(house)

    for each in (await house.call(past.timeline, run_id=run_id)).events:
        if each.event_type == "step.completed":
            then = await house.call(past.state_at, run_id=run_id, timestamp=each.timestamp.isoformat())
            assert {step.step_id: step.status for step in then.steps}[each.step_id] == "completed"


async def test_a_long_timeline_comes_in_pages(house: Work):
    run_id, _ = await a_patched_run(house)
    whole = (await house.call(past.timeline, run_id=run_id)).events

    first = await house.call(past.timeline, run_id=run_id, limit=3)
    rest = await house.call(past.timeline, run_id=run_id, cursor=first.next_cursor)

    assert [*first.events, *rest.events] == whole
    assert rest.next_cursor is None


async def versions_kept(house: Work, run_id: str) -> list[int]:
    asked = "SELECT version FROM facts WHERE run_id = :run_id ORDER BY version"
    return await house.db.read(lambda tx: [row[0] for row in tx.rows(asked, {"run_id": run_id})])


async def test_every_fact_is_kept_once_and_in_order(house: Work):
    run_id, _ = await a_patched_run(house)

    assert await versions_kept(house, run_id) == list(range(1, (await house.run(run_id)).version + 1))


async def test_a_timer_that_comes_with_another_of_its_run_costs_no_fact(house: Work):
    run = await house.a_run(recording=True)
    await house.sleep(await house.claim(), until=house.now + 1_000)
    house.move(1_000)
    await house.db.write(lambda tx: set_timers(tx, [Timer(run.id, "retry", "", house.now)], house.now))
    await house.loop("timers")

    assert await versions_kept(house, run.id) == list(range(1, (await house.run(run.id)).version + 1))
    assert (await state(house, run.id)).status == "pending"


@pytest.mark.parametrize("recording", [{}, {"recording": False}, {"recording": False, "recording_profile": "all"}])
async def test_with_recording_off_nothing_is_kept_and_the_refusal_says_what_to_do(house: Work, recording):
    run = await house.a_run(status="running", **recording)

    assert await facts_kept(house) == []
    for ask in ASKS:
        with pytest.raises(RunNotRecorded, match="Register the function with recording on"):
            await house.call(ask, run_id=run.id)
    with pytest.raises(RunNotRecorded):
        await house.call(past.step_output, run_id=run.id, step_id="reserve")


async def test_recording_turned_on_later_is_for_later_runs(house: Work):
    early = await house.a_run()
    late = await house.a_run(recording=True)

    with pytest.raises(RunNotRecorded):
        await state(house, early.id)
    assert (await state(house, late.id)).recording == "all"


async def test_before_its_creation_there_was_no_run(house: Work):
    run = await house.a_run(recording=True)

    with pytest.raises(BeforeTheRun, match="there was nothing of it at 2025-12-31T23:59:59"):
        await state(house, run.id, house.now - 1)


async def test_runs_of_another_environment_are_not_found(house: Work):
    run = await house.a_run(recording=True)

    for ask in ASKS:
        with pytest.raises(RunNotFound):
            await house.call(ask, run_id=run.id, env="staging")
        with pytest.raises(RunNotFound):
            await house.call(ask, run_id="run_none")


async def test_a_lifecycle_recording_knows_the_run_and_no_step(house: Work):
    run = await house.a_run(recording=True, recording_profile="run_lifecycle")
    job = await house.claim()
    await house.report(job, "progress", step(job, "reserve", 1))
    await house.report(job, "completed", output=2)

    assert await facts_kept(house) == ["run.created", "execution.leased", "run.completed"]
    then = await state(house, run.id)
    assert (then.recording, then.status, then.steps) == ("run_lifecycle", "completed", [])
    with pytest.raises(StepsNotRecorded):
        await output(house, run.id, "reserve", house.now)


async def test_a_recording_of_steps_leaves_out_the_signs_of_life(house: Work):
    await house.a_run(recording=True, recording_profile="steps")
    job = await house.claim()
    await house.heartbeat(job)
    await house.report(job, "progress", step(job, "reserve", 1))

    assert await facts_kept(house) == ["run.created", "execution.leased", "steps.recorded"]


@pytest.mark.parametrize(
    "config", [{"recording_profile": "everything"}, {"recording_retention": "soon"}, {"recording_retention": "0d"}]
)
async def test_a_profile_or_retention_that_means_nothing_is_refused(house: Work, config: dict[str, str]):
    with pytest.raises(InvalidFunction, match=next(iter(config))):
        await house.a_function(recording=True, **config)


async def an_ended_run(house: Work, function_id: str, **config: Any) -> str:
    await house.a_function(function_id, on=None, recording=True, **config)
    await house.a_worker(function_ids=[function_id])
    async with house.http() as http:
        run_id = (await http.post(f"/api/v1/functions/{function_id}/invoke", json={})).json()["run_id"]
    await house.report(await house.claim(), "failed", error={"message": "no", "retryable": False})
    return run_id


async def test_recordings_are_forgotten_when_their_retention_is_over(house: Work):
    week = await an_ended_run(house, "week", recording_retention="7d")
    month = await an_ended_run(house, "month", recording_retention="30d")
    ever = await an_ended_run(house, "ever", recording_retention="forever")
    unsaid = await an_ended_run(house, "unsaid")

    house.move(7 * DAY_MS)
    assert [each.runs for each in await house.loop("recordings-forget")] == [0]
    house.move(1)
    assert [each.runs for each in await house.loop("recordings-forget")] == [1]

    with pytest.raises(RecordingExpired, match="recording_retention of function 'week' is over"):
        await state(house, week)
    assert (await house.run(week)).status is RunStatus.FAILED
    assert [(await state(house, run_id)).status for run_id in (month, ever, unsaid)] == ["failed"] * 3

    house.move(23 * DAY_MS)
    await house.loop("recordings-forget")
    with pytest.raises(RecordingExpired):
        await state(house, month)
    assert [(await state(house, run_id)).status for run_id in (ever, unsaid)] == ["failed"] * 2


async def test_a_run_that_has_not_ended_keeps_its_recording(house: Work):
    run = await house.a_run(recording=True, recording_retention="7d")
    house.move(100 * DAY_MS)
    await house.loop("recordings-forget")

    assert (await state(house, run.id)).status == "pending"


async def test_a_run_resumed_after_its_recording_was_forgotten_is_recorded_no_more(house: Work):
    run_id = await an_ended_run(house, "week", recording_retention="7d")
    house.move(8 * DAY_MS)
    await house.loop("recordings-forget")
    await house.call(controls.resume, run_id=run_id)

    assert await facts_kept(house) == []
    with pytest.raises(RecordingExpired):
        await state(house, run_id)


async def test_a_retention_changed_later_holds_for_earlier_runs_too(house: Work):
    run_id = await an_ended_run(house, "charge")
    await house.a_function("charge", on=None, recording=True, recording_retention="1d")
    await house.call(functions.delete, id="charge")
    house.move(2 * DAY_MS)
    await house.loop("recordings-forget")

    with pytest.raises(RecordingExpired):
        await state(house, run_id)


async def test_many_recordings_are_forgotten_in_small_transactions(house: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ironflow.features.time_travel.loops.BATCH", 2)
    for _ in range(5):
        await an_ended_run(house, "week", recording_retention="7d")
    house.move(8 * DAY_MS)

    assert [each.runs for each in await house.loop("recordings-forget")] == [2, 2, 1]
    assert await facts_kept(house) == []


async def test_old_clients_and_generated_ones_both_find_what_they_read(house: Work):
    run_id, at = await a_patched_run(house)
    async with house.http() as http:
        answer = await http.post(
            "/ironflow.v1.TimeTravelService/GetRunStateAt",
            json={"runId": run_id, "timestamp": text_of(at["reserved"])},
        )
        rest = await http.get(f"/api/v1/runs/{run_id}/state", params={"at": text_of(at["reserved"])})
    body = answer.json()

    snapshot = body["snapshot"]
    assert read_json(base64.b64decode(snapshot["input"])) == {"total": 100}
    assert [read_json(base64.b64decode(each["output"])) for each in snapshot["steps"]] == [{"seat": 12}]
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
        "output": {"seat": 12},
    }
    assert "snapshot" not in rest.json()
    assert rest.json()["steps"][0]["output"] == {"seat": 12}


async def test_an_output_goes_as_bytes_to_rpc_and_as_json_to_rest(house: Work):
    run_id, at = await a_patched_run(house)
    async with house.http() as http:
        answer = await http.post(
            "/ironflow.v1.TimeTravelService/GetStepOutputAt",
            json={"run_id": run_id, "step_id": "reserve", "timestamp": text_of(at["patched"])},
        )
        rest = await http.get(f"/api/v1/runs/{run_id}/steps/reserve/output", params={"at": text_of(at["patched"])})

    assert answer.json() == {
        "stepId": f"{run_id}:reserve:0",
        "status": "completed",
        "output": base64.b64encode(b'{"seat":13}').decode(),
        "originalOutput": base64.b64encode(b'{"seat":12}').decode(),
        "patched": True,
        "injected": False,
        "timestamp": text_of(at["patched"]),
    }
    assert rest.json() == {
        "step_id": f"{run_id}:reserve:0",
        "status": "completed",
        "output": {"seat": 13},
        "original_output": {"seat": 12},
        "patched": True,
        "injected": False,
        "timestamp": text_of(at["patched"]),
    }


async def test_purged_runs_take_their_facts_with_them(house: Work):
    await an_ended_run(house, "charge")

    def purge(tx: Tx) -> int:
        from ironflow.features.runs.store import purge_ended

        return len(purge_ended(tx, house.now + 1, 10))

    await house.db.write(purge)
    assert await facts_kept(house) == []
