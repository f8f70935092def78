"""A server that stores the body of each POST as a row and responds when it is on disk, for `storage`.

    python -m benchmarks.storage_server WAY PATH

WAY: `loop` is the server's own SqliteDatabase: statements on the event loop, only the COMMIT in a thread. `thread` does
everything in a writer thread, with one statement for the rows of a commit. `each`: the same with one statement per row.
"""

import asyncio
import json
import queue
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import apsw
import uvloop
from h2corn import Config, Server

from ironflow.notify.port import LocalNotifier
from ironflow.storage.port import Tx
from ironflow.storage.sqlite import open_sqlite

TABLE = "CREATE TABLE IF NOT EXISTS stored (id INTEGER PRIMARY KEY, body TEXT NOT NULL)"
# Rounds of JSON for each request: the event loop of a server that does something.
WORK = 10
ONE = "INSERT INTO stored (body) VALUES (:body)"
ALL = "INSERT INTO stored (body) SELECT value FROM json_each(:bodies)"

Store = Callable[[str], Coroutine[Any, Any, None]]


async def on_loop(path: Path) -> Store:
    """The form of the server."""
    # As in ironflow.server.run.
    sys.setswitchinterval(0.0005)
    database = await open_sqlite(path, LocalNotifier(), 0)
    make_table(path)

    def insert(tx: Tx, bodies: list[str]) -> list[None]:
        tx.run(ALL, {"bodies": bodies})
        return [None] * len(bodies)

    return lambda body: database.write_many(insert, body)


class InThread:
    """A writer thread that commits the queued rows and notifies the loop."""

    def __init__(self, path: Path, one_statement: bool) -> None:
        make_table(path)
        self._connection = connected(path)
        self._one_statement = one_statement
        self._waiting: queue.SimpleQueue[tuple[str, asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._write_on, daemon=True).start()

    async def store(self, body: str) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((body, future))
        await future

    def _write_on(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            with self._connection:
                if self._one_statement:
                    self._connection.execute(ALL, {"bodies": json.dumps([body for body, _ in batch])})
                else:
                    for body, _ in batch:
                        self._connection.execute(ONE, {"body": body})
            self._loop.call_soon_threadsafe(self._resolve, [future for _, future in batch])

    def _resolve(self, futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


def connected(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    return connection


def make_table(path: Path) -> None:
    connection = connected(path)
    connection.execute(TABLE)
    connection.close()


async def main(way: str, path: str) -> None:
    store: Store = await on_loop(Path(path)) if way == "loop" else InThread(Path(path), way == "thread").store

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"].decode()
        for _ in range(WORK):
            body = json.dumps(json.loads(body))
        if scope["method"] == "POST":
            await store(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    config: Any = Config(bind=(f"fd://{listening.fileno()}",), access_log=False, loop="uvloop", lifespan="off")
    server: Any = Server(app, config)  # pyright: ignore[reportArgumentType, reportCallIssue]
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    print(json.dumps({"address": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
