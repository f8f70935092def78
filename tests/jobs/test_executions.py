"""An execution from claim to report: what the worker is handed, and what its reports do."""

from typing import Any

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.base.spelling import BadField
from ironflow.engine.errors import StaleExecution
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import InvalidReport
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus, StepStatus
from tests.support.server import open_server
from tests.support.work import LEASE_MS, RESERVATION_MS, Work, step


async def shown(server: Work, run_id: str) -> list[tuple[int, str, str, bytes | None]]:
    """Sequence, name, status and output of the recorded steps."""
    return [
        (each.sequence, each.name, each.status.value, None if each.output is None else bytes(each.output))
        for each in await server.steps(run_id)
    ]


async def test_an_assignment_has_everything_that_a_worker_needs(server: Work):
    await server.a_function(retry={"max_attempts": 7, "on_exhausted": "pause"}, actor_key="data.customer")
    await server.a_worker()
    emitted = await server.emit(
        data={"customer": "ada", "n": 2**70}, metadata={"trace": "t"}, version=2, idempotency_key="k"
    )

    job = await server.claim()

    assert (job.run_id, job.function_id, job.attempt) == (emitted.run_ids[0], "charge", 1)
    assert (job.execution_seq, job.step_sequence_base, job.completed_steps) == (1, 0, [])
    assert (job.max_attempts, job.on_exhausted, job.actor_id) == (7, "pause", "ada")
    assert job.lease_token
    assert job.job_id not in (job.run_id, "")
    assert (job.event.id, job.event.name, job.event.version) == (emitted.event_id, "order.placed", 2)
    assert bytes(job.event.data) == b'{"customer":"ada","n":1180591620717411303424}'
    assert job.event.metadata is not None
    assert bytes(job.event.metadata) == b'{"trace":"t"}'
    assert job.event.idempotency_key == "k"


async def test_a_claimed_run_is_running_at_its_worker(server: Work):
    run = await server.a_run(status="running")

    assert (run.status, run.worker_id, run.claimed_by) == (RunStatus.RUNNING, "w1", "w1")
    assert run.started_at is not None
    assert run.timeout_at is not None


async def test_a_run_of_three_steps_completes_with_its_output_and_history(server: Work):
    run = await server.a_run()
    job = await server.claim(acked=False)
    await server.ack(job)
    await server.ack(job)

    await server.report(job, "progress", step(job, "reserve", {"ok": True}), step(job, "charge", 2**70))
    await server.report(job, "completed", step(job, "ship"), step_offset=2, output={"done": [1, 2]})

    ended = await server.run(run.id)
    assert (ended.status, ended.attempt, ended.pause_reason) == (RunStatus.COMPLETED, 1, "")
    assert ended.output is not None
    assert bytes(ended.output) == b'{"done":[1,2]}'
    assert ended.ended_at is not None
    assert await shown(server, run.id) == [
        (0, "reserve", "completed", b'{"ok":true}'),
        (1, "charge", "completed", b"1180591620717411303424"),
        (2, "ship", "completed", b"null"),
    ]
    assert await server.poll() == []


async def test_recorded_steps_come_back_with_the_next_execution_and_never_change(server: Work):
    run = await server.a_run()
    first = await server.claim()
    await server.report(first, "progress", step(first, "charge", 1), step(first, "ship", error={"message": "no"}))
    server.move(LEASE_MS)
    await server.loop("leases")

    second = await server.claim()
    assert (second.execution_seq, second.attempt, second.step_sequence_base) == (2, 1, 2)
    assert [(each.step_id, each.name, bytes(each.output)) for each in second.completed_steps] == [
        (f"{run.id}:charge:0", "charge", b"1")
    ]

    await server.report(second, "completed", step(second, "charge", 2), step(second, "ship", 3), output=None)
    assert await shown(server, run.id) == [(0, "charge", "completed", b"1"), (1, "ship", "completed", b"3")]


async def test_a_late_report_from_an_old_lease_changes_nothing(server: Work):
    run = await server.a_run()
    old, new = await server.claim_twice(run, lease_ends_between=True)
    before, steps_before = await server.run(run.id), await server.steps(run.id)

    for outcome in ("progress", "completed", "failed"):
        with pytest.raises(StaleExecution) as refusal:
            await server.report(old, outcome, step(old, "charge", "late"), output="late")
        assert (refusal.value.status, refusal.value.code) == (409, "STALE_EXECUTION")
    with pytest.raises(StaleExecution):
        await server.sleep(old, until=server.now + 1)
    with pytest.raises(StaleExecution):
        await server.ack(old)
    await server.heartbeat(old, worker="w1")

    assert msgspec.json.encode(await server.run(run.id)) == msgspec.json.encode(before)
    assert await server.steps(run.id) == steps_before
    await server.report(new, "completed", worker="w2", output="first")
    ended = await server.run(run.id)
    assert ended.output is not None
    assert bytes(ended.output) == b'"first"'


WRONG_FENCES: list[dict[str, Any]] = [
    {"lease_token": "another"},
    {"lease_token": ""},
    {"execution_seq": 2},
    {"execution_seq": None},
    {"job": "job_unknown_1"},
    {"job": "rubbish"},
]


