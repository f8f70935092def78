"""Workers that stop responding and resume: within their lease, and after it has expired."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ironflow import Client
from ironflow.sdk.client.views import Run, Step
from tests.crash.errands import ASKED
from tests.crash.journal import Entry
from tests.crash.scene import Scene
from tests.crash.until import until

pytestmark = pytest.mark.processes


async def ask_one(client: Client) -> str:
    """The id of the run of a new errand."""
    (run_id,) = (await client.emit(ASKED, {"number": 1})).run_ids
    return run_id


async def written(scene: Scene, wanted: Callable[[Entry], bool], what: str) -> Entry:
    """Waits for the first journal entry that `wanted` accepts."""
    await until(lambda: any(wanted(entry) for entry in scene.journal.read()), what)
    return next(entry for entry in scene.journal.read() if wanted(entry))


async def looked_at(client: Client, run_id: str) -> tuple[Run, list[Step]]:
    return await client.runs.get(run_id), await client.runs.steps(run_id)


@pytest.mark.parametrize("protocol", ["plain", "batched", "stream"])
async def test_a_worker_that_hangs_past_its_lease_is_refused_and_changes_nothing(
    tmp_path: Path, database_url: str, protocol: str
):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Scene(tmp_path, database_url, lease_s=0.5) as scene:
        await scene.start_server()
        hanging = scene.start_worker(hang=str(pipe), **({protocol: "1"} if protocol != "batched" else {}))
        async with scene.client() as client:
            await scene.workers_ready(client)
            run_id = await ask_one(client)
            await written(scene, lambda it: it.kind == "started" and it.steps == ("carry",), "the worker hangs")
            scene.start_worker()
            ended = await client.runs.wait(run_id)
            before = await looked_at(client, run_id)

            pipe.open("wb").close()
            refusal = await written(scene, lambda it: it.kind == "refused" and it.pid == hanging.pid, "it is refused")

            assert ended.status == "completed"
            assert refusal.code == ("409 STALE_EXECUTION" if protocol == "plain" else "STALE_EXECUTION")
            assert await looked_at(client, run_id) == before
            recorded = {step.name: step.output for step in before[1]}
        made = [it for it in scene.journal.read() if it.kind == "finished" and it.steps == ("carry",)]
        assert [it.value for it in made if it.pid != hanging.pid] == [recorded["carry"]]


async def test_a_worker_frozen_past_its_lease_is_refused_when_it_resumes(tmp_path: Path, database_url: str):
    gate = tmp_path / "gate"
    with Scene(tmp_path, database_url, lease_s=0.5) as scene:
        await scene.start_server()
        frozen = scene.start_worker(gate=str(gate))
        async with scene.client() as client:
            await scene.workers_ready(client)
            run_id = await ask_one(client)
            await written(scene, lambda it: it.kind == "started" and it.steps == ("carry",), "the step is in work")
            frozen.freeze()
            scene.start_worker()
            ended = await client.runs.wait(run_id)
            before = await looked_at(client, run_id)

            gate.touch()
            frozen.thaw()
            refusal = await written(scene, lambda it: it.kind == "refused" and it.pid == frozen.pid, "it is refused")

            assert ended.status == "completed"
            assert refusal.code == "STALE_EXECUTION"
            assert await looked_at(client, run_id) == before


async def test_a_worker_frozen_for_less_than_its_lease_continues_undisturbed(tmp_path: Path):
    gate = tmp_path / "gate"
    with Scene(tmp_path, str(tmp_path / "ironflow.db"), lease_s=60) as scene:
        await scene.start_server()
        worker = scene.start_worker(gate=str(gate))
        async with scene.client() as client:
            await scene.workers_ready(client)
            run_id = await ask_one(client)
            await written(scene, lambda it: it.kind == "started" and it.steps == ("carry",), "the step is in work")

            worker.freeze()
            gate.touch()
            worker.thaw()

            assert (await client.runs.wait(run_id)).status == "completed"
        started = [it.steps for it in scene.journal.read() if it.kind == "started"]
        assert started == [("fetch",), ("carry",), ("deliver",)]


async def test_a_step_recorded_before_server_and_worker_are_killed_is_not_executed_again(
    tmp_path: Path, database_url: str
):
    gate = tmp_path / "gate"
    with Scene(tmp_path, database_url, lease_s=0.5) as scene:
        await scene.start_server()
        worker = scene.start_worker(gate=str(gate))
        async with scene.client() as client:
            await scene.workers_ready(client)
            run_id = await ask_one(client)
            await written(scene, lambda it: it.kind == "started" and it.steps == ("carry",), "the step is in work")

            scene.kill_server()
            scene.kill_worker(worker)
            await scene.start_server()
            scene.start_worker()

            assert (await client.runs.wait(run_id)).status == "completed"
        started = [it.steps for it in scene.journal.read() if it.kind == "started"]
        assert started == [("fetch",), ("carry",), ("carry",), ("deliver",)]
