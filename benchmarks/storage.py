"""Question: where should SQLite's statements run: on the event loop with only the COMMIT in a thread, or in a thread?

Method: the least server that stores (an HTTP request is a row, the answer comes after the fsync), three ways of writing
with group commit, at 1 and 64 connections; measured behind HTTP, because a writer thread loses its time to a busy event
loop: it has to win the GIL back after every statement.
"""

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, ECHO_64
from benchmarks.load import ClosedLoop, request_of
from benchmarks.processes import Ground

SECONDS = 2.0
WAYS = {
    "loop": "statements on the loop",
    "thread": "writer thread, a statement a commit",
    "each": "writer thread, a statement a row",
}


async def run(ground: Ground) -> list[Figure]:
    request = request_of("POST", "/", b'{"text":"' + b"x" * 189 + b'"}')
    figures: list[Figure] = []
    for way, name in WAYS.items():
        server = ground.start(["benchmarks.storage_server", way, str(ground.folder / f"{way}.db")])
        address = (await server.announced())["address"]
        for writers, limit in ((1, COMMITS), (64, ECHO_64)):
            load = ClosedLoop(address, writers, lambda _: request, lambda reply: reply.status == 200)
            measured = await load.run(SECONDS)
            figures.append(Figure(name=f"{name}, at {writers}", value=measured.per_second, unit="/s", limit=limit))
        server.kill()
    return figures
