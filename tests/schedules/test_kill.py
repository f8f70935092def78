"""A server that is killed with `kill -9` while ticks come: each tick has one run."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from ironflow import Client
from ironflow.features.functions.contract import RegisterFunction
from tests.crash.scene import Scene
from tests.crash.until import until

KILLS = 4
SECOND = timedelta(seconds=1)


async def ticks(client: Client) -> list[datetime]:
    """For when the runs were scheduled, in order."""
    found: list[datetime] = []
    async for event in client.events.list(name="ironflow/schedule"):
        started = await client.events.get(event.id)
        assert len(started.run_ids) == 1
        about = msgspec.convert(event.metadata, dict[str, str])
        found.append(datetime.fromisoformat(about["scheduledAt"]))
    return sorted(found)


@pytest.mark.processes
@pytest.mark.timeout(240)
async def test_each_tick_has_one_run_however_often_the_server_is_killed(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url) as scene:
        await scene.start_server()
        async with scene.client() as client:
            await client.functions.register(RegisterFunction(id="report"))
            await client.schedules.create("each-second", "report", every="1s", catch_up="10m")
            for kill in range(1, KILLS + 1):

                async def has_ticked(goal: int = kill * 2) -> bool:
                    return len(await ticks(client)) >= goal

                await until(has_ticked, "ticks come", within_s=30)
                scene.kill_server()
                await scene.start_server()
            await client.schedules.pause("each-second")
            found = await ticks(client)
            schedule = await client.schedules.get("each-second")

    assert found == [found[0] + number * SECOND for number in range(len(found))]
    assert (schedule.started, schedule.missed, schedule.last_at) == (len(found), 0, found[-1])
