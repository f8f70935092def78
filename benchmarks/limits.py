"""Question: what are the limits of this machine? All other figures are compared with these.

Method: (1) append 4 KiB to a file and fdatasync, one after another; (2) SQLite as the server uses it (apsw, WAL,
synchronous=FULL), one inserted row per commit, and 64 rows per commit, on one connection in one thread; (3) HTTP
requests with a body of 100 bytes through h2corn to an empty application, at 1 and 64 connections, by the
same client that the other benchmarks use.
"""

import os
import time

import apsw

from benchmarks.answers import Figure
from benchmarks.load import ClosedLoop, percentile, request_of
from benchmarks.processes import Workspace

FSYNC = "fdatasync"
COMMITS = "SQLite commits"
ROWS = "SQLite rows at 64 a commit"
ECHO_1, ECHO_64 = "echo requests at 1", "echo requests at 64"
ECHO_LATENCY = "echo round trip"
SECONDS = 1.5


async def run(workspace: Workspace) -> list[Figure]:
    figures = [_fsync(workspace), *_sqlite(workspace)]
    echo = workspace.start(["benchmarks.echo"])
    address = (await echo.announced())["address"]
    request = request_of("POST", "/", b'{"text":"' + b"x" * 89 + b'"}')
    for writers, name in ((1, ECHO_1), (64, ECHO_64)):
        load = ClosedLoop(address, writers, lambda _: request, lambda reply: reply.status == 200)
        measured = await load.best(SECONDS)
        figures.append(Figure(name=name, value=measured.per_second, unit="/s"))
        if writers == 1:
            figures.append(Figure(name=ECHO_LATENCY, value=measured.percentile(50), unit="ms", better="less"))
    return figures


def _fsync(workspace: Workspace) -> Figure:
    file = os.open(workspace.folder / "synced", os.O_WRONLY | os.O_CREAT, 0o600)
    block, took_ms = b"x" * 4096, []
    end = time.perf_counter() + SECONDS
    while (begun := time.perf_counter()) < end:
        os.write(file, block)
        os.fdatasync(file)
        took_ms.append((time.perf_counter() - begun) * 1000)
    os.close(file)
    return Figure(name=FSYNC, value=percentile(sorted(took_ms), 50), unit="ms", better="less")


def _sqlite(workspace: Workspace) -> list[Figure]:
    connection = apsw.Connection(str(workspace.folder / "limits.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    figures: list[Figure] = []
    for rows, name in ((1, COMMITS), (64, ROWS)):
        values = [("x" * 200,)] * rows
        done, begun = 0, time.perf_counter()
        while (now := time.perf_counter()) < begun + SECONDS:
            with connection:
                connection.executemany("INSERT INTO rows (body) VALUES (?)", values)
            done += rows
        figures.append(Figure(name=name, value=done / (now - begun), unit="/s"))
    connection.close()
    return figures
