"""`kill -9` of worker, server or both while a run is cancelling: its compensations are recorded once each.

One whose body ran, and whose result was not durable, runs again; a recorded one never.
"""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from ironflow import Client
from tests.crash.cancelling import NAMES, POINTS
from tests.crash.recorded_steps import Line
from tests.crash.scene import Scene
from tests.crash.until import until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("kind", ["polling", "streaming"])
@pytest.mark.parametrize("killed", ["worker", "server", "both"])
async def test_compensations_of_a_cancelled_run_are_recorded_once(
    tmp_path: Path, database_url: str, kind: str, killed: str
) -> None:
    stream = {"stream": "yes"} if kind == "streaming" else {}
    with Scene(tmp_path, database_url, work="tests.crash.cancelling") as scene:
        await scene.start_server()
        async with scene.client() as client:
            for point in POINTS:
                assert scene.server is not None
                pids = {"worker": "0", "server": str(scene.server.pid), "both": f"{scene.server.pid},0"}[killed]
                worker = scene.start_worker(point=point, kills=pids, **stream)
                await scene.workers_ready(client)
                run_id = (await client.invoke("trip", idempotency_key=point.replace(" ", "-"))).run_id
                await until(lambda run_id=run_id: waits(client, run_id), f"it waits: {point}", within_s=30)
                assert (await client.runs.cancel(run_id, reason="rain")).cancel_requested is not None
                await scene.replace_killed(killed, worker, point, stream)
                run = await client.runs.wait(run_id, timeout="60s")
                assert (run.status, run.cancellation_cause) == ("cancelled", "rain"), point
                found = [step for step in await client.runs.steps(run_id) if step.compensation_for]
                assert [step.compensation_for for step in found] == [*reversed(NAMES)], point
                assert {str(step.status) for step in found} == {"completed"}, point
                ran = bodies(scene, run_id)
                assert ran.keys() == set(NAMES), point
                # What is before the point was durable; what is after it may be under way when its lease is lost.
                assert (ran["flight"], max(ran.values()) <= 2) == (1, True), point
                for each in list(scene.workers):
                    scene.kill_worker(each)


async def waits(client: Client, run_id: str) -> bool:
    return (await client.runs.get(run_id)).state == "waiting: wait_event"


def bodies(scene: Scene, run_id: str) -> Counter[str]:
    lines = scene.journal.path.read_bytes().splitlines()
    read = [msgspec.json.decode(line, type=Line) for line in lines]
    return Counter(line.step for line in read if line.run_id == run_id)
