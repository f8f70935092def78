"""A server and its workers on one database, which tests kill; the journal records what step bodies did."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from ironflow import Client
from ironflow.sdk.wire.retries import Retries
from tests.crash.journal import Journal
from tests.crash.processes import Process, reserved_port
from tests.crash.until import became, until

LEASE_S = 1.0
# The approximate size of a line in the journal.
LINE_BYTES = 120


class Scene:
    """A context manager that ends every process it started.

    database: a path or postgresql://…. lease_s: how long a silent worker keeps its jobs. seed: of `chance`.
    work: the module that its workers run.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        lease_s: float = LEASE_S,
        seed: int = 0,
        work: str = "tests.crash.errands",
    ) -> None:
        self.folder = folder
        self.work = work
        self.database = database
        self.lease_s = lease_s
        self.chance = random.Random(seed)
        self.journal = Journal(folder / "journal.jsonl")
        self._reservation, self._port = reserved_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.server: Process | None = None
        self.workers: list[Process] = []
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for process in (self.server, *self.workers):
            if process is not None:
                process.kill()
        self.journal.close()
        self._reservation.close()

    def client(self) -> Client:
        """A client that repeats idempotent requests until a server answers again."""
        return Client(self.url, timeout="60s", retries=Retries(attempts=1000, initial_s=0.02, max_s=0.2))

    # Processes.

    def begin_server(self, settings: Mapping[str, str] | None = None) -> Process:
        """Starts a server process and does not wait for it."""
        environment = {
            "IRONFLOW_DB": self.database,
            "IRONFLOW_PORT": str(self._port),
            "IRONFLOW_DEV": "true",
            "IRONFLOW_LEASE_MS": str(round(self.lease_s * 1000)),
            "IRONFLOW_RESERVATION_MS": str(round(self.lease_s * 1000)),
            # Workers are killed often here; that is no fault of the run.
            "IRONFLOW_LEASE_LOSSES_MAX": "1000",
            "IRONFLOW_WORKER_EVICT_MS": "5000",
            **(settings or {}),
        }
        self.server = Process("server", ["ironflow.server.run"], self.folder, environment)
        return self.server

    async def serving(self) -> None:
        """Returns when the server started last accepts connections."""
        server = self.server
        assert server is not None

        def announced() -> bool:
            assert server.exit_code is None, f"the server ended with {server.exit_code}: {_tail(server.log)}"
            return server.output.read_bytes().endswith(b"\n")

        await until(announced, "the server serves", within_s=30)

    async def start_server(self) -> None:
        self.begin_server()
        await self.serving()

    async def workers_ready(self, client: Client) -> None:
        """Returns when every started worker is registered."""

        async def known() -> bool:
            return len([worker async for worker in client.workers.list()]) >= len(self.workers)

        await until(known, "the workers are registered", within_s=30)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Client]:
        """A server, a polling and a streaming worker, all ready; yields a client."""
        await self.start_server()
        self.start_worker()
        self.start_worker(stream="1")
        async with self.client() as client:
            await self.workers_ready(client)
            yield client

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()

    def stop_server(self) -> int:
        """Stops it with SIGTERM; returns its exit code."""
        assert self.server is not None
        return self.server.stop()

    def start_worker(self, **settings: str) -> Process:
        self._started += 1
        arguments = [self.work, self.url, str(self.journal.path), f"lease_s={self.lease_s}"]
        arguments += [f"{name}={value}" for name, value in settings.items()]
        worker = Process(f"worker-{self._started}", arguments, self.folder, {})
        self.workers.append(worker)
        return worker

    async def replace_killed(
        self, killed: str, worker: Process, point: str, settings: Mapping[str, str], *, within_s: float = 30
    ) -> None:
        """Waits until what kills itself at the point is gone, and starts it again.

        killed: `worker`, `server` or `both`. settings: of the new worker.
        """
        server = self.server
        assert server is not None
        dying = worker if killed == "worker" else server
        await until(lambda: dying.exit_code is not None, f"{killed} killed: {point}", within_s=within_s)
        if killed != "worker":
            await self.start_server()
        if killed != "server":
            await until(lambda: worker.exit_code is not None, f"worker killed: {point}")
            self.kill_worker(worker)
            self.start_worker(**settings)

    def kill_worker(self, worker: Process) -> None:
        worker.kill()
        self.workers.remove(worker)

    # Moments.

    async def work_goes_on(self, lines: int, within_s: float = 3.0) -> None:
        """Returns when the journal has about `lines` more lines, at the latest after `within_s`."""
        goal = self.journal.size + lines * LINE_BYTES
        await became(lambda: self.journal.size >= goal, within_s)


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
