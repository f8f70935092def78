"""A recorded step that the handler meets as another kind of step: its run is held with both histories in the error."""

from ironflow.features.controls import contract as controls
from ironflow.features.runs.contract import RunStatus, StepType
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for


async def test_a_run_whose_code_no_longer_fits_is_held_with_both_histories_in_its_error(house: Work):
    run = await house.a_run(retry={"max_attempts": 3})
    job = await house.claim()
    await house.report(job, "yielded", step(job, "reserve", 1), yielded=sleeps(job, house.now))
    job = await house.claim()
    await house.report(job, "progress", step(job, "nap", 2), step(job, "charge", 3))

    held = await house.run(run.id)
    assert (held.status, held.attempt) == (RunStatus.PAUSED, 1)
    assert held.error is not None
    assert held.error.code == "STEP_DIVERGED"
    assert "Recorded: reserve (invoke), nap (sleep)." in held.error.message
    assert "Met: nap (invoke), charge (invoke)." in held.error.message
    # Nothing of what the other code did is recorded.
    assert [(each.name, each.step_type) for each in await house.steps(run.id)] == [
        ("reserve", StepType.INVOKE),
        ("nap", StepType.SLEEP),
    ]


async def test_every_kind_of_step_is_told_from_every_other(house: Work):
    await house.a_function()
    await house.a_worker()
    for first in ("sleep", "wait"):
        (run_id,) = (await house.emit()).run_ids
        job = await house.claim()
        told = {"sleep": sleeps(job, house.now, name="x"), "wait": waits_for(job, "go", name="x")}
        await house.report(job, "yielded", yielded=told[first])
        await house.emit("go")
        job = await house.claim()
        other = invokes(job, "x") if first == "sleep" else sleeps(job, house.now, name="x")
        await house.report(job, "yielded", yielded=other)

        assert (await house.run(run_id)).state == "paused: diverged"


async def test_a_held_run_goes_on_with_the_right_code_or_from_an_earlier_step(house: Work):
    run = await house.a_run()
    for from_step, left in (("", ["nap"]), ("nap", [])):
        job = await house.claim()
        if not job.completed_steps:
            await house.report(job, "yielded", yielded=sleeps(job, house.now))
            job = await house.claim()
        await house.report(job, "progress", step(job, "nap", 2))
        assert (await house.run(run.id)).state == "paused: diverged"

        await house.call(controls.resume, run_id=run.id, from_step=from_step)
        assert [each.name for each in await house.steps(run.id)] == left
    assert (await house.claim()).completed_steps == []
