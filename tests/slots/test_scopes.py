"""Limits that functions share by name, and slots that are held to the end of a run."""

from typing import Any

import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from tests.support.work import LEASE_MS, Work
from tests.support.yields import waits_for

HOUR_MS = 3_600_000
FUNCTIONS = ("charge", "refund")


async def functions(server: Work, **limit: Any) -> None:
    """Two functions that share the limit `payment`, started by events of their names."""
    for name in FUNCTIONS:
        await server.a_function(
            name, on=name, concurrency={"limit": 1, "key": "id", "scope": "payment", **limit}, recording=True
        )
    await server.a_worker(function_ids=FUNCTIONS)


async def started(server: Work, name: str, payment: str = "p1") -> str:
    (run_id,) = (await server.emit(name, {"id": payment})).run_ids
    return run_id


async def claim(server: Work) -> Assignment | None:
    found = await server.poll(available=1)
    return found[0] if found else None


async def test_functions_share_the_slots_of_a_scope(server: Work):
    await functions(server)
    first, second = await started(server, "charge"), await started(server, "refund")
    other = await started(server, "refund", "p2")

    jobs = await server.poll(available=5)
    assert {job.run_id for job in jobs} == {first, other}
    await server.report(jobs[0], "completed", output=1)

    assert {job.run_id for job in await server.poll(available=5)} <= {second}
    assert (await server.run(second)).status == runs.RunStatus.RUNNING


async def test_the_smallest_limit_of_the_functions_counts(server: Work):
    await functions(server, limit=3)
    await server.a_function("charge", on="charge", concurrency={"limit": 2, "key": "id", "scope": "payment"})
    for name in (*FUNCTIONS, *FUNCTIONS):
        await started(server, name)

    assert len(await server.poll(available=5)) == 2


async def test_a_slot_of_an_execution_is_free_while_the_run_waits(server: Work):
    await functions(server)
    await started(server, "charge")
    second = await started(server, "refund")
    job = await claim(server)
    assert job is not None
    await server.sleep(job, until=server.now + HOUR_MS)

    following = await claim(server)
    assert following is not None
    assert following.run_id == second


@pytest.mark.parametrize("how", ["sleep", "wait", "retry", "lost", "pause"])
async def test_a_slot_of_a_run_is_held_to_its_end(server: Work, how: str):
    await functions(server, hold="run")
    first, second = await started(server, "charge"), await started(server, "refund")
    job = await claim(server)
    assert job is not None
    assert job.run_id == first
    match how:
        case "sleep":
            await server.sleep(job, until=server.now + HOUR_MS)
        case "wait":
            await server.report(job, "yielded", yielded=waits_for(job, "paid"))
        case "retry":
            await server.report(job, "failed")
        case "lost":
            server.move(LEASE_MS)
            await server.loop("leases")
        case _:
            await server.call(controls.pause, id=first)
            await server.report(job, "failed")
    await server.a_worker(function_ids=FUNCTIONS)
    if how != "lost":
        assert await claim(server) is None
    assert (await server.run(second)).status == runs.RunStatus.PENDING
    match how:
        case "wait":
            await server.emit("paid", {"id": "p1"})
        case "pause":
            await server.call(controls.resume, id=first)
        case _:
            server.move(HOUR_MS)
            await server.loop("timers")
    await server.a_worker(function_ids=FUNCTIONS)
    again = await claim(server)
    assert again is not None
    assert again.run_id == first
    await server.report(again, "completed", output=1)

    following = await claim(server)
    assert following is not None
    assert following.run_id == second


async def test_a_cancelled_holder_frees_its_slot(server: Work):
    await functions(server, hold="run")
    first, second = await started(server, "charge"), await started(server, "refund")
    job = await claim(server)
    assert job is not None
    await server.sleep(job, until=server.now + HOUR_MS)
    await server.call(runs.cancel, id=first)

    following = await claim(server)
    assert following is not None
    assert following.run_id == second


async def test_a_failed_holder_that_is_resumed_queues_again(server: Work):
    await functions(server, hold="run")
    first, second = await started(server, "charge"), await started(server, "refund")
    job = await claim(server)
    assert job is not None
    await server.report(job, "failed", error={"message": "no", "retryable": False})
    following = await claim(server)
    assert following is not None
    assert following.run_id == second
    await server.call(controls.resume, id=first)

    assert await claim(server) is None
    await server.report(following, "completed", output=1)
    again = await claim(server)
    assert again is not None
    assert again.run_id == first


async def test_why_names_the_run_that_holds_the_slot(server: Work):
    await functions(server, hold="run")
    first, second = await started(server, "charge"), await started(server, "refund")
    job = await claim(server)
    assert job is not None
    await server.sleep(job, until=server.now + HOUR_MS)

    why = await server.call(controls.why, id=second)

    assert (why.reason, why.held_by) == ("no_slot", [first])
    assert "the limit 'payment' that functions share, of key 'p1'" in why.message


async def test_what_cannot_be_registered(server: Work):
    for limit, more in (
        ({"scope": "a b"}, {}),
        ({"hold": "ever"}, {}),
        ({"scope": "payment"}, {"actor_key": "id"}),
        ({"hold": "run"}, {"actor_key": "id"}),
        ({"hold": "run"}, {"pause_behavior": "release"}),
    ):
        with pytest.raises(InvalidFunction):
            await server.a_function(concurrency={"limit": 1, **limit}, **more)
