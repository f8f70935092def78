"""Question: how many three-step executions a second at an endpoint, and how long from the event to the result? What do
push functions cost an idle server, and are endpoints slower while others are dead?

Method: as in `workflows` and `latency`, with a function of `worker` served by `ironflow.serve`, in a process of
its own: each step is recorded by a call back before the handler goes on.

Idle: two servers side by side, the one with 500 push functions; their processor time in ten seconds.

Dead: 500 functions at endpoints of their own, as handlers of existing clients. 8 events are in flight at two thirds
of them; the others get 50 events a second. In turns, each with a server of its own, those others answer too, or a
third of them hangs, a third refuses connections, and a third resets them. Each turn has five rounds of a second; the
least p50, p99 and processor time of all rounds count, as the others were slowed down by other processes.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, cast

from benchmarks.answers import Figure
from benchmarks.load import Asking, ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Workspace
from benchmarks.workflows import orders
from ironflow.base.settings import Settings
from ironflow.serve import register, serve
from ironflow.server.http_servers import http_server

IN_FLIGHT = 64
SECONDS = 6.0
ENDPOINTS, DEAD = 500, 167
IDLE_S = 10.0
TURNS, ROUNDS, ROUND_S = 4, 5, 1.0
IN_FLIGHT_AT_HEALTHY, EVENTS_AT_DEAD_A_SECOND = 8, 50
# So many requests hang at each of the endpoints that hang before the measurement begins.
HANGING_EACH = 3


async def serve_functions(address: str) -> None:
    """The endpoint's process; writes one JSON line once its function is registered."""
    from benchmarks.worker import three_steps

    served = serve([three_steps], server_url=address, skip_verification=True)
    http = http_server(served, Settings(port=0, dev=True))  # pyright: ignore[reportArgumentType]
    ready = asyncio.Event()
    serving = asyncio.create_task(http.serve(ready.set))
    await ready.wait()
    await register(served, f"{http.address}/api/ironflow", server_url=address)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await serving


async def ask(asking: Asking, path: str, body: dict[str, Any]) -> None:
    """Raises RuntimeError for a refusal."""
    reply = await asking.ask(request_of("POST", path, json.dumps(body).encode()))
    if reply.status not in (200, 201):
        raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")


async def register_all(address: str, kind: str, urls: list[str]) -> None:
    """A function for each of the endpoints, started by the event `bench.KIND.NUMBER`."""
    asking = Asking()
    await asking.connect(address)
    for number, url in enumerate(urls):
        name = f"bench.{kind}.{number}"
        how = {"preferred_mode": "push", "endpoint_url": url}
        await ask(asking, "/api/v1/functions", {"id": name, "triggers": [{"event": name}], **how})
    asking.close()


async def idle(workspace: Workspace) -> list[Figure]:
    without, _ = await workspace.server(db=str(workspace.folder / "idle.db"))
    server, address = await workspace.server(db=str(workspace.folder / "idle-push.db"))
    await register_all(address, "idle", [f"http://127.0.0.1:1/{number}" for number in range(ENDPOINTS)])
    await asyncio.sleep(3)
    servers = (without, server)
    before = [each.cpu_seconds() for each in servers]
    await asyncio.sleep(IDLE_S)
    spent = [each.cpu_seconds() - at for each, at in zip(servers, before, strict=True)]
    for each in servers:
        each.stop()
    return [
        Figure(name="processor when idle", value=spent[0] / IDLE_S * 100, unit="%", better="less"),
        Figure(
            name=f"processor when idle with {ENDPOINTS} push functions",
            value=spent[1] / IDLE_S * 100,
            unit="%",
            better="less",
        ),
    ]


def at_healthy(number: int) -> bytes:
    body = {"event": f"bench.healthy.{number % (ENDPOINTS - DEAD)}", "data": {}, "timeout_ms": 20_000}
    return request_of("POST", "/api/v1/events/sync", json.dumps(body).encode())


