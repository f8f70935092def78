"""`kill -9` of the server while it deletes an environment with its data.

As test_kill: IRONFLOW_CRASH_SEED and IRONFLOW_CRASH_ROUNDS.
"""

import asyncio
from pathlib import Path

import pytest

from ironflow import Client
from ironflow.features.environments.contract import EnvironmentNotFound
from tests.crash.scene import Scene
from tests.crash.test_kill import ROUNDS, SEED, integrity
from tests.crash.until import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90 + ROUNDS * 10)]

EVENTS = 4_000


async def test_a_deletion_ends_whenever_the_server_is_killed_and_no_other_environment_loses_a_row(
    tmp_path: Path, database_url: str
):
    print(f"IRONFLOW_CRASH_SEED={SEED} IRONFLOW_CRASH_ROUNDS={ROUNDS}")
    with Scene(tmp_path, database_url, seed=SEED) as scene:
        await scene.start_server()
        async with scene.client() as client, in_staging(scene) as staging:
            made = await client.environments.create("staging")
            for target in (client, staging):
                for _ in range(0, EVENTS, 500):
                    await target.emit_batch([{"name": "order.placed", "data": {"x": "y" * 100}}] * 500)
            assert (await client.environments.delete("staging", with_data=True)).status == "deleting"
            for _ in range(ROUNDS):
                await asyncio.sleep(scene.chance.uniform(0, 0.1))
                scene.kill_server()
                await scene.start_server()
            await until(lambda: is_deleted(client, made.id), "the environment is deleted", within_s=60)
            deletion = await client.environments.deletion(made.id)
            assert deletion.rows_removed >= EVENTS
            assert len([event.id async for event in client.events.list()]) == EVENTS
            with pytest.raises(EnvironmentNotFound):
                await staging.events.list().page()
            await client.environments.create("staging")
            assert [event.id async for event in staging.events.list()] == []
        assert scene.stop_server() == 0
    if not database_url.startswith("postgres"):
        assert integrity(database_url) == "ok"


def in_staging(scene: Scene) -> Client:
    return Client(scene.url, environment="staging", timeout="60s")


async def is_deleted(client: Client, environment_id: str) -> bool:
    return (await client.environments.deletion(environment_id)).status == "deleted"
