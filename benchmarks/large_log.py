"""Question: is everything about history as fast with a long log as with a short one?

Method: two servers, one on a log of 20,000 events and one on a log of IRONFLOW_BENCH_EVENTS (default 500,000;
the guarantee is about 10,000,000), filled before by the log's own statements. Each operation runs on both in turns,
three times, over keep-alive HTTP/1.1; the best time counts, because the other rounds were slowed down by other
processes
of the machine. Figures are those of the long log; "beside" is the ratio of the speed to that with
the short one, so 1 is equal. Then one event in ten of the long log is folded by a rebuild.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmarks.answers import Figure
from benchmarks.filling import LONG, RARE, event_id, fill, time_of
from benchmarks.load import ClosedLoop, request_of
from benchmarks.processes import Process, Workspace
from ironflow import Client
from ironflow.base.time import to_datetime
from ironflow.projection import ProjectionDefinition, ProjectionEvent, ProjectionRunner, projection

SHORT, EVENTS = 20_000, int(os.environ.get("IRONFLOW_BENCH_EVENTS", "500000"))
ROUNDS = 3
# A round is longer where an answer takes long. The first answer, which may find nothing in memory, does not count.
ROUND_S, ANSWERS_MIN, FIRST_S_MAX = 1.0, 5, 30.0
FRESH, BATCH = 10_000, 500
IMPORTED = 100
LOOK_S = 0.01
RPC = "/ironflow.v1.EntityStreamService/"
DATA = {"key": "key-1", "value": 1, "note": "x" * 60}


@dataclass
class Log:
    """A server on a filled log. number: of requests so far, so that no request is repeated."""

    events: int
    until: int
    server: Process
    address: str
    client: Client
    number: int = 0

    def next(self) -> int:
        self.number += 1
        return self.number


# Seconds for one, or for what the figure says.
Ask = Callable[[Log], Awaitable[float]]


@projection("every-tenth", events=["counted"], initial_state={"count": 0})
def every_tenth(state: Any, event: ProjectionEvent) -> Any:
    return {"count": state["count"] + 1}


async def run(workspace: Workspace) -> list[Figure]:
    short, long = [await filled(workspace, events) for events in (SHORT, EVENTS)]
    figures: list[Figure] = []
    async with short.client, long.client:
        for name, unit, amount, ask in questions():
            seconds = {id(log): float("inf") for log in (short, long)}
            for _ in range(ROUNDS):
                for log in (short, long):
                    seconds[id(log)] = min(seconds[id(log)], await ask(log))
            values = [shown(unit, amount, seconds[id(log)]) for log in (long, short)]
            figures += in_turn(name, unit, *values)
        figures += [await searched(long), *await rebuilt(long)]
    return figures


async def filled(workspace: Workspace, events: int) -> Log:
    file = workspace.folder / f"log-{events}.db"
    until = int(time.time() * 1000)
    begun = time.perf_counter()
    await fill(file, events, until)
    print(f"  {events:,} events in {time.perf_counter() - begun:.0f} s", flush=True)
    server, address = await workspace.server(db=str(file))
    return Log(events, until, server, address, Client(address))


def shown(unit: str, amount: int, seconds: float) -> float:
    return amount / seconds if unit == "/s" else seconds * 1000


def in_turn(name: str, unit: str, long: float, short: float) -> list[Figure]:
    as_good = long / short if unit == "/s" else short / long
    better = "more" if unit == "/s" else "less"
    return [
        Figure(name=name, value=long, unit=unit, better=better),
        Figure(name=f"{name}, beside a short log", value=as_good, unit="×", target=0.9),
    ]


def questions() -> list[tuple[str, str, int, Ask]]:
    """Name, unit, amount per response, and the request."""
    return [
        ("appends at 64 writers", "/s", 1, load(append, 64)),
        ("appends at 1 writer", "/s", 1, load(append, 1)),
        ("emits at 64 writers", "/s", 1, load(emit, 64)),
        (f"read of {LONG:,} events", "ms", 1, load(lambda _: _read("long", LONG), 1)),
        ("read of a short stream", "ms", 1, load(lambda log: _read(f"filled-{log.next() % 200}", 100), 1)),
        ("newest 100 events", "ms", 1, load(lambda _: _list("limit=100"), 1)),
        ("newest 100 of a name", "ms", 1, load(lambda _: _list("limit=100&name=counted"), 1)),
        ("the one event of a name", "ms", 1, load(lambda _: _list(f"limit=100&name={RARE}"), 1)),
        ("newest 100 of a source", "ms", 1, load(lambda _: _list("limit=100&source=source-7"), 1)),
        ("100 events by time", "ms", 1, load(by_time, 1)),
        ("oldest 1,000 events, as for an export", "ms", 1, load(lambda _: _list("limit=1000&before=0"), 1)),
        ("names of events", "ms", 1, load(lambda _: request_of("GET", "/api/v1/events/names"), 1)),
        ("one event by its id", "ms", 1, load(by_id, 1)),
        (f"import of {IMPORTED} events", "ms", 1, load(imported, 1)),
        ("redaction of an event", "ms", 1, load(redact, 1)),
        (f"{FRESH:,} new events folded by a projection", "/s", FRESH, folded),
        (f"{FRESH:,} new events folded by a SQL projection", "/s", FRESH, folded_by_sql),
    ]


def load(next_request: Callable[[Log], bytes], writers: int) -> Ask:
    async def ask(log: Log) -> float:
        """Seconds for one response: the median of one writer, the mean of many."""
        loop = ClosedLoop(log.address, writers, lambda _: next_request(log), lambda reply: reply.status < 300)
        first = await loop.run(FIRST_S_MAX, 1)
        measured = await loop.run(max(ROUND_S, first.seconds * ANSWERS_MIN))
        return measured.percentile(50) / 1000 if writers == 1 else 1 / measured.per_second

    return ask


def append(log: Log) -> bytes:
    entity = {"entityId": f"filled-{log.next() % 1000}", "entityType": "bench", "expectedVersion": -1}
    return _post(f"{RPC}AppendEvent", {**entity, "eventName": "bench.plain", "data": DATA})


def emit(_log: Log) -> bytes:
    return _post("/api/v1/events", {"event": "bench.emitted", "data": DATA})


def by_time(log: Log) -> bytes:
    since = time_of(log.events // 2, log.events, log.until)
    until = time_of(log.events // 2 + 100, log.events, log.until)
    moments = [quote(to_datetime(each).isoformat()) for each in (since, until)]
    return _list(f"limit=100&since={moments[0]}&until={moments[1]}")


def by_id(log: Log) -> bytes:
    return request_of("GET", f"/api/v1/events/{event_id(_anywhere(log))}")


def imported(log: Log) -> bytes:
    at = to_datetime(log.until).isoformat()
    events = [
        {"id": f"evt_imported-{log.next()}", "name": "bench.imported", "timestamp": at, "data": DATA}
        for _ in range(IMPORTED)
    ]
    return _post("/api/v1/events/import", {"events": events})


def redact(log: Log) -> bytes:
    return _post(f"/api/v1/events/{event_id(_anywhere(log))}/redact", {"reason": "benchmark"})


async def folded(log: Log) -> float:
    """The time from the runner's start to the saved state; the events are recorded before."""
    name = f"fresh-{log.next()}"

    def count(state: Any, event: ProjectionEvent) -> Any:
        return {"count": state["count"] + 1}

    definition = projection(name, events=[name], initial_state={"count": 0})(count)
    await log.client.projections.register(definition)
    await record(log.client, name)
    begun = time.perf_counter()
    async with ProjectionRunner(definition, url=log.address):
        await caught_up(log.client, name)
        took_s = time.perf_counter() - begun
    await check(log.client, definition, FRESH)
    await log.client.projections.delete(name)
    return took_s


