"""`time_machine`: the real engine in the test's own process, on a clock that stands still until the test moves it.

async with time_machine(functions=[trial]) as world:
    run = await world.emit("trial.started", {"user": "ada"})
    await world.advance("30d")
    assert run.status == "completed"
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import FixedClock, Millis, to_datetime, to_millis
from ironflow.features.runs.contract import RunStatus
from ironflow.features.runs.store import look
from ironflow.sdk.client import Client
from ironflow.sdk.function import FunctionDefinition
from ironflow.server.house import House, build
from ironflow.server.settings import Settings
from ironflow.testing.app_transport import AppTransport
from ironflow.testing.client import functions_by_id
from ironflow.testing.world_run import WorldRun
from ironflow.testing.world_worker import NotSettled, WorldWorker

SLOTS = 100
# What is in memory here; nothing in it need outlive the test, and there is no disk to wait for.
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_MIN = 512 * 1024 * 1024
ROUNDS_MAX = 10_000
URL = "http://time-machine"


@asynccontextmanager
async def time_machine(
    functions: Sequence[FunctionDefinition],
    *,
    start: datetime | None = None,
    settings: Settings | None = None,
    max_concurrent_jobs: int = SLOTS,
    settle_within: Duration = "30s",
) -> AsyncIterator["World"]:
    """A server on a new SQLite file with a worker for `functions`, in this process; gone at the end.

    start: the time it begins at, else the first moment of 2026. settings: the server's, but for its database.
    settle_within: real time that handlers may take without anything happening. Raises InvalidFunction.
    """
    found = functions_by_id(functions)
    clock = FixedClock() if start is None else FixedClock(to_millis(start))
    with tempfile.TemporaryDirectory(prefix="ironflow-", dir=_quick_place()) as folder:
        file = str(Path(folder) / "ironflow.db")
        house = await build(replace(settings or Settings(dev=True), db=file), clock)
        transport = AppTransport(house.app)
        within_s = duration_ms(settle_within) / 1000
        worker = WorldWorker(found, transport, house.broker, clock, max_concurrent_jobs, within_s)
        try:
            await worker.start()
            yield World(house, clock, worker, Client(URL, transport=transport))
        finally:
            house.let_go()
            await worker.close()
            await house.close()


def _quick_place() -> Path | None:
    """A folder in memory with room to spare; None where there is none."""
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free > _MEMORY_FREE_MIN and os.access(_MEMORY, os.W_OK) else None


class World:
    """A server, a worker and a clock. Every method returns when nothing is left to do at the present moment.

    client: a client of the server, for all that is not here; call `settle` after what it changed.
    """

    def __init__(self, house: House, clock: FixedClock, worker: WorldWorker, client: Client) -> None:
        self.client = client
        self._house = house
        self._clock = clock
        self._worker = worker
        self._next_at: Millis | None = None
        self._runs: WeakSet[WorldRun] = WeakSet()
        # Names of loops: those that rang since they were last run, and those that wait for a ring.
        self._rung: set[str] = set()
        self._at_rest: set[str] = set()
        for loop in house.all_loops:
            house.broker.listen(getattr(loop, "topic", "") or f"loop:{loop.name}", partial(self._heard, loop.name))

    @property
    def database(self) -> str:
        """The SQLite file, which is gone when the world is."""
        return self._house.settings.db

    @property
    def now(self) -> datetime:
        """The present moment of this world."""
        return to_datetime(self._clock.now())

    async def emit(
        self,
        name: str,
        data: Any = None,
        *,
        idempotency_key: str = "",
        version: int = 1,
        metadata: Mapping[str, Any] | None = None,
    ) -> WorldRun:
        """Records an event. Gives the run that it started, the first if there are several: `runs` gives all.

        Raises InvalidEvent, SerializationError, NotSettled.
        """
        emitted = await self.client.emit(
            name, data, idempotency_key=idempotency_key, version=version, metadata=metadata
        )
        run = self._followed(name, next(iter(emitted.run_ids), None))
        await self.settle()
        return run

    async def invoke(self, function: str | FunctionDefinition, data: Any = None) -> WorldRun:
        """Starts one run of one function, whatever its triggers. Raises FunctionNotFound, NotSettled."""
        function_id = function if isinstance(function, str) else function.id
        invoked = await self.client.invoke(function_id, data)
        run = self._followed(function_id, invoked.run_id)
        await self.settle()
        return run

    async def runs(
        self, function: str | FunctionDefinition = "", *, status: RunStatus | str | None = None
    ) -> list[WorldRun]:
        """Runs, oldest first; of one function, or all."""
        function_id = function if isinstance(function, str) else function.id
        found = [
            self._followed(run.event_name or "", run.id)
            async for run in self.client.runs.list(function_id=function_id, status=status)
        ]
        await self._follow(found)
        return found[::-1]

    async def advance(self, by: Duration) -> None:
        """Moves time forward, stopping at each moment at which something is due. Raises NotSettled."""
        await self.advance_to(to_datetime(self._clock.now() + duration_ms(by)))

    async def advance_to(self, when: datetime) -> None:
        """As advance, to a moment. Raises InvalidArgument for one that is past."""
        if when.tzinfo is None:
            raise InvalidArgument(f"{when!r} has no time zone.")
        until = to_millis(when)
        if until < self._clock.now():
            raise InvalidArgument(
                f"It is {self.now.isoformat()} already; time goes back to {when.isoformat()} nowhere."
            )
        await self._rest()
        while self._next_at is not None and self._next_at <= until:
            await self._move(self._next_at)
        await self._move(until)
        await self._look()

    async def settle(self) -> None:
        """Lets everything happen that can happen now. Raises NotSettled."""
        await self._look()

    # Time and rest.

    async def _move(self, to: Millis) -> None:
        self._clock.at = max(self._clock.at, to)
        await self._worker.beat()
        await self._rest()

    async def _rest(self) -> None:
        """Work and loops in turn, until neither gives the other anything to do."""
        for _ in range(ROUNDS_MAX):
            await self._worker.work()
            self._rung.clear()
            await self._run_loops()
            if not self._rung and not self._worker.rung:
                return
        raise NotSettled(f"At {self.now.isoformat()} there was still something to do after {ROUNDS_MAX} rounds.")

    async def _run_loops(self) -> None:
        """Runs each loop that has a reason until it has no more to do now."""
        coming: list[Millis] = []
        for loop in self._house.all_loops:
            if loop.name in self._at_rest:
                continue
            while (ran := await loop.run_once(self._clock.now())).more:
                pass
            if not hasattr(ran, "next_at"):
                # It cleans up now and then. It does so when the test looks, not at every moment in between.
                self._at_rest.add(loop.name)
            elif ran.next_at is not None:
                coming.append(ran.next_at)
        self._next_at = min(coming, default=None)

    def _heard(self, loop: str, keys: set[str]) -> None:
        self._rung.add(loop)
        self._at_rest.discard(loop)

    async def _look(self) -> None:
        self._at_rest.clear()
        await self._rest()
        await self._follow(list(self._runs))

    async def _follow(self, runs: list[WorldRun]) -> None:
        """Shows the runs as they are now; those that have changed are read again."""
        ids = [run.id for run in runs if run.exists]
        present = await self._house.db.peek(lambda tx: look(tx, ids))
        for run in runs:
            if run.exists and run.id in present and run.version != present[run.id].version:
                await run.look(self.client)

    def _followed(self, event: str, run_id: str | None) -> WorldRun:
        run = WorldRun(event, run_id)
        self._runs.add(run)
        return run
