"""The client's methods for run controls, bulk jobs and gathered events, over HTTP with a server in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ironflow.base.errors import DeadlineExceeded
from ironflow.engine.errors import RunNotPaused, RunNotResumable, StepNotFound
from ironflow.features.bulk.contract import InvalidBulk
from ironflow.features.debounces.contract import DebounceNotFound
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.client.client import Client
from tests.support.server import open_server
from tests.support.wire import Wire
from tests.support.work import Work, step
from tests.support.yields import invokes, waits_for

FINAL = {"message": "no", "code": "NO", "retryable": False}


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Work, Client]]:
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
        client = Client("http://server", transport=Wire(server))
        yield server, client
        await client.close()


async def test_a_run_is_paused_repaired_and_resumed(both: tuple[Work, Client]):
    server, client = both
    run = await server.a_run()
    job = await server.claim()
    broken = step(job, "charge", error={"message": "declined", "retryable": False})
    assert await client.runs.pause(run.id) == "pause_requested"
    await server.report(job, "progress", step(job, "price", {"euros": 2**70}), broken)
    assert await client.runs.pause(run.id) == "paused"

    state = await client.runs.paused_state(run.id)
    assert (state.pause_reason, [each.name for each in state.steps]) == ("injection", ["price", "charge"])
    price, charge = state.steps
    assert (price.output, price.status, charge.output) == ({"euros": 2**70}, "completed", None)
    assert (charge.status, charge.error["message"]) == ("failed", "declined")

    assert await client.runs.inject(run.id, price.id, "90", reason="a text stays a text") == {"euros": 2**70}
    assert await client.runs.inject(run.id, "charge", {"paid": True}) is None
    with pytest.raises(StepNotFound):
        await client.runs.inject(run.id, "nothing", 1)
    assert [each.output for each in await client.runs.steps(run.id)] == ["90", {"paid": True}]

    assert (await client.runs.resume(run.id)).status is RunStatus.PENDING
    with pytest.raises(RunNotPaused):
        await client.runs.inject(run.id, "charge", 1)
    assert (await client.runs.why(run.id)).reason == "no_free_worker"
    assert await client.runs.why_many([run.id, "run_none"]) == [await client.runs.why(run.id)]


async def test_a_failed_run_is_patched_and_retried_from_a_step(both: tuple[Work, Client]):
    server, client = both
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "failed", step(job, "price", 1), step(job, "charge", 2), error=FINAL)

    patched = await client.runs.patch_step(f"{run.id}:price:0", [1, None], reason="a discount")
    assert (patched.output, patched.original_output, patched.patched_by) == ([1, None], 1, "api")
    retried = await client.runs.retry(run.id, from_step="charge")
    assert (retried.attempt, [each.name for each in await client.runs.steps(run.id)]) == (1, ["price"])
    with pytest.raises(RunNotResumable):
        await client.runs.resume(run.id)


async def test_a_patch_can_resume_the_run(both: tuple[Work, Client]):
    server, client = both
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "failed", step(job, "price", 1), step(job, "charge", 2), error=FINAL)

    patched = await client.runs.patch_step(f"{run.id}:price:0", 7, resume=True)
    assert (patched.output, (await client.runs.get(run.id)).status) == (7, RunStatus.PENDING)

    # Without a run to resume, the output is patched all the same.
    with pytest.raises(RunNotResumable):
        await client.runs.patch_step(f"{run.id}:price:0", 8, resume=True)
    assert (await client.runs.steps(run.id))[0].output == 8


async def test_why_explains_a_waiting_run_and_a_parent_lists_its_children(both: tuple[Work, Client]):
    server, client = both
    await server.a_function("settle", on=None)
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "go"))
    why = await client.runs.why(run.id)
    assert (why.state, why.reason, why.event) == ("waiting", "wait_event", "go")

    await server.emit("go")
    job = await server.claim()
    await server.report(job, "yielded", yielded=invokes(job, "settle"))
    (child,) = [each async for each in client.runs.list(parent_run_id=run.id)]
    assert (child.function_id, child.parent_run_id) == ("settle", run.id)


async def test_many_runs_at_once(both: tuple[Work, Client]):
    server, client = both
    await server.a_function()
    for _ in range(3):
        await server.emit()
    with pytest.raises(InvalidBulk):
        await client.bulk.start("cancel")
    assert (await client.bulk.start("cancel", function_id="charge", dry_run=True)).matched == 3

    job = await client.bulk.start("cancel", statuses=["pending"], reason="enough")
    with pytest.raises(DeadlineExceeded):
        await client.bulk.wait(job.id, timeout="1ms")
    await server.loop("bulk")
    assert (await client.bulk.wait(job.id)).changed == 3
    other = await client.bulk.start("retry", statuses=["failed"])
    assert (await client.bulk.stop(other.id)).status == "stopped"
    assert [each.id async for each in client.bulk.list(page_size=1)] == [other.id, job.id]
    assert (await client.bulk.get(job.id)).status == "done"


async def test_gathered_events(both: tuple[Work, Client]):
    server, client = both
    await server.a_function(debounce={"period_ms": 60_000, "key": "name"})
    for name in ("ada", "bob", "ada"):
        await server.emit(data={"name": name})

    found = [each async for each in client.debounces.list(function_id="charge", page_size=1)]
    assert [(each.key, each.events) for each in found] == [("ada", 2), ("bob", 1)]
    await client.debounces.cancel(found[0].id)
    with pytest.raises(DebounceNotFound):
        await client.debounces.cancel(found[0].id)
    assert [each.key async for each in client.debounces.list()] == ["bob"]
