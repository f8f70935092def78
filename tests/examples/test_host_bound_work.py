"""The guide's program on two hosts: one dies with the file, and the other fetches and encodes it."""

import re
from pathlib import Path

import pytest

from ironflow import Client
from tests.crash.processes import Process
from tests.crash.scene import Scene
from tests.crash.until import until

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "host-bound-work.md").read_text()
# Each host has a folder of its own. Encoding on a host that the file `slow` names does not end.
MEDIA = """
import os, pathlib, time

DISK = pathlib.Path(os.environ["DISK"])

def download(name):
    DISK.mkdir(exist_ok=True)
    path = DISK / name
    path.write_text(name)
    return str(path)

def encode(path):
    assert pathlib.Path(path).parent == DISK
    (DISK / "encoding").touch()
    while os.environ["HOST"] == (DISK.parent / "slow").read_text():
        time.sleep(0.05)
    return pathlib.Path(path).read_text().upper()
"""


@pytest.mark.processes
async def test_the_guides_film_is_encoded_on_the_host_that_has_its_file(tmp_path: Path):
    (tmp_path / "films.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)))
    (tmp_path / "media.py").write_text(MEDIA)
    # The lease is longer than the time between two heartbeats that a slow machine sends.
    with Scene(tmp_path, str(tmp_path / "ironflow.db"), lease_s=5) as scene:
        await scene.start_server()
        async with scene.client() as client:
            first = start(scene, "first")
            (tmp_path / "slow").write_text("first")
            await scene.workers_ready(client)
            emitted = await client.emit("film.uploaded", {"name": "tides"})
            await until((tmp_path / "first" / "encoding").exists, "the first host encodes")
            start(scene, "second")
            await scene.workers_ready(client)
            scene.kill_worker(first)

            run = await client.runs.wait(emitted.run_ids[0], timeout="60s")
            assert run.output == {"host": "second", "film": "TIDES"}
            assert await statuses(client, "encode-on-first") == ["cancelled"]
            assert await statuses(client, "encode-on-second") == ["completed"]
            assert len(list(tmp_path.glob("*/tides"))) == 2


def start(scene: Scene, host: str) -> Process:
    """A worker of that host, with a disk of its own."""
    environment = {
        "IRONFLOW_SERVER_URL": scene.url,
        "HOST": host,
        "DISK": str(scene.folder / host),
        "PATIENCE": "5s",
    }
    arguments = ["ironflow", "worker", str(scene.folder / "films.py"), "--label", "disk=fast", "--stream"]
    worker = Process(f"worker-{host}", arguments, scene.folder, environment)
    scene.workers.append(worker)
    return worker


async def statuses(client: Client, function_id: str) -> list[str]:
    return [run.status async for run in client.runs.list(function_id=function_id)]
