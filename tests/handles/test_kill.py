"""`kill -9` of servers and workers while runs start and join others."""

import asyncio
from pathlib import Path

import pytest

from tests.crash.scene import Scene
from tests.crash.until import until
from tests.handles.gathering import CHILDREN, LOOSE

PARENTS = 6
KILLS = 5


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_each_start_has_one_run_and_each_join_its_results_whatever_is_killed(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url, seed=7, work="tests.handles.gathering") as scene:
        async with scene.working() as client:
            parents = [
                (await client.invoke("gather", idempotency_key=f"g{number}")).run_id for number in range(PARENTS)
            ]
            for kill in range(KILLS):
                await asyncio.sleep(scene.chance.uniform(0.1, 0.6))
                if kill % 2:
                    scene.kill_worker(scene.workers[0])
                    scene.start_worker(**({"stream": "1"} if kill % 4 == 1 else {}))
                else:
                    scene.kill_server()
                    await scene.start_server()

            async def all_ended() -> bool:
                found = [(await client.runs.get(run_id)).ended_at for run_id in parents]
                return all(at is not None for at in found)

            await until(all_ended, "all parents end", within_s=120)
            ended = [await client.runs.get(run_id) for run_id in parents]
            leaves = [run async for run in client.runs.list(function_id="leaf", page_size=1_000)]

    assert [(run.status, run.error) for run in ended] == [("completed", None)] * PARENTS
    for run in ended:
        assert run.output["early"] == 3
        assert run.output["all"] == [number * number for number in range(CHILDREN)]
    assert len(leaves) == PARENTS * (CHILDREN + LOOSE)
    assert {leaf.id for leaf in leaves} == {run_id for run in ended for run_id in run.output["runs"]}
