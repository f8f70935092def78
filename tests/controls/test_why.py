"""Why a run is not running: every state has a reason for programs and a sentence for people."""

from typing import Any

import pytest

from ironflow.base.spelling import BadField
from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import Why
from ironflow.features.endpoints import in_tx as endpoints
from ironflow.features.endpoints.in_tx import Limits
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for

EVICT_MS = 120_000


async def why(server: Work, run: Run | str) -> Why:
    return await server.call(controls.why, id=run if isinstance(run, str) else run.id)


def reason_fields(found: Why) -> dict[str, Any]:
    """The fields that are there, without the run's own."""
    fields = {name: getattr(found, name) for name in found.__struct_fields__ if getattr(found, name) is not None}
    return {name: value for name, value in fields.items() if name not in ("run_id", "message", "state")}


async def test_a_run_whose_function_has_no_worker(server: Work):
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids
    found = await why(server, run_id)
    assert (found.state, reason_fields(found)) == ("pending", {"reason": "no_worker"})
    assert found.message == "No live worker serves function 'charge'. Start one."

    await server.a_worker("w1", ["other"])
    assert (await why(server, run_id)).reason == "no_worker"
    await server.a_worker()
    assert reason_fields(await why(server, run_id)) == {"reason": "no_free_worker"}

    # A worker that is not alive does not count.
    server.move(EVICT_MS)
    assert (await why(server, run_id)).reason == "no_worker"


async def test_a_run_whose_function_has_labels_that_no_worker_has(server: Work):
    await server.a_function(labels={"gpu": "a100", "zone": "eu"})
    (run_id,) = (await server.emit()).run_ids
    await server.a_worker("w1", labels={"zone": "us"})
    await server.a_worker("w2", labels={"gpu": "a100"})

    assert [await server.poll("w1"), await server.poll("w2")] == [[], []]
    found = await why(server, run_id)
    assert reason_fields(found) == {"reason": "no_labels"}
    assert found.message.startswith("No live worker that serves function 'charge' has the label zone=eu. ")

    await server.a_worker("w3", labels={"gpu": "a100", "zone": "eu", "host": "h7"})
    assert (await why(server, run_id)).reason == "no_free_worker"
    assert (await server.claim("w3")).run_id == run_id


async def test_a_run_whose_endpoint_failed_too_often_waits_for_its_breaker(server: Work):
    url, limits = "https://example.com/hook", Limits(1, 60_000)
    await server.a_function(endpoint_url=url)
    await server.db.write(lambda tx: endpoints.failed(tx, "default", url, limits, "PUSH_TIMEOUT: slow.", server.now))
    (run_id,) = (await server.emit()).run_ids

    found = await why(server, run_id)

    until = to_datetime(server.now + 60_000)
    worker_id = endpoints.endpoint_id(url)
    assert reason_fields(found) == {"reason": "breaker_open", "until": until, "worker_id": worker_id}
    assert f"breaker of its endpoint {url} is open after 1 failures in a row" in found.message


async def test_a_running_run_shows_its_worker_and_the_end_of_its_lease(server: Work):
    run = await server.a_run()
    job = await server.claim(acked=False)
    found = await why(server, run)
    assert reason_fields(found) == {"reason": "running", "worker_id": "w1", "until": to_datetime(server.now + 30_000)}
    assert found.message == "It was handed to a worker and is about to run on worker w1."

    await server.ack(job)
    found = await why(server, run)
    assert reason_fields(found) == {"reason": "running", "worker_id": "w1", "until": to_datetime(server.now + 90_000)}
    assert (found.state, found.message) == ("running", "It runs on worker w1.")


async def test_a_run_without_a_slot_lists_the_holders(server: Work):
    await server.a_function(concurrency={"limit": 2, "key": "k"})
    await server.a_worker()
    first, second, third = [(await server.emit(data={"k": "ada"})).run_ids[0] for _ in range(3)]
    await server.claim()

    found = await why(server, third)

    assert reason_fields(found) == {"reason": "no_slot", "waits_for": ["limit"], "held_by": [first, second]}
    assert found.message == f"Its function is at the limit of key 'ada'; the slots are held by {first}, {second}."


async def test_a_run_without_a_slot_names_the_paused_run_that_holds_it(server: Work):
    await server.a_function(concurrency={"limit": 1})
    await server.a_worker()
    first, second = [(await server.emit()).run_ids[0] for _ in range(2)]
    job = await server.claim()
    await server.call(controls.pause, run_id=first)
    await server.report(job, "progress")

    found = await why(server, second)

    assert found.held_by == [first]
    assert found.message == f"Its function is at its limit; the slots are held by {first}."


async def test_a_run_that_needs_two_slots_lists_those_it_waits_for_and_their_holders(server: Work):
    await server.a_function(actor_key="account", concurrency={"limit": 2, "key": "region"})
    await server.a_worker()
    pairs = [("ada", "eu"), ("ada", "us"), ("bob", "eu"), ("eve", "eu"), ("ada", "eu")]
    ada, ada_abroad, bob, eve, ada_again = [
        (await server.emit(data={"account": account, "region": region})).run_ids[0] for account, region in pairs
    ]

    found = await why(server, ada_abroad)
    assert reason_fields(found) == {"reason": "no_slot", "waits_for": ["actor"], "actor_id": "ada", "held_by": [ada]}
    assert found.message == f"Runs of actor 'ada' go one after another; it is the turn of {ada}."
    found = await why(server, eve)
    assert reason_fields(found) == {"reason": "no_slot", "waits_for": ["limit"], "held_by": [ada, bob]}
    assert found.message == f"Its function is at the limit of key 'eu'; the slots are held by {ada}, {bob}."
    found = await why(server, ada_again)
    assert reason_fields(found) == {
        "reason": "no_slot",
        "waits_for": ["actor", "limit"],
        "actor_id": "ada",
        "held_by": [ada, bob],
    }