async def folded_by_sql(log: Log) -> float:
    number = log.next()
    name = f"fresh-{number}"
    await record(log.client, name)
    begun = time.perf_counter()
    await log.client.sql_projections.create(
        name,
        table=f"CREATE TABLE proj_fresh_{number} (id TEXT PRIMARY KEY, n BIGINT NOT NULL)",
        on={
            name: f"""INSERT INTO proj_fresh_{number} VALUES (:data.key, 1)
                      ON CONFLICT (id) DO UPDATE SET n = proj_fresh_{number}.n + 1"""
        },
    )
    await caught_up(log.client, name)
    took_s = time.perf_counter() - begun
    # It must not process later events.
    await log.client.sql_projections.delete(name)
    return took_s


async def searched(log: Log) -> Figure:
    """Searches a text that no event has: the maximum time of one page."""
    ask = load(lambda _: _list("limit=100&search=nowhere-to-be-found"), 1)
    return Figure(name="a page of a search for a text", value=await ask(log) * 1000, unit="ms", better="less")


async def rebuilt(log: Log) -> list[Figure]:
    name = every_tenth.name
    await log.client.projections.register(every_tenth)
    async with ProjectionRunner(every_tenth, url=log.address):
        await caught_up(log.client, name)
        begun = time.perf_counter()
        spent_s = log.server.cpu_seconds()
        job = await log.client.projections.rebuild(name)
        await done(log.client, name)
        took_s = time.perf_counter() - begun
        spent_s = log.server.cpu_seconds() - spent_s
    await check(log.client, every_tenth, job.total_events)
    return [
        Figure(name=f"rebuild of {job.total_events:,} events", value=took_s, unit="s", better="less"),
        Figure(name="events folded by the rebuild", value=job.total_events / took_s, unit="/s", target=30_000),
        Figure(
            name="processor time of the server for one",
            value=spent_s / job.total_events * 1e6,
            unit="µs",
            better="less",
        ),
    ]


async def record(client: Client, name: str) -> None:
    for first in range(0, FRESH, BATCH):
        await client.emit_batch([{"name": name, "data": {**DATA, "value": first + each}} for each in range(BATCH)])


async def caught_up(client: Client, name: str) -> None:
    while not (await client.projections.wait(name)).caught_up:
        pass


async def done(client: Client, name: str) -> None:
    """Returns when the rebuild has ended."""
    while True:
        if (await client.projections.status(name)).status != "rebuilding":
            return
        await asyncio.sleep(LOOK_S)


async def check(client: Client, definition: ProjectionDefinition, count: int) -> None:
    """Raises RuntimeError when the state is not that of `count` events."""
    state = (await client.projections.get(definition.name)).state
    if state != {"count": count}:
        raise RuntimeError(f"{definition.name} is {state} after {count} events")


def _anywhere(log: Log) -> int:
    """The number of a filled event, each time at another position of the log."""
    return log.next() * 7_919_011 % log.events


def _read(entity: str, limit: int) -> bytes:
    return _post(f"{RPC}ReadStream", {"entityId": entity, "limit": limit})


def _list(query: str) -> bytes:
    return request_of("GET", f"/api/v1/events?{query}")


def _post(path: str, body: dict[str, Any]) -> bytes:
    return request_of("POST", path, json.dumps(body).encode())
