"""Question: where should SQLite's statements run: on the event loop with only the COMMIT in a thread, or in a thread?

Method: a small server: an HTTP request costs some tens of microseconds of Python on the event loop; a POST
is a row, with a response after the fsync. Three forms of group commit, with 64 writers: alone, and while 16 other
connections send requests without database access, so that the loop is never idle: a writer thread competes with a
busy loop for the GIL after every statement.
"""

import asyncio

from benchmarks.answers import Figure
from benchmarks.limits import ECHO_64
from benchmarks.load import ClosedLoop, request_of
from benchmarks.processes import Workspace

SECONDS = 3.0
WAYS = {
    "loop": "statements on the loop",
    "thread": "writer thread, a statement a commit",
    "each": "writer thread, a statement a row",
}


async def run(workspace: Workspace) -> list[Figure]:
    body = b'{"text":"' + b"x" * 189 + b'"}'
    post, put = request_of("POST", "/", body), request_of("PUT", "/", body)
    figures: list[Figure] = []
    for way, name in WAYS.items():
        server = workspace.start(["benchmarks.storage_server", way, str(workspace.folder / f"{way}.db")])
        address = (await server.announced())["address"]
        writing = ClosedLoop(address, 64, lambda _: post, lambda reply: reply.status == 200)
        asking = ClosedLoop(address, 16, lambda _: put, lambda reply: reply.status == 200)
        alone = await writing.best(SECONDS)
        beside, _ = await asyncio.gather(writing.run(SECONDS), asking.run(SECONDS))
        figures.append(Figure(name=f"{name}: rows", value=alone.per_second, unit="/s", limit=ECHO_64))
        figures.append(Figure(name=f"{name}: rows on a busy loop", value=beside.per_second, unit="/s"))
        latency_ms = beside.percentile(99)
        figures.append(Figure(name=f"{name}: p99 on a busy loop", value=latency_ms, unit="ms", better="less"))
        server.kill()
    return figures
