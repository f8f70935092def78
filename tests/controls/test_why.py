"""Why a run is not running: every state has a word for programs and a sentence for people."""

from typing import Any

from ironflow.base.time import to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import Why
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run
from tests.support.work import Work, step
from tests.support.yields import invokes, sleeps, waits_for

EVICT_MS = 120_000


async def why(house: Work, run: Run | str) -> Why:
    return await house.call(controls.why, id=run if isinstance(run, str) else run.id)


def said(found: Why) -> dict[str, Any]:
    """The fields that are there, without the run's own."""
    told = {name: getattr(found, name) for name in found.__struct_fields__ if getattr(found, name) is not None}
    return {name: value for name, value in told.items() if name not in ("run_id", "message", "state")}


async def test_a_run_whose_function_nobody_serves_has_no_worker(house: Work):
    await house.a_function()
    (run_id,) = (await house.emit()).run_ids
    found = await why(house, run_id)
    assert (found.state, said(found)) == ("pending", {"reason": "no_worker"})
    assert found.message == "No live worker serves function 'charge'. Start one."

    await house.a_worker("w1", ["other"])
    assert (await why(house, run_id)).reason == "no_worker"
    await house.a_worker()
    assert said(await why(house, run_id)) == {"reason": "no_free_worker"}

    # One that has not been heard of serves nobody.
    house.move(EVICT_MS)
    assert (await why(house, run_id)).reason == "no_worker"


async def test_a_running_run_says_where_and_until_when_its_lease_lasts(house: Work):
    run = await house.a_run()
    job = await house.claim(acked=False)
    found = await why(house, run)
    assert said(found) == {"reason": "running", "worker_id": "w1", "until": to_datetime(house.now + 30_000)}
    assert found.message == "It was handed to a worker and is about to run on worker w1."

    await house.ack(job)
    found = await why(house, run)
    assert said(found) == {"reason": "running", "worker_id": "w1", "until": to_datetime(house.now + 90_000)}
    assert (found.state, found.message) == ("running", "It runs on worker w1.")


async def test_a_run_without_a_slot_says_who_holds_them(house: Work):
    await house.a_function(concurrency={"limit": 2, "key": "k"})
    await house.a_worker()
    first, second, third = [(await house.emit(data={"k": "ada"})).run_ids[0] for _ in range(3)]
    await house.claim()

    found = await why(house, third)

    assert said(found) == {"reason": "no_slot", "waits_for": ["limit"], "held_by": [first, second]}
    assert found.message == f"Its function is at the limit of key 'ada'; the slots are held by {first}, {second}."


async def test_a_run_without_a_slot_names_the_paused_run_that_holds_it(house: Work):
    await house.a_function(concurrency={"limit": 1})
    await house.a_worker()
    first, second = [(await house.emit()).run_ids[0] for _ in range(2)]
    job = await house.claim()
    await house.call(controls.pause, run_id=first)
    await house.report(job, "progress")

    found = await why(house, second)

    assert found.held_by == [first]
    assert found.message == f"Its function is at its limit; the slots are held by {first}."


async def test_a_run_that_needs_two_slots_says_which_it_waits_for_and_who_holds_them(house: Work):
    await house.a_function(actor_key="account", concurrency={"limit": 2, "key": "region"})
    await house.a_worker()
    places = [("ada", "eu"), ("ada", "us"), ("bob", "eu"), ("eve", "eu"), ("ada", "eu")]
    ada, ada_abroad, bob, eve, ada_again = [
        (await house.emit(data={"account": account, "region": region})).run_ids[0] for account, region in places
    ]

    found = await why(house, ada_abroad)
    assert said(found) == {"reason": "no_slot", "waits_for": ["actor"], "held_by": [ada]}
    assert found.message == f"Runs of actor 'ada' go one after another; it is the turn of {ada}."
    found = await why(house, eve)
    assert said(found) == {"reason": "no_slot", "waits_for": ["limit"], "held_by": [ada, bob]}
    assert found.message == f"Its function is at the limit of key 'eu'; the slots are held by {ada}, {bob}."
    found = await why(house, ada_again)
    assert said(found) == {"reason": "no_slot", "waits_for": ["actor", "limit"], "held_by": [ada, bob]}


async def test_a_sleeping_run_says_in_which_step_and_until_when(house: Work):
    run = await house.a_run()
    until = house.now + 60_000
    await house.sleep(await house.claim(), until=until)

    found = await why(house, run)

    assert (found.state, said(found)) == (
        "waiting",
        {"reason": "sleep", "until": to_datetime(until), "step_id": f"{run.id}:nap:0"},
    )
    assert found.message == "It sleeps in step 'nap' until 2026-01-01T00:01:00Z."


async def test_a_waiting_run_names_the_event_and_the_deadline(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.approved", timeout="1h"))

    found = await why(house, run)

    assert said(found) == {
        "reason": "wait_event",
        "event": "order.approved",
        "until": to_datetime(house.now + 3_600_000),
        "step_id": f"{run.id}:approval:0",
    }
    assert "'order.approved'" in found.message


async def test_a_run_that_waits_for_another_names_it(house: Work):
    await house.a_function("settle", on=None)
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=invokes(job, "settle"))
    (child,) = await house.runs(function_id="settle")

    found = await why(house, run)

    assert said(found) == {
        "reason": "invoke",
        "child_run_id": child.id,
        "until": to_datetime(house.now + 30_000),
        "step_id": f"{run.id}:settle:0",
    }
    assert child.id in found.message


async def test_a_run_between_two_attempts_says_when_the_next_one_starts(house: Work):
    run = await house.a_run()
    await house.report(await house.claim(), "failed")

    found = await why(house, run)

    assert said(found) == {"reason": "retry", "until": to_datetime(house.now + 1_000)}
    assert found.message == "Attempt 1 of 3 failed; the next one starts at 2026-01-01T00:00:01Z."


async def test_a_throttled_run_says_when_it_may_start(house: Work):
    await house.a_function(throttle={"limit": 1, "period_ms": 60_000})
    await house.emit()
    (run_id,) = (await house.emit()).run_ids

    found = await why(house, run_id)

    assert said(found) == {"reason": "throttle", "until": to_datetime(house.now + 60_000)}


async def test_a_paused_run_says_that_a_person_paused_it(house: Work):
    run = await house.a_run()
    await house.call(controls.pause, run_id=run.id)

    found = await why(house, run)
    assert (found.state, said(found)) == ("paused", {"reason": "paused"})
    assert found.message == "It was paused by hand. Resume it to let it go on."


async def test_a_run_held_after_its_last_attempt_says_so(house: Work):
    run = await house.a_run(retry={"max_attempts": 1, "on_exhausted": "pause"})
    await house.report(await house.claim(), "failed")

    found = await why(house, run)
    assert (found.state, said(found)) == ("paused", {"reason": "exhausted"})
    assert "All 1 attempts failed" in found.message


async def test_a_run_whose_code_diverged_says_so(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "progress", step(job, "nap"))
    await house.report(job, "yielded", yielded=sleeps(job, house.now + 1_000))

    found = await why(house, run)
    assert (found.state, said(found)) == ("paused", {"reason": "diverged"})


async def test_a_run_that_has_ended_says_how(house: Work):
    run = await house.a_run()
    await house.call(runs.cancel, id=run.id)

    found = await why(house, run)
    assert (found.state, said(found), found.message) == ("cancelled", {"reason": "ended"}, "It has ended: cancelled.")
