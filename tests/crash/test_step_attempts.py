"""`kill -9` of worker, server or both at each named point of an attempt: a step has exactly the attempts of its retry.

An attempt whose body ran, and whose failure was not durable, is made again; a recorded one never.
"""

from pathlib import Path

import msgspec
import pytest

from tests.crash.recorded_steps import Line
from tests.crash.scene import Scene
from tests.crash.step_attempts import ATTEMPTS, POINTS
from tests.crash.until import until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("kind", ["polling", "streaming"])
@pytest.mark.parametrize("killed", ["worker", "server", "both"])
async def test_the_count_of_attempts_survives_kills(tmp_path: Path, database_url: str, kind: str, killed: str) -> None:
    stream = {"stream": "yes"} if kind == "streaming" else {}
    with Scene(tmp_path, database_url, work="tests.crash.step_attempts") as scene:
        await scene.start_server()
        async with scene.client() as client:
            for point in POINTS:
                assert scene.server is not None
                pids = {"worker": "0", "server": str(scene.server.pid), "both": f"{scene.server.pid},0"}[killed]
                worker = scene.start_worker(point=point, kills=pids, **stream)
                await scene.workers_ready(client)
                run_id = (await client.invoke("order", idempotency_key=point.replace(" ", "-"))).run_id
                await scene.replace_killed(killed, worker, point, stream)
                run = await client.runs.wait(run_id, timeout="60s")
                assert (run.output, run.attempt) == ("ConnectionError: the bank is away", 1), point
                (step,) = await client.runs.steps(run_id)
                assert (step.attempt, step.max_attempts) == (ATTEMPTS, ATTEMPTS), point
                assert [each.attempt for each in step.attempts or ()] == [1, 2, 3, 4], point
                assert ATTEMPTS <= bodies(scene, run_id) <= ATTEMPTS + 1, point
                for each in list(scene.workers):
                    scene.kill_worker(each)


@pytest.mark.parametrize("kind", ["polling", "streaming"])
@pytest.mark.parametrize("killed", ["worker", "both"])
async def test_progress_outlives_the_worker_that_showed_it(
    tmp_path: Path, database_url: str, kind: str, killed: str
) -> None:
    stream = {"stream": "yes"} if kind == "streaming" else {}
    with Scene(tmp_path, database_url, work="tests.crash.step_attempts") as scene:
        await scene.start_server()
        async with scene.client() as client:
            worker = scene.start_worker(**stream)
            await scene.workers_ready(client)
            run_id = (await client.invoke("import")).run_id

            async def shown() -> bool:
                return [step.progress for step in await client.runs.steps(run_id)] == [{"page": 7}]

            await until(shown, "the progress is recorded", within_s=30)
            scene.kill_worker(worker)
            if killed == "both":
                scene.kill_server()
                await scene.start_server()
            scene.start_worker(**stream)
            run = await client.runs.wait(run_id, timeout="60s")
            assert (run.output, run.attempt, bodies(scene, run_id)) == ({"page": 7}, 1, 2)


def bodies(scene: Scene, run_id: str) -> int:
    lines = scene.journal.path.read_bytes().splitlines()
    return sum(msgspec.json.decode(line, type=Line).run_id == run_id for line in lines)
