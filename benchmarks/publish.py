"""Question: how many messages a second are published durably to a topic, with 1 and with 64 publishers?

Method: messages of about 150 bytes to one topic over keep-alive HTTP/1.1, each publisher sends its next one after
the response. A response means that the message is on disk and counted in its topic's statistics.
"""

import json

from benchmarks.answers import Figure
from benchmarks.emits import DATA
from benchmarks.limits import COMMITS, ECHO_64
from benchmarks.load import ClosedLoop, Measured, request_of
from benchmarks.processes import Process, Workspace

SECONDS = 6.0
PUBLISH = request_of("POST", "/api/v1/topics/publish", json.dumps({"topic": "bench.plain", "data": DATA}).encode())


async def publish(server: Process, address: str, publishers: int, seconds: float) -> Measured:
    load = ClosedLoop(address, publishers, lambda _: PUBLISH, lambda reply: reply.status == 200, server.cpu_seconds)
    return await load.best(seconds)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    one = await publish(server, address, 1, SECONDS / 2)
    many = await publish(server, address, 64, SECONDS)
    return [
        Figure(name="messages at 1 publisher", value=one.per_second, unit="/s", limit=COMMITS),
        Figure(name="messages at 64 publishers", value=many.per_second, unit="/s", target=15_000, limit=ECHO_64),
        Figure(name="p99 at 64 publishers", value=many.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=many.spent_us, unit="µs", better="less"),
    ]
