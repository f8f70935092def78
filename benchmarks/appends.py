"""Question: how many events a second are appended durably to entity streams, and how fast is a long stream read?

Method: appends of a small event (about 150 bytes of data) that starts no run, by the RPC that clients use, over
keep-alive HTTP/1.1, each writer sends the next one after the response. First 64 writers on 1,000 streams, then
64 on one stream, then one writer. An answer means that the event is on the disk. Then a stream of 10,000 events is
read whole, by one reader, again and again.
"""

import json

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, ECHO_64
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Process, Workspace

SECONDS = 6.0
STREAMS = 1_000
LENGTH = 10_000
FILL_S_MAX = 120.0
DATA = {"order": "ord_4711", "customer": {"id": "cus_815", "country": "DE"}, "total": 12900, "note": "x" * 60}
RPC = "/ironflow.v1.EntityStreamService/"


def append_to(entity: str) -> bytes:
    request = {
        "entityId": entity,
        "entityType": "bench",
        "eventName": "bench.plain",
        "data": DATA,
        "expectedVersion": -1,
    }
    return request_of("POST", f"{RPC}AppendEvent", json.dumps(request).encode())


APPENDS = [append_to(f"entity-{number}") for number in range(STREAMS)]
READ = request_of("POST", f"{RPC}ReadStream", json.dumps({"entityId": "long", "limit": LENGTH}).encode())


async def append(server: Process, address: str, writers: int, requests: list[bytes], seconds: float) -> Measured:
    """Cycles through `requests`."""
    load = ClosedLoop(
        address,
        writers,
        lambda number: requests[number % len(requests)],
        lambda reply: reply.status == 200,
        server.cpu_seconds,
    )
    return await load.best(seconds)


async def fill(address: str) -> None:
    """Fills the stream to read: LENGTH events, and a few in flight."""
    request = append_to("long")
    load = ClosedLoop(address, 64, lambda _: request, lambda reply: reply.status == 200)
    await load.run(FILL_S_MAX, LENGTH)


def whole(reply: Reply) -> bool:
    return reply.status == 200 and reply.body.count(b'"entityVersion"') == LENGTH


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    many = await append(server, address, 64, APPENDS, SECONDS)
    hot = await append(server, address, 64, APPENDS[:1], SECONDS / 2)
    one = await append(server, address, 1, APPENDS, SECONDS / 2)
    await fill(address)
    read = await ClosedLoop(address, 1, lambda _: READ, whole, server.cpu_seconds).best(SECONDS / 2)
    return [
        Figure(name="appends at 64 writers", value=many.per_second, unit="/s", target=20_000, limit=ECHO_64),
        Figure(name="append p99 at 64 writers", value=many.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=many.spent_us, unit="µs", better="less"),
        Figure(name="appends to one stream at 64 writers", value=hot.per_second, unit="/s", limit=ECHO_64),
        Figure(name="appends at 1 writer", value=one.per_second, unit="/s", limit=COMMITS),
        Figure(name="append p50 at 1 writer", value=one.percentile(50), unit="ms", better="less"),
        Figure(name="read of 10,000 events", value=read.percentile(50), unit="ms", better="less"),
    ]