async def test_a_report_with_another_fence_is_refused(server: Work):
    await server.a_run()
    job = await server.claim()
    fence = {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}

    for wrong in WRONG_FENCES:
        for operation, more in ((jobs.update, {"status": "completed"}), (jobs.ack, {})):
            with pytest.raises(StaleExecution):
                await server.ask(operation, {"worker": "w1", **fence, **wrong, **more})


async def test_a_report_of_an_unknown_worker_with_the_right_fence_counts(server: Work):
    run = await server.a_run()
    job = await server.claim()

    await server.report(job, "completed", worker="another", output=1)

    assert (await server.run(run.id)).status is RunStatus.COMPLETED


async def test_the_same_terminal_report_again_is_fine_and_another_is_not(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "completed", output=1)
    before = await server.run(run.id)

    await server.report(job, "completed", output=1)

    assert msgspec.json.encode(await server.run(run.id)) == msgspec.json.encode(before)
    with pytest.raises(StaleExecution):
        await server.report(job, "failed")
    with pytest.raises(StaleExecution):
        await server.report(job, "progress", step(job, "late"))


async def test_a_run_that_was_cancelled_refuses_its_worker(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.call(runs.cancel, id=run.id, reason="not wanted")

    with pytest.raises(StaleExecution):
        await server.report(job, "completed", step(job, "charge"), output=1)

    ended = await server.run(run.id)
    assert (ended.status, ended.cancellation_cause) == (RunStatus.CANCELLED, "not wanted")
    assert await server.steps(run.id) == []


async def test_several_reports_in_one_request_each_get_their_own_verdict(server: Work):
    await server.a_function()
    await server.a_worker()
    for _ in range(3):
        await server.emit()
    claimed = await server.poll(available=3)
    reports = [
        {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token, **more}
        for job, more in zip(
            claimed,
            ({"status": "completed", "output": 1}, {"status": "completed", "lease_token": "x"}, {"status": "dunno"}),
            strict=True,
        )
    ]

    answer = await server.call(jobs.report, worker="w1", reports=reports)

    assert [(each.status, each.error) for each in answer.results] == [
        ("ok", None),
        ("refused", "STALE_EXECUTION"),
        ("refused", "INVALID_REPORT"),
    ]
    assert [(await server.run(job.run_id)).status for job in claimed] == [
        RunStatus.COMPLETED,
        RunStatus.RUNNING,
        RunStatus.RUNNING,
    ]


NO_REPORTS: list[tuple[dict[str, Any], type[IronflowError]]] = [
    ({}, BadField),
    ({"status": "done"}, InvalidReport),
    ({"status": "yielded"}, InvalidReport),
    ({"status": "yielded", "yield": {"type": "nap", "step_id": "s"}}, InvalidReport),
    ({"status": "yielded", "yield": {"type": "sleep", "step_id": "s"}}, InvalidReport),
    ({"status": "yielded", "yield": {"type": "sleep", "step_id": "s", "until": "soon"}}, IronflowError),
    ({"status": "yielded", "yield": {"type": "sleep", "step_id": "", "until": "2026-01-01T00:00:00Z"}}, InvalidReport),
    ({"status": "progress", "steps": [{"id": ""}]}, InvalidReport),
    ({"status": "progress", "steps": [{"id": "s", "status": "running"}]}, InvalidReport),
    ({"status": "progress", "steps": [{"name": "s"}]}, BadField),
    ({"status": "progress", "steps": [{"id": "s", "duration_ms": 2**70}]}, BadField),
    ({"status": "progress", "steps": [{"id": "s"}] * 501}, InvalidReport),
    ({"status": "progress", "steps": "many"}, BadField),
    ({"status": "progress", "step_offset": -1}, BadField),
    ({"status": "progress", "step_offset": 2**63}, BadField),
    ({"status": "progress", "steps": [{"id": "s\0"}]}, BadField),
]


async def test_what_is_no_report_is_refused_and_changes_nothing(server: Work):
    run = await server.a_run()
    job = await server.claim()
    fence = {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}
    before = await server.run(run.id)

    for body, refusal in NO_REPORTS:
        with pytest.raises(refusal) as refused:
            await server.ask(jobs.update, {**fence, **body})
        assert refused.value.status == 400, body

    assert msgspec.json.encode(await server.run(run.id)) == msgspec.json.encode(before)


async def test_an_output_over_the_limit_is_refused_and_a_smaller_one_can_follow(database_url: str):
    async with open_server(Work, database_url, output_bytes_max=1_000) as server:
        run = await server.a_run()
        job = await server.claim()

        fence = {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}
        for fields in ({"output": "x" * 999}, {"steps": [step(job, "charge", "é" * 500)]}):
            with pytest.raises(IronflowError) as refusal:
                await server.ask(jobs.update, {"status": "completed", **fence, **fields})
            assert (refusal.value.code, refusal.value.status) == ("OUTPUT_TOO_LARGE", 413)

        await server.report(job, "completed", output="x" * 998)
        assert (await server.run(run.id)).status is RunStatus.COMPLETED


async def test_step_ids_and_names_are_kept_byte_for_byte(server: Work):
    run = await server.a_run()
    job = await server.claim()
    odd = [f"{run.id}:a\\:b\\\\c:0", f"{run.id}:m:0:in:1:x y\t\u00e9\U0001f600:0", f"{run.id}:publish:orders.x:0"]

    await server.report(job, "progress", *({"id": each, "status": "completed"} for each in odd))

    assert [(each.step_id, each.name) for each in await server.steps(run.id)] == [
        (odd[0], "a:b\\c"),
        (odd[1], "x y\t\u00e9\U0001f600"),
        (odd[2], "orders.x"),
    ]


async def test_a_failed_step_shows_its_error_and_is_retrying_while_another_attempt_is_to_come(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(
        job, "failed", step(job, "charge", error={"message": "declined", "retryable": True}), step(job, "x", error="hm")
    )

    steps = await server.steps(run.id)
    assert [(each.status, each.error.message if each.error else "") for each in steps] == [
        (StepStatus.RETRYING, "declined"),
        (StepStatus.RETRYING, "hm"),
    ]

    server.move(1_000)
    await server.loop("timers")
    await server.report(await server.claim(), "failed", error={"message": "over", "retryable": False})
    assert [each.status for each in await server.steps(run.id)] == [StepStatus.FAILED, StepStatus.FAILED]


async def test_a_reservation_without_an_ack_goes_back_into_the_queue(server: Work):
    run = await server.a_run()
    first = await server.claim(acked=False)
    server.move(RESERVATION_MS - 1)
    await server.loop("leases")
    assert await server.poll() == []

    server.move(1)
    await server.loop("leases")
    second = await server.claim()

    assert second.job_id != first.job_id
    assert (second.execution_seq, second.attempt) == (2, 1)
    with pytest.raises(StaleExecution):
        await server.ack(first)
    assert (await server.run(run.id)).status is RunStatus.RUNNING


async def test_a_worker_that_lacks_the_function_passes_the_job_on_without_an_ack(server: Work):
    run = await server.a_run()
    await server.a_worker("w2")
    job = await server.claim("w1", acked=False)

    missing = {"message": "no such function", "code": "FUNCTION_NOT_FOUND", "retryable": False}
    await server.report(job, "failed", error=missing)

    assert (await server.run(run.id)).status is RunStatus.PENDING
    assert await server.poll("w1") == []
    again = await server.claim("w2")
    assert (again.run_id, again.attempt) == (run.id, 1)


async def test_a_worker_that_registers_again_is_offered_what_it_lacked(server: Work):
    run = await server.a_run()
    await server.a_worker("w2")
    missing = {"message": "no such function", "code": "FUNCTION_NOT_FOUND", "retryable": False}
    await server.report(await server.claim("w1", acked=False), "failed", error=missing)
    assert await server.poll("w1") == []

    # The other worker never comes back; this one is deployed with the function.
    server.move(1)
    await server.a_worker("w1")

    assert (await server.claim("w1")).run_id == run.id


async def test_a_function_that_no_live_worker_has_fails_its_run(server: Work):
    run = await server.a_run()
    job = await server.claim(acked=False)

    missing = {"message": "no such function", "code": "FUNCTION_NOT_FOUND", "retryable": False}
    await server.report(job, "failed", error=missing)

    ended = await server.run(run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error.code == "FUNCTION_NOT_FOUND"


async def test_an_execution_over_the_functions_timeout_is_retried_and_then_failed(server: Work):
    run = await server.a_run(timeout_ms=60_000, retry={"max_attempts": 2})
    for attempt in (1, 2):
        job = await server.claim()
        assert job.attempt == attempt
        server.move(30_000)
        await server.heartbeat(job)
        server.move(30_000)
        await server.loop("leases")
        with pytest.raises(StaleExecution):
            await server.report(job, "completed", output=1)
        server.move(1_000)
        await server.loop("timers")

    ended = await server.run(run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("TIMEOUT", True)


async def test_a_run_whose_workers_fall_silent_again_and_again_fails(database_url: str):
    async with open_server(Work, database_url, lease_losses_max=3) as server:
        run = await server.a_run()
        for _ in range(3):
            await server.claim()
            server.move(LEASE_MS)
            await server.loop("leases")

        ended = await server.run(run.id)
        assert ended.status is RunStatus.FAILED
        assert ended.error is not None
        assert ended.error.code == "WORKER_LOST"
        assert await server.poll() == []


async def test_a_registration_does_not_change_the_attempts_of_runs_that_exist(server: Work):
    run = await server.a_run(retry={"max_attempts": 2})
    await server.a_function(retry={"max_attempts": 9})

    assert (await server.claim()).max_attempts == 2
    assert (await server.run(run.id)).max_attempts == 2
    fresh = (await server.emit()).run_ids[0]
    assert (await server.run(fresh)).max_attempts == 9


async def test_a_deleted_functions_runs_go_on(server: Work):
    run = await server.a_run()
    await server.call(functions.delete, id="charge")

    await server.report(await server.claim(), "completed", output=1)

    assert (await server.run(run.id)).status is RunStatus.COMPLETED