async def test_a_sleeping_run_shows_its_step_and_until_when_it_sleeps(server: Work):
    run = await server.a_run()
    until = server.now + 60_000
    await server.sleep(await server.claim(), until=until)

    found = await why(server, run)

    assert (found.state, reason_fields(found)) == (
        "waiting",
        {"reason": "sleep", "until": to_datetime(until), "step_id": f"{run.id}:nap:0"},
    )
    assert found.message == "It sleeps in step 'nap' until 2026-01-01T00:01:00Z."


async def test_a_waiting_run_names_the_event_and_the_deadline(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="1h"))

    found = await why(server, run)

    assert reason_fields(found) == {
        "reason": "wait_event",
        "event": "order.approved",
        "until": to_datetime(server.now + 3_600_000),
        "step_id": f"{run.id}:approval:0",
    }
    assert "'order.approved'" in found.message


async def test_a_run_that_waits_for_another_names_it(server: Work):
    await server.a_function("settle", on=None)
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle"))
    (child,) = await server.runs(function_id="settle")

    found = await why(server, run)

    assert reason_fields(found) == {
        "reason": "invoke",
        "child_run_id": child.id,
        "until": to_datetime(server.now + 30_000),
        "step_id": f"{run.id}:settle:0",
    }
    assert child.id in found.message


async def test_a_run_between_two_attempts_shows_when_the_next_one_starts(server: Work):
    run = await server.a_run()
    await server.report(await server.claim(), "failed")

    found = await why(server, run)

    assert reason_fields(found) == {"reason": "retry", "until": to_datetime(server.now + 1_000)}
    assert found.message == "Attempt 1 of 3 failed; the next one starts at 2026-01-01T00:00:01Z."


async def test_a_throttled_run_shows_when_it_may_start(server: Work):
    await server.a_function(throttle={"limit": 1, "period_ms": 60_000})
    await server.emit()
    (run_id,) = (await server.emit()).run_ids

    found = await why(server, run_id)

    assert reason_fields(found) == {"reason": "throttle", "until": to_datetime(server.now + 60_000)}


async def test_a_run_that_a_user_paused_has_the_reason_paused(server: Work):
    run = await server.a_run()
    await server.call(controls.pause, run_id=run.id)

    found = await why(server, run)
    assert (found.state, reason_fields(found)) == ("paused", {"reason": "paused"})
    assert found.message == "It was paused by hand. Resume it to let it go on."


@pytest.mark.parametrize(("attempts", "failed"), [(1, "Its only attempt failed"), (2, "All 2 attempts failed")])
async def test_a_run_paused_after_its_last_attempt_has_the_reason_exhausted(server: Work, attempts: int, failed: str):
    run = await server.a_run(retry={"max_attempts": attempts, "on_exhausted": "pause", "initial_delay_ms": 1})
    for _ in range(attempts):
        server.move(1_000)
        await server.loop("timers")
        await server.report(await server.claim(), "failed")

    found = await why(server, run)
    assert (found.state, reason_fields(found)) == ("paused", {"reason": "exhausted"})
    assert found.message == f"{failed}, and it is paused. Resume it."


async def test_a_run_whose_code_diverged_has_the_reason_diverged(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "nap"))
    await server.report(job, "yielded", yielded=sleeps(job, server.now + 1_000))

    found = await why(server, run)
    assert (found.state, reason_fields(found)) == ("paused", {"reason": "diverged"})


async def test_an_ended_run_shows_its_status(server: Work):
    run = await server.a_run()
    await server.call(runs.cancel, id=run.id)

    found = await why(server, run)
    assert (found.state, reason_fields(found), found.message) == (
        "cancelled",
        {"reason": "ended"},
        "It has ended: cancelled.",
    )


async def test_runs_of_a_list_are_explained_together(server: Work):
    await server.a_function()
    run_ids = [(await server.emit()).run_ids[0] for _ in range(3)]
    await server.call(runs.cancel, id=run_ids[1])
    elsewhere = (await server.emit(env="staging")).run_ids
    assert elsewhere == []

    explained = (await server.call(controls.why_many, ids=[*run_ids[::-1], "run_unknown", run_ids[0]])).runs
    assert [(each.run_id, each.reason) for each in explained] == [
        (run_ids[2], "no_worker"),
        (run_ids[1], "ended"),
        (run_ids[0], "no_worker"),
    ]
    assert explained[0] == await why(server, run_ids[2])
    assert (await server.call(controls.why_many, ids=run_ids, env="staging")).runs == []
    with pytest.raises(BadField):
        await server.ask(controls.why_many, {"ids": [f"run_{number}" for number in range(101)]})


async def test_a_waiting_run_of_a_list_is_explained_by_its_step(server: Work):
    run = await server.a_run()
    await server.sleep(await server.claim(), until=server.now + 60_000)
    (explained,) = (await server.call(controls.why_many, ids=[run.id])).runs
    assert explained == await why(server, run)
