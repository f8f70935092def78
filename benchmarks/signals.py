"""Question: how long from a signal to the result of the run that waits for it, on an idle server?

Method: one run at a time. The client starts it with emit-sync, polls the API until it waits, and emits the awaited
event; the time is from sending it to receiving the result. Every result is checked. For comparison,
the same run measures start to result as `latency` does: a signal should cost about as much as a start.
"""

import asyncio
import json
import time

from benchmarks.answers import Figure
from benchmarks.limits import FSYNC
from benchmarks.load import Connection, Reply, connect, percentile, request_of
from benchmarks.processes import Workspace
from benchmarks.worker import SIGNAL, WAITER
from benchmarks.workflows import orders

SIGNALS = 500
WARM_UP = 50
START_SECONDS = 3.0
LOOKS_MAX = 10_000
LOOK = request_of("GET", "/api/v1/runs?function_id=waiter&limit=1")


class Line:
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answer: asyncio.Future[Reply] | None = None

    async def open(self, address: str) -> None:
        self._connection = await connect(address, self._replied, lambda: None)

    def send(self, request: bytes) -> "asyncio.Future[Reply]":
        assert self._connection is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._connection.send(request)
        return self._answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _replied(self, reply: Reply) -> None:
        assert self._answer is not None
        self._answer.set_result(reply)


async def signal_ms(starter: Line, other: Line, number: int) -> float:
    """How long one run took from its signal. Raises RuntimeError for a wrong answer."""
    start = {"event": WAITER, "data": {"number": number}, "timeout_ms": 20_000}
    result = starter.send(request_of("POST", "/api/v1/events/sync", json.dumps(start).encode()))
    looks = 0
    while (await _newest(other)) != (number, "wait_event"):
        looks += 1
        if looks > LOOKS_MAX:
            raise RuntimeError(f"run {number} does not come to wait")
        await asyncio.sleep(0.001)
    signal = {"event": SIGNAL, "data": {"number": number}}
    begun = time.perf_counter()
    sent = other.send(request_of("POST", "/api/v1/events", json.dumps(signal).encode()))
    reply = await result
    took = (time.perf_counter() - begun) * 1000
    await sent
    if reply.status != 200 or json.loads(reply.body)["results"][0]["output"] != number:
        raise RuntimeError(f"run {number} ended with {reply.status} {reply.body[:200]!r}")
    return took


async def _newest(line: Line) -> tuple[int, str]:
    """Number of the newest run, and its awaited event."""
    runs = json.loads((await line.send(LOOK)).body)["runs"]
    if not runs:
        return -1, ""
    return runs[0]["input"]["number"], runs[0].get("pause_reason", "")


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    await workspace.worker(address)
    starts = await orders(address, 1, START_SECONDS)
    starter, other = Line(), Line()
    for line in (starter, other):
        await line.open(address)
    took = [await signal_ms(starter, other, number) for number in range(WARM_UP + SIGNALS)]
    for line in (starter, other):
        line.close()
    took = sorted(took[WARM_UP:])
    p50 = percentile(took, 50)
    return [
        Figure(name="signal to result p50", value=p50, unit="ms", target=3.7, better="less", limit=FSYNC),
        Figure(name="signal to result p99", value=percentile(took, 99), unit="ms", better="less"),
        Figure(name="signal beside a start", value=p50 / starts.percentile(50), unit="×", better="less"),
    ]
