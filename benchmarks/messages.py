"""Question: how many messages a second does one run take, and how many do 100 runs; what do joins and values cost?

Method: 64 connections send messages with `start`, one a request, to the run of one key, then over 100 keys, while one
worker process takes them in place, one a request; a run restarts after every 1,000. What is counted is taken: after a
warm-up a number of messages is sent, and the time runs until no message is unread; that is asked on one connection, in
about a hundredth of the time. Then one run starts and joins 1,000 runs of an empty function. Then a run of 50 empty
steps, with `ctx.set` after each and without, one at a time; the medians are compared. Server, worker and client share
the machine, so the server's processor time is measured beside; it includes the takes.
"""

import asyncio
import json
import time

from benchmarks.answers import Figure
from benchmarks.load import Asking, ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Process, Workspace
from benchmarks.worker import JOIN, VALUES

IN_FLIGHT = 64
MESSAGES = 2_000
KEYS = 100
MESSAGES_OF_KEYS = 10_000
CHILDREN = 1_000
STEPS = 50
SECONDS = 9.0


def _is_sent(reply: Reply) -> bool:
    return reply.status == 200 and b'"id"' in reply.body


async def _until_taken(address: str, keys: list[str]) -> None:
    """Returns when no message to these keys is unread."""
    asking = Asking()
    await asking.connect(address)
    for key in keys:
        request = request_of("GET", f"/api/v1/runs/inbox:{key}/messages?unread=true&limit=1")
        for _ in range(5_000):
            if not json.loads((await asking.ask(request)).body)["messages"]:
                break
            # Seldom, since these reads count as time of the server, too.
            await asyncio.sleep(0.02)
    asking.close()


async def messages(
    address: str, server: Process, keys: list[str], number: int = MESSAGES
) -> tuple[float, float, float]:
    """Taken in a second, the server's microseconds for one, and the median time of a send in milliseconds."""

    def send(place: int) -> bytes:
        body = json.dumps({"name": "work", "data": place, "start": True}).encode()
        return request_of("POST", f"/api/v1/runs/inbox:{keys[place % len(keys)]}/messages", body)

    await ClosedLoop(address, IN_FLIGHT, send, _is_sent).run(60, 500)
    await _until_taken(address, keys)
    before, begun = server.cpu_seconds(), time.perf_counter()
    sent = await ClosedLoop(address, IN_FLIGHT, send, _is_sent).run(60, number)
    await _until_taken(address, keys)
    count = len(sent.latencies_ms)
    seconds, spent_s = time.perf_counter() - begun, server.cpu_seconds() - before
    return count / seconds, spent_s / count * 1e6, sent.percentile(50)


async def runs(address: str, server: Process, event: str, data: dict[str, int], seconds: float) -> Measured:
    body = json.dumps({"event": event, "data": data, "timeout_ms": 60_000}).encode()
    request = request_of("POST", "/api/v1/events/sync", body)

    def is_done(reply: Reply) -> bool:
        return reply.status == 200 and json.loads(reply.body)["results"][0]["output"] == data["count"]

    return await ClosedLoop(address, 1, lambda _: request, is_done, server.cpu_seconds).best(seconds, warm_up_s=4)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    await workspace.worker(address)
    one, one_us, one_ms = await messages(address, server, ["one"])
    many, many_us, _ = await messages(address, server, [f"k{number}" for number in range(KEYS)], MESSAGES_OF_KEYS)
    begun = time.perf_counter()
    before = server.cpu_seconds()
    await runs_once(address, JOIN, CHILDREN)
    joined_s, joined_cpu_s = time.perf_counter() - begun, server.cpu_seconds() - before
    plain = await runs(address, server, VALUES, {"count": STEPS, "set": 0}, SECONDS)
    setting = await runs(address, server, VALUES, {"count": STEPS, "set": 1}, SECONDS)
    return [
        Figure(name="messages taken, one key", value=one, unit="/s", target=1_000),
        Figure(name="processor time of the server for one", value=one_us, unit="µs", better="less"),
        Figure(name="p50 of a send", value=one_ms, unit="ms", better="less"),
        Figure(name=f"messages taken, {KEYS} keys", value=many, unit="/s", target=3_000),
        Figure(name="processor time of the server for one, of many", value=many_us, unit="µs", better="less"),
        Figure(name=f"join of {CHILDREN} runs", value=joined_s, unit="s", target=10, better="less"),
        Figure(name="processor time of the server for it", value=joined_cpu_s, unit="s", better="less"),
        Figure(name="p50 of a step", value=plain.percentile(50) / STEPS, unit="ms", better="less"),
        Figure(
            name="a value beside a step, server",
            value=(setting.spent_us / plain.spent_us - 1) * 100,
            unit="%",
            target=5,
            better="less",
        ),
        Figure(
            name="a value beside a step, time",
            value=(setting.percentile(50) / plain.percentile(50) - 1) * 100,
            unit="%",
            better="less",
        ),
    ]


async def runs_once(address: str, event: str, count: int) -> None:
    """Raises RuntimeError for a wrong response."""
    body = json.dumps({"event": event, "data": {"count": count}, "timeout_ms": 60_000}).encode()
    request = request_of("POST", "/api/v1/events/sync", body)

    def is_done(reply: Reply) -> bool:
        return reply.status == 200 and json.loads(reply.body)["results"][0]["output"] == count

    await ClosedLoop(address, 1, lambda _: request, is_done).run(90, 1)
