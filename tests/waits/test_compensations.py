"""Compensations run in the worker. The server records them and returns them, so that none runs twice."""

from typing import Any

from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType
from tests.support.work import Work, step

GIVEN_UP = {"message": "no feature", "code": "FULL", "retryable": False}


def undo(job: Assignment, name: str, **more: Any) -> dict[str, Any]:
    """The compensation of a step as workers report it: its own row, with the name of what it undoes."""
    fields = {"id": f"{job.run_id}:compensate:{name}:0", "type": "compensate", "compensation_for": name, **more}
    return step(job, f"compensate:{name}", **fields)


async def test_compensations_reported_with_the_failure_are_rows_of_their_own(server: Work):
    run = await server.a_run()
    job = await server.claim()
    steps = [step(job, "flight", 1), step(job, "hotel", 2), undo(job, "hotel", output="undone"), undo(job, "flight")]
    await server.report(job, "failed", *steps, error=GIVEN_UP)

    failed = await server.run(run.id)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "FULL")
    shown = [(each.name, each.step_type, each.compensation_for, each.sequence) for each in await server.steps(run.id)]
    assert shown == [
        ("flight", StepType.INVOKE, None, 0),
        ("hotel", StepType.INVOKE, None, 1),
        ("compensate:hotel", StepType.COMPENSATE, "hotel", 2),
        ("compensate:flight", StepType.COMPENSATE, "flight", 3),
    ]


async def test_a_compensation_that_fails_is_recorded_and_the_rest_still_count(server: Work):
    run = await server.a_run()
    job = await server.claim()
    broken = undo(job, "hotel", error={"message": "the hotel is closed", "retryable": False})
    await server.report(job, "failed", step(job, "flight"), broken, undo(job, "flight"), error=GIVEN_UP)

    shown = {each.name: each.status for each in await server.steps(run.id)}
    assert shown["compensate:hotel"] is StepStatus.FAILED
    assert shown["compensate:flight"] is StepStatus.COMPLETED
    assert (await server.run(run.id)).status is RunStatus.FAILED


async def test_a_compensation_done_before_its_worker_died_is_in_the_next_memo(server: Work):
    run = await server.a_run()
    await server.a_worker("w2")
    job = await server.claim()
    await server.report(job, "progress", step(job, "flight"), undo(job, "flight", output="undone"))
    server.move(90_000)
    await server.loop("leases")

    again = await server.claim("w2")

    assert [(each.name, bytes(each.output)) for each in again.completed_steps] == [
        ("flight", b"null"),
        ("compensate:flight", b'"undone"'),
    ]
    # Its first result stands, whatever a second execution says.
    await server.report(again, "failed", undo(again, "flight", output="twice"), error=GIVEN_UP, worker="w2")
    assert [bytes(each.output or b"") for each in await server.steps(run.id)] == [b"null", b'"undone"']


async def test_nothing_is_compensated_by_a_cancel(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "flight"))

    await server.call(runs.cancel, id=run.id)

    assert [each.name for each in await server.steps(run.id)] == ["flight"]


async def test_a_resume_from_the_step_that_failed_forgets_what_was_undone_after_it(server: Work):
    """Rows of later sequence are dropped: with the compensation undone again in mind, the step can be done again."""
    run = await server.a_run()
    job = await server.claim()
    steps = [step(job, "flight", 1), step(job, "hotel", error={"message": "full"}), undo(job, "flight")]
    await server.report(job, "failed", *steps, error=GIVEN_UP)

    await server.call(controls.resume, run_id=run.id, from_step="hotel")

    assert [each.name for each in (await server.claim()).completed_steps] == ["flight"]
