"""A soak: a server under mixed load for minutes, restarted twice: `python -m tests.soak.run`, or `make soak`.

Workers poll, a group and a WebSocket subscriber receive, readers come and leave, and SQL is asked. Between two restarts
the server's descriptors, memory and threads have to stay flat, and every acknowledged event ends its run.
SOAK_MINUTES: 2 unless set. SOAK_DB: another database than a new SQLite file.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import httpx

from ironflow import Client
from ironflow.base.errors import IronflowError
from tests.crash.processes import Process, reserved_port
from tests.soak.flat import Use, faults, growth

SAMPLE_S = 1.0
EMIT_EVERY_S = 0.05
ASK_EVERY_S = 0.2
READ_FOR_S = 0.5
# Longer than a lease.
DONE_WITHIN_S = 120.0
SEGMENTS = 3
EVENTS = "/api/v1/subscribe?pattern=soak.order"
COMPLETED = "SELECT count(*) FROM runs WHERE status = 'completed'"
SQL = "SELECT status, count(*) FROM runs GROUP BY status"


class Soak:
    """The server, its worker and what they did."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"
        self.environment = {
            "IRONFLOW_DB": os.environ.get("SOAK_DB") or str(folder / "ironflow.db"),
            "IRONFLOW_PORT": str(port),
            "IRONFLOW_DEV": "true",
            # A job that was handed out while the server stopped comes back soon.
            "IRONFLOW_RESERVATION_MS": "5000",
        }
        self.server: Process | None = None
        # The last error of a query.
        self.fault = ""
        self.emitted = self.received = self.asked = self.streams = self.refused = 0

    async def start_server(self) -> None:
        server = self.server = Process("server", ["ironflow.server.run"], self.folder, self.environment)
        async with httpx.AsyncClient(base_url=self.address) as client:
            await eventually(lambda: is_ready(client), server, "the server is not ready")

    def use(self) -> Use:
        assert self.server is not None
        folder = Path(f"/proc/{self.server.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return Use(
            descriptors=len(os.listdir(folder / "fd")),
            rss_mb=int(status["VmRSS"].split()[0]) / 1024,
            threads=int(status["Threads"]),
        )

    # The load. Each part goes on through restarts.

    async def emit(self, client: Client) -> None:
        while True:
            with contextlib.suppress(Exception):
                await client.emit("soak.order", {"number": self.emitted}, idempotency_key=f"n{self.emitted}")
                self.emitted += 1
            await asyncio.sleep(EMIT_EVERY_S)

    async def ask(self, client: Client) -> None:
        while True:
            try:
                await client.sql(SQL)
                self.asked += 1
            except IronflowError as fault:
                self.fault = str(fault)
            await asyncio.sleep(ASK_EVERY_S)

    async def receive(self, client: Client) -> None:
        while True:
            with contextlib.suppress(Exception):
                async with contextlib.aclosing(client.subscribe("soak.order")) as events:
                    async for _ in events:
                        self.received += 1
            await asyncio.sleep(ASK_EVERY_S)

    async def consume(self, client: Client) -> None:
        while True:
            with contextlib.suppress(Exception):
                async with contextlib.aclosing(client.consumer_groups.join("soak")) as events:
                    async for event in events:
                        await event.ack()
                        self.received += 1
            await asyncio.sleep(ASK_EVERY_S)

    async def read_and_leave(self) -> None:
        """Server-sent events, by readers that leave in the middle."""
        async with httpx.AsyncClient(base_url=self.address) as client:
            while True:
                with contextlib.suppress(Exception):
                    headers = {"accept": "text/event-stream"}
                    async with asyncio.timeout(READ_FOR_S), client.stream("GET", EVENTS, headers=headers) as answer:
                        self.streams += answer.status_code == 200
                        await answer.aread()
                await asyncio.sleep(ASK_EVERY_S)

    async def put(self, client: Client) -> None:
        number = 0
        while True:
            with contextlib.suppress(Exception):
                await client.kv.bucket("soak").put("k", {"number": number})
                number += 1
            await asyncio.sleep(ASK_EVERY_S)


async def is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def is_registered(client: Client) -> bool:
    return "soak" in [each.id async for each in client.functions.list()]


async def eventually(holds, process: Process, what: str) -> None:
    """Returns when it holds. Raises SystemExit with the process's log when that ends, or when it takes too long."""
    ends_at = time.monotonic() + DONE_WITHIN_S
    while not await holds():
        if process.exit_code is not None or time.monotonic() > ends_at:
            log = process.log.read_text()
            raise SystemExit(
                f"soak: {what}: exit code {process.exit_code}, within {DONE_WITHIN_S:g} s; its log:\n{log}"
            )
        await asyncio.sleep(0.1)


async def main() -> int:
    minutes = float(os.environ.get("SOAK_MINUTES", "2"))
    problems: list[str] = []
    reservation, port = reserved_port()
    with reservation, tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name), port)
        await soak.start_server()
        worker = Process("worker", ["tests.soak.worker", soak.address], soak.folder, {})
        try:
            async with Client(soak.address) as client:
                await client.consumer_groups.create("soak", "soak.order", ack="manual")
                await client.kv.create_bucket("soak")
                # An event that comes before its function starts no run.
                await eventually(lambda: is_registered(client), worker, "the worker has not registered")
                load = [
                    asyncio.create_task(part)
                    for part in (
                        soak.emit(client), soak.ask(client), soak.receive(client), soak.consume(client),
                        soak.put(client), *(soak.read_and_leave() for _ in range(4)),
                    )
                ]  # fmt: skip
                for segment in range(SEGMENTS):
                    uses: list[Use] = []
                    ends_at = time.monotonic() + minutes * 60 / SEGMENTS
                    while time.monotonic() < ends_at:
                        await asyncio.sleep(SAMPLE_S)
                        uses.append(soak.use())
                    print(f"segment {segment + 1}: {uses[-1]}, growth {growth(uses)}", flush=True)
                    problems += [f"segment {segment + 1}: {fault}" for fault in faults(uses)]
                    if segment < SEGMENTS - 1:
                        assert soak.server is not None
                        code = soak.server.stop()
                        if code != 0:
                            problems.append(f"the server ended with {code}")
                        await soak.start_server()
                for task in load:
                    task.cancel()
                await asyncio.gather(*load, return_exceptions=True)
                problems += await unfinished(client, soak)
        finally:
            worker.kill()
            if soak.server is not None:
                soak.server.kill()
    print(
        f"{soak.emitted} events, {soak.received} received, {soak.asked} times SQL, {soak.streams} streams left",
        flush=True,
    )
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    return 1 if problems else 0


async def unfinished(client: Client, soak: Soak) -> list[str]:
    """Whether every acknowledged event has ended its run; waits for the last ones."""

    async def completed() -> int:
        return int((await client.sql(COMPLETED)).rows[0][0])

    ends_at = time.monotonic() + DONE_WITHIN_S
    while (done := await completed()) < soak.emitted:
        if time.monotonic() > ends_at:
            rows = (await client.sql(SQL)).rows
            return [f"{soak.emitted - done} of {soak.emitted} runs have not completed: {rows}"]
        await asyncio.sleep(0.5)
    idle = [name for name in ("emitted", "received", "asked", "streams") if not getattr(soak, name)]
    return [f"nothing was {name}; {soak.fault}" for name in idle]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