def is_completed(reply: Reply) -> bool:
    if reply.status != 200:
        return False
    (result,) = json.loads(reply.body)["results"]
    return result["status"].lower().endswith("completed") and result["output"] == {"done": True}


async def emit_at_dead(address: str) -> None:
    """Emits for the endpoints that may be dead, until it is cancelled."""
    asking = Asking()
    await asking.connect(address)
    number = 0
    try:
        while True:
            await ask(asking, "/api/v1/events", {"event": f"bench.dead.{number % DEAD}", "data": {}})
            number += 1
            if number > HANGING_EACH * DEAD:
                await asyncio.sleep(1 / EVENTS_AT_DEAD_A_SECOND)
    finally:
        asking.close()


async def among(workspace: Workspace, turn: str, dead: int) -> list[Measured]:
    """Rounds of load at healthy endpoints while so many of the others are dead."""
    endpoints = workspace.start(["benchmarks.endpoints", str(ENDPOINTS - dead), str(dead)])
    urls = cast("dict[str, list[str]]", await endpoints.announced())
    listed = urls["healthy"] + urls["dead"]
    server, address = await workspace.server(db=str(workspace.folder / f"{turn}.db"))
    await register_all(address, "healthy", listed[:-DEAD])
    await register_all(address, "dead", listed[-DEAD:])
    emitting = asyncio.create_task(emit_at_dead(address))
    load = ClosedLoop(address, IN_FLIGHT_AT_HEALTHY, at_healthy, is_completed, server.cpu_seconds)
    try:
        # Each endpoint has a connection then.
        await load.run(60.0, count=2 * (ENDPOINTS - DEAD))
        rounds = [await load.run(ROUND_S) for _ in range(ROUNDS)]
        if emitting.done():
            emitting.result()
    finally:
        emitting.cancel()
        await asyncio.wait([emitting])
    for each in (server, endpoints):
        await asyncio.to_thread(each.stop)
    return rounds


async def among_dead(workspace: Workspace) -> list[Figure]:
    none: list[Measured] = []
    third: list[Measured] = []
    for turn in range(TURNS):
        none += await among(workspace, f"none-{turn}", 0)
        third += await among(workspace, f"third-{turn}", DEAD)
    figures: list[Figure] = []
    asked: list[tuple[str, str, Callable[[Measured], float]]] = [
        ("p50 at healthy endpoints", "ms", lambda each: each.percentile(50)),
        ("p99 at healthy endpoints", "ms", lambda each: each.percentile(99)),
        ("processor time of the server for one", "µs", lambda each: each.spent_us),
    ]
    for name, unit, of in asked:
        before, beside = (min(of(each) for each in found) for found in (none, third))
        figures += [
            Figure(name=f"{name}, none of {ENDPOINTS} dead", value=before, unit=unit, better="less"),
            Figure(name=f"{name}, a third dead", value=beside, unit=unit, better="less"),
            Figure(
                name=f"{name}, dead beside none",
                value=beside / before,
                unit="×",
                target=1.2 if unit == "ms" else None,
                better="less",
            ),
        ]
    return figures


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    endpoint = workspace.start(["benchmarks.push", address])
    await endpoint.announced()
    alone: Measured = await orders(address, 1, SECONDS)
    busy: Measured = await orders(address, IN_FLIGHT, SECONDS, server.cpu_seconds)
    for each in (server, endpoint):
        await asyncio.to_thread(each.stop)
    return [
        Figure(name="three-step push executions", value=busy.per_second, unit="/s", target=500),
        Figure(name="processor time of the server for one", value=busy.spent_us, unit="µs", better="less"),
        Figure(name="start to result p50", value=alone.percentile(50), unit="ms", target=12, better="less"),
        Figure(name="start to result p99", value=alone.percentile(99), unit="ms", better="less"),
        *await idle(workspace),
        *await among_dead(workspace),
    ]


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve_functions(sys.argv[1]))
