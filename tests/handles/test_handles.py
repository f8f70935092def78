"""Handles on the server: started in a report, joined by a waiting run, recorded as they end."""

from typing import Any

import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment, InvalidReport
from ironflow.features.runs import contract as runs
from tests.support.server import open_server
from tests.support.work import Work, step
from tests.support.yields import sleeps

HOUR_MS = 3_600_000
WAITING = "waiting: invoke"


async def a_parent(server: Work) -> Assignment:
    """A run of `charge` at worker w1, which has `index` too."""
    await server.a_function()
    await server.a_function("index", on=None, retry={"max_attempts": 1})
    await server.a_worker(function_ids=["charge", "index"], jobs_max=5_000)
    await server.emit()
    return await server.claim()


def started(job: Assignment, *numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"type": "start_function", "step_id": f"{job.run_id}:index:{n}", "function_id": "index", "input": n, **more}
        for n in numbers
    ]


async def start(server: Work, job: Assignment, *numbers: int, **more: Any) -> list[jobs.StartedRun]:
    """Starts runs of `index` in a checkpoint; what the verdict has of them."""
    report = {
        "job_id": job.job_id,
        "status": "progress",
        "execution_seq": job.execution_seq,
        "lease_token": job.lease_token,
        "yields": started(job, *numbers, **more),
    }
    (verdict,) = (await server.ask(jobs.report, {"worker": "w1", "reports": [report]})).results
    assert verdict.error is None, verdict
    return verdict.started or []


async def join(server: Work, job: Assignment, left: int, known_failed: int | None = None) -> None:
    join = {"step_id": f"{job.run_id}:index:0", "left": left, "known_failed": known_failed}
    await server.report(job, "yielded", join=join)


async def finish(server: Work, count: int = 1) -> None:
    """So many runs of `index` complete, with their input."""
    for job in await server.poll(available=count):
        await server.report(job, "completed", output=int(bytes(job.event.data)))


async def test_a_start_is_answered_with_the_run_and_the_execution_goes_on(server: Work):
    job = await a_parent(server)
    one, two = await start(server, job, 0, 1)

    assert [each.step_id for each in (one, two)] == [f"{job.run_id}:index:0", f"{job.run_id}:index:1"]
    children = [await server.run(each.run_id or "") for each in (one, two)]
    assert [(child.function_id, child.parent_run_id, bytes(child.input or b"")) for child in children] == [
        ("index", job.run_id, b"0"),
        ("index", job.run_id, b"1"),
    ]
    assert (await server.run(job.run_id)).status == runs.RunStatus.RUNNING


async def test_a_start_that_is_reported_again_starts_nothing_and_is_answered_the_same(server: Work):
    job = await a_parent(server)
    first = await start(server, job, 0, 1)

    assert await start(server, job, 0, 1) == first
    assert len(await server.runs(function_id="index")) == 2


async def test_a_function_that_is_not_there_is_refused_in_the_answer(server: Work):
    job = await a_parent(server)
    (answer,) = await start(server, job, 0, function_id="absent")

    assert answer.run_id is None
    assert "there is no function 'absent'" in (answer.error or "")


async def test_a_run_that_joins_goes_on_once_with_the_last_that_it_needs(server: Work):
    job = await a_parent(server)
    await start(server, job, *range(10))
    await join(server, job, left=7)
    for _ in range(2):
        await finish(server)
        assert (await server.run(job.run_id)).state == WAITING

    await finish(server)

    assert (await server.run(job.run_id)).status == runs.RunStatus.PENDING
    again = next(each for each in await server.poll(available=20) if each.run_id == job.run_id)
    memo = {each.step_id: (each.status, bytes(each.output), each.child_run_id) for each in again.completed_steps}
    assert sorted(str(status) for status, *_ in memo.values()) == ["None"] * 3 + ["waiting"] * 7
    assert all(child for *_, child in memo.values())


async def test_a_child_that_ends_beside_another_wait_wakes_no_execution(server: Work):
    job = await a_parent(server)
    await start(server, job, 0)
    await server.sleep(job, until=server.now + HOUR_MS)
    await finish(server)

    assert (await server.run(job.run_id)).state == "waiting: sleep"


async def test_what_ended_before_the_join_was_reported_counts(server: Work):
    job = await a_parent(server)
    await start(server, job, 0, 1)
    await finish(server)
    await join(server, job, left=1)

    assert (await server.run(job.run_id)).status == runs.RunStatus.PENDING


async def test_a_failure_lets_a_join_go_on_that_fails_fast(server: Work):
    for known_failed, state in ((0, "pending"), (None, WAITING)):
        job = await a_parent(server)
        await start(server, job, 0, 1)
        await join(server, job, left=0, known_failed=known_failed)
        child = await server.claim()
        await server.report(child, "failed", error={"message": "bad", "retryable": False})

        assert (await server.run(job.run_id)).state == state
        for each in await server.poll(available=10):
            await server.report(each, "completed", output=1)
        for each in await server.poll(available=10):
            await server.report(each, "completed", output=1)


