"""Question: what do 100,000 waiting runs cost an emit, and how much of the server's memory does one take?

Method: the emits of `emits` at 64 writers before any run waits, and again when 100,000 runs wait for another event,
each with its own value: once with another name, and once with the awaited name and a value that no run waits for.
The server's CPU time for an emit is compared. Then signals that each wake one run. Memory as in `memory`.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from benchmarks.answers import Figure
from benchmarks.emits import DATA, EMIT
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.memory import settled
from benchmarks.processes import Process, Workspace
from benchmarks.worker import SIGNAL, WAITER

WAITING = 100_000
SIGNALS = 500
BATCH = 500
SECONDS = 3.0
WAIT_WITHIN_S = 600.0
WAITS = "SELECT count(*) FROM waits WHERE kind = 'wait'"


def signal(number: int) -> bytes:
    body = {"event": SIGNAL, "data": {**DATA, "number": number}}
    return request_of("POST", "/api/v1/events", json.dumps(body).encode())


async def emit(server: Process, address: str, request: bytes) -> Measured:
    return await ClosedLoop(address, 64, lambda _: request, _is_stored, server.cpu_seconds).best(SECONDS)


async def start(address: str, count: int) -> None:
    """Starts `count` runs that wait, each for its own number."""

    def batch(place: int) -> bytes:
        items = [{"event": WAITER, "data": {"number": place * BATCH + number}} for number in range(BATCH)]
        return request_of("POST", "/api/v1/events/batch", json.dumps({"events": items}).encode())

    await ClosedLoop(address, 1, batch, _is_stored).run(WAIT_WITHIN_S, count // BATCH)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    await workspace.worker(address)
    before = await emit(server, address, EMIT)
    memory = await settled(server)
    await start(address, WAITING)
    file = workspace.folder / "bench.db"
    await _until(lambda: _waiting(file) == WAITING, WAIT_WITHIN_S)
    grown = await settled(server) - memory
    other, nobodys = await emit(server, address, EMIT), await emit(server, address, signal(-1))
    woken = await ClosedLoop(address, 1, signal, _is_stored).run(WAIT_WITHIN_S, SIGNALS)
    await _until(lambda: _waiting(file) == WAITING - len(woken.latencies_ms), 60.0)
    return [
        Figure(name="memory of a waiting run", value=max(grown, 0) / WAITING, unit="B", target=1000, better="less"),
        Figure(name="processor time of an emit without waits", value=before.spent_us, unit="µs", better="less"),
        Figure(name="emit of another name", value=other.spent_us / before.spent_us, unit="×", better="less"),
        Figure(name="emit that misses all values", value=nobodys.spent_us / before.spent_us, unit="×", better="less"),
        Figure(name="emit that wakes one p50", value=woken.percentile(50), unit="ms", better="less"),
    ]


async def _until(is_so: Callable[[], bool], within_s: float) -> None:
    """Returns when the condition holds. Raises RuntimeError after a timeout."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"it did not come to it within {within_s:g} s")
        await asyncio.sleep(0.1)


def _waiting(file: Path) -> int:
    """The number of runs that wait for an event, read from outside."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        row = connection.execute(WAITS).fetchone()
        return int(row[0]) if row else 0
    finally:
        connection.close()


def _is_stored(reply: Reply) -> bool:
    return reply.status == 200 and b'"error"' not in reply.body
