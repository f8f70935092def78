"""A queue of thousands for one key: what the end of a run and the next claim read does not depend on its length."""

import os
from typing import Any

import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from tests.support.rows_read import FEW, reads_of
from tests.support.work import Work

QUEUED = int(os.environ.get("IRONFLOW_QUEUED", "3000"))
BATCH = 1_000
LIMITS: dict[str, dict[str, Any]] = {
    "an entity": {"entity": {"name": "payment", "key": "id"}},
    "a limit with a key": {"concurrency": {"limit": 1, "key": "id"}},
    "a limit": {"concurrency": {"limit": 1}},
    "a shared limit to the end": {"concurrency": {"limit": 1, "key": "id", "scope": "payment", "hold": "run"}},
    "an actor": {"actor_key": "id"},
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_the_next_of_thousands_that_wait_costs_the_same(server: Work, limit: str):
    await server.a_function("payment.make", on="made", retry={"max_attempts": 1}, **LIMITS[limit])
    await server.a_worker(function_ids=["payment.make"])
    arrived: list[str] = []
    for begin in range(0, QUEUED, BATCH):
        items = [{"event": "made", "data": {"id": "hot", "n": n}} for n in range(begin, min(begin + BATCH, QUEUED))]
        arrived += [each.run_ids[0] for each in (await server.call(events.emit_batch, events=items)).results]
    if server.db.name == "postgres":
        await server.db.write(lambda tx: tx.run("ANALYZE"))

    costs: set[int] = set()
    for expected in arrived[:5]:
        with reads_of(server.db) as reads:
            job = await server.claim()
            assert job.run_id == expected
            await server.report(job, "completed", output=1)
        assert reads.most < FEW, reads.each
        costs.add(reads.statements)
    assert max(costs) - min(costs) <= 2

    with reads_of(server.db) as reads:
        await server.claim()
        why = await server.call(controls.why, id=arrived[-1])
    assert (why.reason, why.held_by) == ("no_slot", [arrived[5]])
    assert reads.most < FEW, reads.each
