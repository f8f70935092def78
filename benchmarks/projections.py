"""Question: how many events a second does a counting projection fold, from the log to the saved state?

Method: events of 100 bytes under 1,000 keys are recorded first. A runner of the SDK, in the process of this benchmark,
then folds them in batches of 100; the server is another process. The time is from the runner's start until a wait
reports that everything is saved. The same with a state for each key, and as a rebuild. Last, one event at a time:
from the
request of an emit to a state that has it. The states are compared with the emitted events.
"""

import asyncio
import time
from typing import Any

from benchmarks.answers import Figure
from benchmarks.processes import Workspace
from ironflow import Client
from ironflow.projection import ProjectionDefinition, ProjectionEvent, ProjectionRunner, projection

EVENTS = 100_000
BATCH = 500
KEYS = 1_000
LATENCIES = 300
LOOK_S = 0.01


@projection("counts", events=["counted"], initial_state={"count": 0, "total": 0})
def counts(state: Any, event: ProjectionEvent) -> Any:
    return {"count": state["count"] + 1, "total": state["total"] + event.data["value"]}


@projection("by-key", events=["counted"], initial_state={"count": 0}, partition_key="data.key")
def by_key(state: Any, event: ProjectionEvent) -> Any:
    return {"count": state["count"] + 1}


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    async with Client(address) as client:
        await record(client)
        folded_s = await fold(client, address, counts)
        keyed_s = await fold(client, address, by_key)
        async with ProjectionRunner(counts, url=address):
            begun = time.perf_counter()
            await client.projections.rebuild(counts.name)
            await rebuilt(client, counts.name)
            rebuilt_s = time.perf_counter() - begun
        state = (await client.projections.get(counts.name)).state
        if state != {"count": EVENTS, "total": sum(range(EVENTS))}:
            raise RuntimeError(f"the state {state} is not the sum of the events")
        times_ms = await latencies(client, address)
    return [
        Figure(name="events folded", value=EVENTS / folded_s, unit="/s", target=30_000),
        Figure(name=f"events folded into {KEYS:,} partitions", value=EVENTS / keyed_s, unit="/s"),
        Figure(name="events folded by a rebuild", value=EVENTS / rebuilt_s, unit="/s", target=30_000),
        Figure(name="emit to state, p50", value=times_ms[len(times_ms) // 2], unit="ms"),
        Figure(name="emit to state, p99", value=times_ms[len(times_ms) * 99 // 100], unit="ms"),
    ]


async def record(client: Client) -> None:
    for first in range(0, EVENTS, BATCH * 4):
        await asyncio.gather(
            *(client.emit_batch([event(number) for number in range(start, min(start + BATCH, EVENTS))])
              for start in range(first, min(first + BATCH * 4, EVENTS), BATCH))
        )  # fmt: skip


def event(number: int) -> dict[str, object]:
    return {"name": "counted", "data": {"key": f"key-{number % KEYS}", "value": number, "note": "x" * 60}}


async def fold(client: Client, address: str, definition: ProjectionDefinition) -> float:
    """Seconds from a runner's start until everything is saved."""
    # The wait needs at least one event.
    await client.projections.register(definition)
    begun = time.perf_counter()
    async with ProjectionRunner(definition, url=address):
        await caught_up(client, definition.name)
        return time.perf_counter() - begun


async def caught_up(client: Client, name: str) -> None:
    while not (await client.projections.wait(name)).caught_up:
        pass


async def rebuilt(client: Client, name: str) -> None:
    while True:
        if (await client.projections.status(name)).status != "rebuilding":
            return
        await asyncio.sleep(LOOK_S)


async def latencies(client: Client, address: str) -> list[float]:
    """Milliseconds, sorted."""
    found: list[float] = []
    async with ProjectionRunner(counts, url=address):
        await caught_up(client, counts.name)
        for number in range(LATENCIES):
            begun = time.perf_counter()
            emitted = await client.emit("counted", {"key": "key-0", "value": number})
            await client.projections.wait_for_event(counts.name, emitted.event_id)
            found.append((time.perf_counter() - begun) * 1000)
    return sorted(found)
