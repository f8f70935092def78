"""Question: how many events a second does a SQL projection apply, behind a full log and while it is rebuilt?

Method: events of 100 bytes under 1,000 keys are recorded first. Then a projection that counts and sums them by key (an
upsert for each event) is created, and rebuilt; the time is from the request until it has caught up, including
the polling intervals. The rows are compared with the emitted events.
"""

import asyncio
import time

from benchmarks.answers import Figure
from benchmarks.processes import Workspace
from ironflow import Client

EVENTS = 100_000
BATCH = 500
KEYS = 1_000
LOOK_S = 0.01
TABLE = "CREATE TABLE proj_sums (key TEXT PRIMARY KEY, n BIGINT NOT NULL, total BIGINT NOT NULL)"
COUNTED = """INSERT INTO proj_sums (key, n, total) VALUES (:data.key, 1, :data.value)
ON CONFLICT (key) DO UPDATE SET n = proj_sums.n + 1, total = proj_sums.total + excluded.total"""


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    async with Client(address) as client:
        await record(client)
        begun = time.perf_counter()
        await client.sql_projections.create("sums", table=TABLE, on={"counted": COUNTED})
        created_s = await caught_up(client) - begun
        begun = time.perf_counter()
        await client.sql_projections.rebuild("sums")
        rebuilt_s = await caught_up(client) - begun
        found = await client.sql_projections.query("sums", limit=KEYS)
    if sum(row[1] for row in found.rows) != EVENTS:
        raise RuntimeError("the rows are not the sum of the events")
    return [
        Figure(name="events applied", value=EVENTS / created_s, unit="/s", target=20_000),
        Figure(name="events applied by a rebuild", value=EVENTS / rebuilt_s, unit="/s", target=20_000),
    ]


async def record(client: Client) -> None:
    for first in range(0, EVENTS, BATCH * 4):
        await asyncio.gather(
            *(client.emit_batch([event(number) for number in range(start, start + BATCH)])
              for start in range(first, first + BATCH * 4, BATCH))
        )  # fmt: skip


def event(number: int) -> dict[str, object]:
    return {"name": "counted", "data": {"key": f"key-{number % KEYS}", "value": number, "note": "x" * 60}}


async def caught_up(client: Client) -> float:
    """Returns when the projection has caught up."""
    while True:
        found = await client.sql_projections.get("sums")
        if found.status == "active" and found.lag == 0:
            return time.perf_counter()
        await asyncio.sleep(LOOK_S)
