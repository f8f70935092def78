"""`kill -9` of worker, server or both at each named point: a step whose call has returned is never executed again.

Bodies are counted outside, in a journal that no process of Ironflow reads.
"""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.crash.recorded_steps import POINTS, STEPS, Line
from tests.crash.scene import Scene

pytestmark = pytest.mark.processes

OUTPUT = ["a", "b", "c", "d", "f is declined", "e"]


def lines(scene: Scene) -> list[Line]:
    text = scene.journal.path.read_bytes()
    return [msgspec.json.decode(line, type=Line) for line in text.splitlines()]


def executed_again(found: list[Line]) -> list[Line]:
    """The bodies that began after their step's call had returned."""
    returned: set[tuple[str, str]] = set()
    again: list[Line] = []
    for line in found:
        key = (line.run_id, line.step)
        if line.what == "returned":
            returned.add(key)
        elif key in returned:
            again.append(line)
    return again


@pytest.mark.parametrize("kind", ["polling", "streaming"])
@pytest.mark.parametrize("killed", ["worker", "server", "both"])
async def test_a_step_that_has_returned_is_never_executed_again(
    tmp_path: Path, database_url: str, kind: str, killed: str
) -> None:
    stream = {"stream": "yes"} if kind == "streaming" else {}
    with Scene(tmp_path, database_url, work="tests.crash.recorded_steps") as scene:
        await scene.start_server()
        async with scene.client() as client:
            for point in POINTS:
                assert scene.server is not None
                pids = {"worker": "0", "server": str(scene.server.pid), "both": f"{scene.server.pid},0"}[killed]
                worker = scene.start_worker(point=point, kills=pids, **stream)
                await scene.workers_ready(client)
                run_id = (await client.invoke("recorded-steps", idempotency_key=point.replace(" ", "-"))).run_id
                await scene.replace_killed(killed, worker, point, stream)
                run = await client.runs.wait(run_id, timeout="60s")
                assert (run.output, run.attempt) == (OUTPUT, 1), point
                bodies = Counter(line.step for line in lines(scene) if line.run_id == run_id and line.what == "body")
                assert bodies.keys() == set(STEPS), point
                assert max(bodies.values()) <= 2, point
                assert executed_again(lines(scene)) == [], point
                logged = Counter([line.step_name async for line in client.runs.logs(run_id)])
                assert logged.keys() == set(STEPS), point
                assert all(logged[name] <= bodies[name] for name in STEPS), point
                for each in list(scene.workers):
                    scene.kill_worker(each)
