"""Question: how many checkouts of a real app a second, on SQLite and on PostgreSQL?

Method: a checkout is an append with an expected version that starts a saga of eight steps, each durable before the
next begins, with a wait for the payment's event, a child with a step of its own, and an append with an expected version
as its last step. Behind it are a managed projection, a SQL projection and a consumer group, whose member acks each
closed order; with its message a checkout ends, and the next begins. 32 checkouts are in flight, then one. Client,
worker and server share the machine. At the end both projections and the group have every order once.

PostgreSQL is that of IRONFLOW_BENCH_POSTGRES, a libpq address; a database is made there and dropped at the end. Without
it there are no figures of PostgreSQL.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from benchmarks.answers import Figure
from benchmarks.app_worker import CLOSED, PAID, PLACED
from benchmarks.limits import COMMITS, FSYNC
from benchmarks.load import percentile
from benchmarks.processes import Process, Workspace
from ironflow import Client

IN_FLIGHT = 32
SECONDS = 6.0
WARM_UP_S = 1.5
LOOK_S = 0.02
TOPIC = f"entity:order.*.{CLOSED}"
TABLE = "CREATE TABLE proj_skus (sku TEXT PRIMARY KEY, n BIGINT NOT NULL)"
COUNTED = """INSERT INTO proj_skus (sku, n) VALUES (:data.sku, 1)
ON CONFLICT (sku) DO UPDATE SET n = proj_skus.n + 1"""
TARGETS = {"sqlite": 300, "postgres": 150}


async def run(workspace: Workspace) -> list[Figure]:
    found = await measure(workspace, "sqlite", "")
    address = os.environ.get("IRONFLOW_BENCH_POSTGRES")
    if address:
        async with database(address) as url:
            found += await measure(workspace, "postgres", url)
        rates = [figure.value for figure in found if figure.name.endswith("checkouts")]
        found.append(Figure(name="checkouts on PostgreSQL beside SQLite", value=rates[1] / rates[0], unit="×"))
    return found


async def measure(workspace: Workspace, name: str, db: str) -> list[Figure]:
    server, address = await workspace.server(**({"db": db} if db else {}))
    async with Client(address) as client:
        await client.consumer_groups.create("closed", TOPIC, ack="manual", max_inflight=1_000)
        await client.sql_projections.create("skus", table=TABLE, on={CLOSED: COUNTED})
        worker = workspace.start(["benchmarks.app_worker", address])
        await worker.announced()
        shop = Shop(client)
        async with shop.open(address):
            await shop.trade(IN_FLIGHT, WARM_UP_S)
            many = await shop.trade(IN_FLIGHT, SECONDS, server)
            one = await shop.trade(1, SECONDS / 2)
            await check(client, shop.closed)
        await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(server.stop)
    limit = COMMITS if name == "sqlite" else ""
    return [
        Figure(name=f"{name}: checkouts", value=many.per_second, unit="/s", target=TARGETS[name], limit=limit),
        Figure(name=f"{name}: p50 with {IN_FLIGHT} in flight", value=percentile(many.ms, 50), unit="ms", better="less"),
        Figure(
            name=f"{name}: p50 alone",
            value=percentile(one.ms, 50),
            unit="ms",
            better="less",
            limit=FSYNC if name == "sqlite" else "",
        ),
        Figure(name=f"{name}: processor time of the server for one", value=many.spent_us, unit="µs", better="less"),
    ]


class Traded:
    """ms: of each checkout, sorted. spent_us: CPU time of the server for one."""

    def __init__(self, ms: list[float], seconds: float, spent_s: float) -> None:
        self.ms = sorted(ms)
        self.per_second = len(ms) / seconds
        self.spent_us = spent_s / len(ms) * 1e6


class Shop:
    """The client: starts checkouts, and is the member of the group. closed: orders that ended."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._number = 0
        self._open: dict[int, asyncio.Future[None]] = {}
        self.closed = 0

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[None]:
        """Reads the group's messages until the block ends."""
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/ws") as socket:
            options = {"consumerGroup": "closed", "ackMode": "manual"}
            wish = {"pattern": TOPIC, "options": options}
            await socket.send_json({"type": "subscribe", "subscription": wish})
            reading = asyncio.create_task(self._read(socket))
            try:
                yield
            finally:
                reading.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] == "event":
                await socket.send_str(f'{{"type":"ack","eventId":"{frame["eventId"]}","ackType":"ack"}}')
                # Delivered again, it would be missing here.
                self._open.pop(frame["data"]["data"]["number"]).set_result(None)
                self.closed += 1

    async def trade(self, in_flight: int, seconds: float, server: Process | None = None) -> Traded:
        """Keeps so many checkouts in flight for `seconds`."""
        ms: list[float] = []
        spent_s = server.cpu_seconds() if server is not None else 0.0
        begun = time.perf_counter()

        async def customer() -> None:
            while time.perf_counter() < begun + seconds:
                started = time.perf_counter()
                await self._check_out()
                ms.append((time.perf_counter() - started) * 1000)

        await asyncio.gather(*(customer() for _ in range(in_flight)))
        spent_s = server.cpu_seconds() - spent_s if server is not None else 0.0
        return Traded(ms, time.perf_counter() - begun, spent_s)

    async def _check_out(self) -> None:
        number = self._number
        self._number += 1
        closed = self._open[number] = asyncio.get_running_loop().create_future()
        data = {"number": number, "note": "x" * 80}
        await self._client.streams.append(f"order-{number}", PLACED, data, entity_type="order", expected_version=0)
        await self._client.emit(PAID, {"number": number})
        async with asyncio.timeout(30):
            await closed


async def check(client: Client, orders: int) -> None:
    """Raises RuntimeError unless each order is once in both projections, and the group has none left."""
    while not (await client.projections.wait("turnover")).caught_up:
        pass
    while (await client.sql_projections.get("skus")).lag or (await client.consumer_groups.get("closed")).in_flight:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    state = (await client.projections.get("turnover")).state
    rows = (await client.sql_projections.query("skus", limit=100)).rows
    counts = {"group": orders, "managed": state["orders"], "sql": sum(row[1] for row in rows)}
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"orders are missing or double: {counts}")


@asynccontextmanager
async def database(address: str) -> AsyncIterator[str]:
    """The address of a new database on that server, which is dropped at the end."""
    import psycopg

    name = f"bench_{secrets.token_hex(4)}"

    async def execute(sql: str) -> None:
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(sql.encode())

    await execute(f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(address)._replace(path=f"/{name}"))
    finally:
        await execute(f"DROP DATABASE {name} WITH (FORCE)")
