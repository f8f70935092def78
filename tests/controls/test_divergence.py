"""A recorded step that the handler meets as another kind of step: its run is held with both histories in the error."""

from ironflow.features.controls import contract as controls
from ironflow.features.runs.contract import RunStatus, StepType
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for


async def test_a_run_whose_code_no_longer_fits_is_held_with_both_histories_in_its_error(server: Work):
    run = await server.a_run(retry={"max_attempts": 3})
    job = await server.claim()
    await server.report(job, "yielded", step(job, "reserve", 1), yielded=sleeps(job, server.now))
    job = await server.claim()
    await server.report(job, "progress", step(job, "nap", 2), step(job, "charge", 3))

    held = await server.run(run.id)
    assert (held.status, held.attempt) == (RunStatus.PAUSED, 1)
    assert held.error is not None
    assert held.error.code == "STEP_DIVERGED"
    assert "Recorded: reserve (invoke), nap (sleep)." in held.error.message
    assert "Reached: nap (invoke), charge (invoke)." in held.error.message
    # Nothing of what the other code did is recorded.
    assert [(each.name, each.step_type) for each in await server.steps(run.id)] == [
        ("reserve", StepType.INVOKE),
        ("nap", StepType.SLEEP),
    ]


async def test_every_kind_of_step_is_distinguished_from_every_other(server: Work):
    await server.a_function()
    await server.a_worker()
    for first in ("sleep", "wait"):
        (run_id,) = (await server.emit()).run_ids
        job = await server.claim()
        yields = {"sleep": sleeps(job, server.now, name="x"), "wait": waits_for(job, "go", name="x")}
        await server.report(job, "yielded", yielded=yields[first])
        await server.emit("go")
        job = await server.claim()
        other = invokes(job, "x") if first == "sleep" else sleeps(job, server.now, name="x")
        await server.report(job, "yielded", yielded=other)

        assert (await server.run(run_id)).state == "paused: diverged"


async def test_a_held_run_goes_on_with_the_right_code_or_from_an_earlier_step(server: Work):
    run = await server.a_run()
    for from_step, left in (("", ["nap"]), ("nap", [])):
        job = await server.claim()
        if not job.completed_steps:
            await server.report(job, "yielded", yielded=sleeps(job, server.now))
            job = await server.claim()
        await server.report(job, "progress", step(job, "nap", 2))
        assert (await server.run(run.id)).state == "paused: diverged"

        await server.call(controls.resume, run_id=run.id, from_step=from_step)
        assert [each.name for each in await server.steps(run.id)] == left
    assert (await server.claim()).completed_steps == []