async def test_the_end_of_a_child_is_recorded_in_a_parent_that_has_failed_and_is_resumed(server: Work):
    job = await a_parent(server)
    (one,) = await start(server, job, 0)
    await server.report(job, "failed", error={"message": "no", "retryable": False})
    await finish(server)
    await server.call(controls.resume, id=job.run_id)

    again = await server.claim()

    assert again.run_id == job.run_id
    (memo,) = again.completed_steps
    assert (bytes(memo.output), memo.child_run_id) == (b"0", one.run_id)


async def test_a_cancelled_parent_leaves_its_handles_to_themselves(server: Work):
    job = await a_parent(server)
    (one,) = await start(server, job, 0)
    await server.call(runs.cancel, id=job.run_id)

    assert (await server.run(one.run_id or "")).status == runs.RunStatus.PENDING


async def test_a_delayed_run_begins_after_its_delay(server: Work):
    job = await a_parent(server)
    await start(server, job, 0, delay_ms=HOUR_MS)
    assert await server.poll() == []
    server.move(HOUR_MS)
    await server.loop("timers")

    assert (await server.claim()).function_id == "index"


async def test_a_time_out_that_counts_from_the_start_leaves_the_queue_out(server: Work):
    job = await a_parent(server)
    invoke = {
        "type": "invoke_function",
        "step_id": f"{job.run_id}:index:0",
        "function_id": "index",
        "input": 1,
        "invoke_timeout_ms": 10_000,
        "timeout_from": "start",
        "on_timeout": "answer",
    }
    await server.report(job, "yielded", yields=[invoke])
    server.move(HOUR_MS)
    await server.loop("timers")
    assert (await server.run(job.run_id)).state == WAITING

    await server.a_worker(function_ids=["charge", "index"])
    child = await server.claim()
    assert child.function_id == "index"
    server.move(9_999)
    await server.loop("timers")
    assert (await server.run(job.run_id)).state == WAITING
    server.move(1)
    await server.loop("timers")

    assert (await server.run(job.run_id)).status == runs.RunStatus.PENDING


async def test_a_time_out_that_counts_from_the_start_does_not_begin_with_a_resume(server: Work):
    job = await a_parent(server)
    invoke = {
        "type": "invoke_function",
        "step_id": f"{job.run_id}:index:0",
        "function_id": "index",
        "invoke_timeout_ms": 10_000,
        "timeout_from": "start",
        "on_timeout": "answer",
    }
    await server.report(job, "yielded", yields=[invoke, sleeps(job, server.now + HOUR_MS)])
    await server.call(controls.pause, run_id=job.run_id)

    await server.call(controls.resume, run_id=job.run_id, from_step="nap")
    await server.loop("timers")

    assert [each.stored_status for each in await server.steps(job.run_id)] == ["waiting"]


async def test_a_function_with_triggers_is_invoked_where_the_report_asks_for_it(server: Work):
    """Existing runtimes do not, and are refused as before."""
    job = await a_parent(server)
    await server.call(functions.register, id="listens", triggers=[{"event": "order.placed"}])
    allowed, refused = {"with_triggers": True, "function_id": "listens"}, {"function_id": "listens"}

    (yes,), (no,) = await start(server, job, 0, **allowed), await start(server, job, 1, **refused)

    assert yes.run_id is not None
    assert "has triggers" in (no.error or "")


async def test_a_yield_without_a_wait_and_a_join_is_refused(server: Work):
    job = await a_parent(server)
    with pytest.raises(InvalidReport):
        await server.report(job, "yielded")
    with pytest.raises(InvalidReport):
        await server.report(job, "yielded", yields=started(job, 0, timeout_from="noon"))


async def test_a_thousand_children_are_joined_in_one_execution(database_url: str):
    async with open_server(Work, database_url) as server:
        job = await a_parent(server)
        assert len(await start(server, job, *range(1_000))) == 1_000
        await join(server, job, left=0)
        while found := await server.poll(available=200):
            if found[0].run_id == job.run_id:
                break
            reports = [
                {
                    "job_id": each.job_id,
                    "status": "completed",
                    "execution_seq": each.execution_seq,
                    "lease_token": each.lease_token,
                    "output": 1,
                }
                for each in found
            ]
            await server.ask(jobs.report, {"worker": "w1", "reports": reports})

    assert (found[0].execution_seq, len(found[0].completed_steps)) == (job.execution_seq + 1, 1_000)


async def test_a_step_of_code_is_no_handle(server: Work):
    """A recorded step of another type is a divergence, as everywhere."""
    job = await a_parent(server)
    await server.report(job, "progress", {**step(job, "x"), "id": f"{job.run_id}:index:0"})
    await server.report(job, "progress", yields=started(job, 0))

    assert (await server.run(job.run_id)).state == "paused: diverged"
