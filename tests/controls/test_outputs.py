"""Reading a paused run and replacing outputs: inject while it is paused, patch while no worker has it."""

import base64
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import PayloadTooLarge
from ironflow.engine.errors import RunNotPaused, RunRunning, StepNotFinished, StepNotFound
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import InvalidOutput
from ironflow.features.runs.contract import Run, RunStatus, StepStatus
from tests.support.server import open_server
from tests.support.work import Work, step
from tests.support.yields import sleeps, waits_for

FINAL = {"message": "declined", "code": "DECLINED", "retryable": False}


async def a_paused_run(server: Work, *steps: tuple[str, Any]) -> Run:
    """A run that is paused after these steps: names and outputs."""
    run = await server.a_run()
    job = await server.claim()
    await server.call(controls.pause, run_id=run.id)
    await server.report(job, "progress", *(step(job, name, output) for name, output in steps))
    return await server.run(run.id)


async def a_failed_run(server: Work) -> Run:
    """A run whose step `charge` failed after `reserve` was done."""
    run = await server.a_run()
    job = await server.claim()
    steps = [
        step(job, "reserve", {"feature": 7}),
        step(job, "charge", error={"message": "declined", "retryable": False}),
    ]
    await server.report(job, "failed", *steps, error=FINAL)
    return await server.run(run.id)


async def outputs(server: Work) -> dict[str, Any]:
    """The steps as the next worker gets them."""
    job = await server.claim()
    return {each.name: msgspec.json.decode(each.output) for each in job.completed_steps}


async def test_the_paused_state_lists_finished_steps_and_what_comes_next(server: Work):
    run = await server.a_run()
    job = await server.claim()
    done = step(job, "reserve", {"feature": 7}, ended_at="2026-01-01T00:00:05Z")
    broken = step(job, "charge", error={"message": "declined", "retryable": False})
    await server.report(job, "yielded", done, broken, yielded=waits_for(job, "order.approved"))
    await server.call(controls.pause, run_id=run.id)

    state = await server.call(controls.paused_state, run_id=run.id)

    rows = {each.name: each for each in await server.steps(run.id)}
    assert (state.pause_reason, state.next_step_hint) == ("injection", "approval")
    assert [(each.name, each.status, each.step_type, each.injected) for each in state.steps] == [
        ("reserve", "completed", "invoke", False),
        ("charge", "failed", "invoke", False),
    ]
    reserve, charge = state.steps
    assert (reserve.id, reserve.output, reserve.completed_at) == (
        rows["reserve"].id,
        '{"feature":7}',
        rows["reserve"].ended_at,
    )
    assert (charge.output, msgspec.json.decode(charge.error or "")["message"]) == (None, "declined")


async def test_an_injected_output_is_what_the_resumed_run_goes_on_with(server: Work):
    run = await a_paused_run(server, ("reserve", {"feature": 7}), ("price", 100))
    row = (await server.steps(run.id))[1]

    answer = await server.call(
        controls.inject, run_id=run.id, step_id=row.id, new_output={"euros": 90}, reason="a discount"
    )

    assert (answer.step_id, answer.previous_output) == (row.id, "100")
    assert [each.injected for each in (await server.call(controls.paused_state, run_id=run.id)).steps] == [False, True]
    shown = (await server.steps(run.id))[1]
    assert (bytes(shown.output or b""), bytes(shown.original_output or b"")) == (b'{"euros":90}', b"100")
    await server.call(controls.resume, run_id=run.id)
    assert await outputs(server) == {"reserve": {"feature": 7}, "price": {"euros": 90}}


async def test_a_step_is_named_by_its_row_its_step_id_or_its_name(server: Work):
    run = await a_paused_run(server, ("price", 1))
    (row,) = await server.steps(run.id)
    for number, named in enumerate((row.id, row.step_id, "price"), start=2):
        answer = await server.call(controls.inject, run_id=run.id, step_id=named, new_output=number)
        assert (answer.step_id, answer.previous_output) == (row.id, str(number - 1))
    assert bytes((await server.steps(run.id))[0].original_output or b"") == b"1"
    with pytest.raises(StepNotFound):
        await server.call(controls.inject, run_id=run.id, step_id="nothing", new_output=1)


ACCEPTED = [
    ({"a": [1, None]}, '{"a":[1,null]}'),
    (12345678901234567890, "12345678901234567890"),
    ('{"a": 1}', '{"a": 1}'),
    ("null", "null"),
    (base64.b64encode(b'{"a": 1}').decode(), '{"a": 1}'),
]


