"""`kill -9` of a server that applies events and rebuilds: the rows are the sum of the log, each event once."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ironflow import Client
from ironflow.features.projections.contract import RebuildUnderWay
from tests.crash.scene import Scene
from tests.crash.test_kill import SEED
from tests.crash.until import became, until

ROUNDS = 6
EVENTS = 1500

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


async def test_a_killed_server_applies_every_event_once(tmp_path: Path, database_url: str):
    print(f"IRONFLOW_CRASH_SEED={SEED}")
    with Scene(tmp_path, database_url, seed=SEED) as scene:
        await scene.start_server()
        async with scene.client() as client:
            await client.sql_projections.create(
                "sums",
                table="CREATE TABLE proj_sums (key TEXT PRIMARY KEY, n BIGINT NOT NULL, total BIGINT NOT NULL)",
                on={
                    "counted": """INSERT INTO proj_sums (key, n, total) VALUES (:data.key, 1, :data.value)
                        ON CONFLICT (key) DO UPDATE SET n = proj_sums.n + 1, total = proj_sums.total + excluded.total"""
                },
            )
            for number in range(ROUNDS):
                await emit(client, number)
                if number % 2:
                    # The one before may still be under way.
                    with suppress(RebuildUnderWay):
                        await client.sql_projections.rebuild("sums")
                await became(lambda: False, scene.chance.uniform(0, 0.15))
                scene.kill_server()
                await scene.start_server()

            async def caught_up() -> bool:
                found = await client.sql_projections.get("sums")
                return found.status == "active" and found.lag == 0

            await until(caught_up, "the projection has caught up", within_s=60)
            counts, sums = Counter[str](), Counter[str]()
            async for event in client.events.list(name="counted", page_size=500):
                counts[event.data["key"]] += 1
                sums[event.data["key"]] += event.data["value"]
            found = await client.sql_projections.query("sums", order_by="key")

        assert found.rows == [[key, counts[key], sums[key]] for key in sorted(counts)]
        assert counts.total() == ROUNDS * EVENTS


async def emit(client: Client, number: int) -> None:
    """EVENTS events, each recorded once though the server may be killed."""
    items = [
        {
            "name": "counted",
            "data": {"key": f"k{place % 7}", "value": place},
            "idempotency_key": f"{number}-{place}",
        }
        for place in range(EVENTS)
    ]
    await asyncio.gather(*(client.emit_batch(items[start : start + 500]) for start in range(0, EVENTS, 500)))