async def test_an_injected_output_is_json_or_json_as_text_or_base64_of_it(server: Work):
    run = await a_paused_run(server, ("price", 1))
    for given, kept in ACCEPTED:
        await server.call(controls.inject, run_id=run.id, step_id="price", new_output=given)
        assert bytes((await server.steps(run.id))[0].output or b"").decode() == kept
    with pytest.raises(InvalidOutput):
        await server.call(controls.inject, run_id=run.id, step_id="price", new_output="not json, not base64")


async def test_injecting_is_for_paused_runs_only(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "price", 1))
    with pytest.raises(RunNotPaused):
        await server.call(controls.inject, run_id=run.id, step_id="price", new_output=2)

    await server.report(job, "failed", error=FINAL)
    with pytest.raises(RunNotPaused):
        await server.call(controls.inject, run_id=run.id, step_id="price", new_output=2)
    assert bytes((await server.steps(run.id))[0].output or b"") == b"1"


async def test_a_failed_step_of_a_paused_run_is_repaired_by_injecting(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.call(controls.pause, run_id=run.id)
    await server.report(job, "progress", step(job, "price", error={"message": "down", "retryable": True}))

    answer = await server.call(controls.inject, run_id=run.id, step_id="price", new_output=5)

    assert answer.previous_output == "null"
    (row,) = await server.steps(run.id)
    assert (row.status, row.error) == (StepStatus.COMPLETED, None)
    await server.call(controls.resume, run_id=run.id)
    assert await outputs(server) == {"price": 5}


async def test_a_step_that_is_under_way_has_no_output_to_replace(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 1_000))
    await server.call(controls.pause, run_id=run.id)

    with pytest.raises(StepNotFinished):
        await server.call(controls.inject, run_id=run.id, step_id="nap", new_output=1)
    with pytest.raises(StepNotFinished):
        await server.call(controls.patch, step_id=f"{run.id}:nap:0", output=1)


async def test_a_patch_replaces_an_output_and_keeps_the_original_its_author_and_time(server: Work):
    run = await a_failed_run(server)
    row = (await server.steps(run.id))[0]
    server.move(1_000)

    for output in ({"feature": 8}, {"feature": 9}):
        patched = await server.call(controls.patch, step_id=row.id, output=output, reason="overbooked")

    assert bytes(patched.output or b"") == b'{"feature":9}'
    assert bytes(patched.original_output or b"") == b'{"feature":7}'
    assert (patched.patched_by, patched.patched_at, patched.id) == ("api", patched.updated_at, row.id)
    # Nothing goes on by itself.
    assert (await server.run(run.id)).status is RunStatus.FAILED
    await server.call(controls.resume, run_id=run.id)
    assert await outputs(server) == {"reserve": {"feature": 9}}


async def test_a_failed_step_that_is_patched_is_done_when_the_run_is_resumed(server: Work):
    run = await a_failed_run(server)

    patched = await server.call(controls.patch, step_id=f"{run.id}:charge:0", output={"paid": True})

    assert (patched.status, patched.error) == (StepStatus.COMPLETED, None)
    await server.call(controls.resume, run_id=run.id)
    assert await outputs(server) == {"reserve": {"feature": 7}, "charge": {"paid": True}}


async def test_a_run_that_a_worker_has_is_not_patched_one_that_sleeps_is(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "price", 1))
    with pytest.raises(RunRunning):
        await server.call(controls.patch, step_id=f"{run.id}:price:0", output=2)

    await server.report(job, "yielded", yielded=sleeps(job, server.now + 1_000))
    await server.call(controls.patch, step_id=f"{run.id}:price:0", output=2)
    server.move(1_000)
    await server.loop("timers")
    assert await outputs(server) == {"price": 2, "nap": None}


async def test_steps_of_nowhere_are_not_found(server: Work):
    run = await a_failed_run(server)
    for step_id in (f"{run.id}:other:0", (await server.steps(run.id))[0].id + "9"):
        with pytest.raises(StepNotFound):
            await server.call(controls.patch, step_id=step_id, output=1)


@pytest.mark.parametrize("operation", ["inject", "patch"])
async def test_an_output_that_is_given_by_hand_is_no_larger_than_one_of_a_step(database_url: str, operation: str):
    async with open_server(Work, database_url, output_bytes_max=1_000) as server:
        run = await a_paused_run(server, ("reserve", 1))
        (reserve,) = await server.steps(run.id)

        async def change(size: int) -> None:
            output = {"x": "y" * size}
            if operation == "inject":
                await server.call(controls.inject, run_id=run.id, step_id=reserve.id, new_output=output)
            else:
                await server.call(controls.patch, step_id=reserve.id, output=output)

        with pytest.raises(PayloadTooLarge, match="this server accepts 1000"):
            await change(1_000)
        await change(900)
