"""`time_machine`: the real engine in the test's own process, on a clock that stands still until the test moves it.

async with time_machine(functions=[trial]) as machine:
    run = await machine.emit("trial.started", {"user": "ada"})
    await machine.advance("30d")
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
from ironflow.engine.model import Run as EngineRun
from ironflow.features.runs.contract import RunStatus
from ironflow.features.runs.in_tx import look, look_last
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.features.projections import Projections
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.run_keys import IfRunning
from ironflow.sdk.wire.world import World, present
from ironflow.sdk.worker.codec_fit import check_codec
from ironflow.server.building import Server, build
from ironflow.server.settings import Settings
from ironflow.storage.port import Tx
from ironflow.testing.app_transport import AppTransport
from ironflow.testing.client import functions_by_id
from ironflow.testing.machine_consumers import Consumer, TimeMachineConsumers
from ironflow.testing.machine_projections import TimeMachineProjections
from ironflow.testing.machine_run import TimeMachineRun
from ironflow.testing.machine_worker import NotSettled, TimeMachineWorker

SLOTS = 100
# What is in memory here; nothing in it need outlive the test, and there is no disk to wait for.
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_MIN = 512 * 1024 * 1024
ROUNDS_MAX = 10_000
URL = "http://time-machine"


@asynccontextmanager
async def time_machine(
    functions: Sequence[FunctionDefinition] = (),
    *,
    projections: Sequence[ProjectionDefinition] = (),
    consumers: Sequence[Consumer] = (),
    start: datetime | None = None,
    settings: Settings | None = None,
    max_concurrent_jobs: int = SLOTS,
    settle_within: Duration = "30s",
    codec: Codec | None = None,
) -> AsyncIterator["TimeMachine"]:
    """A server on a new SQLite file with a worker for `functions`, in this process; deleted at the end.

    projections: run beside the functions. consumers: async functions of a client that iterate over subscriptions and
    groups of it; each runs as a task, and what it raises is raised where the machine settles.
    start: the time it begins at, else the first moment of 2026. settings: the server's, but for its database and
    its need of keys. settle_within: real time that handlers may take without anything happening.
    codec: of the worker and the machine's client. A `Client()` that is made inside, without an address, is one of the
    machine's server. Raises InvalidFunction.
    """
    found = functions_by_id(functions)
    if codec is not None:
        check_codec(found.values(), projections)
    clock = FixedClock() if start is None else FixedClock(to_millis(start))
    with tempfile.TemporaryDirectory(prefix="ironflow-", dir=_memory_folder()) as folder:
        file = str(Path(folder) / "ironflow.db")
        server = await build(replace(settings or Settings(), db=file, dev=True), clock)
        transport = AppTransport(server.app)
        within_s = duration_ms(settle_within) / 1000
        before = present.get()
        world = World(URL, transport)
        worker = TimeMachineWorker(found, transport, server.notifier, clock, max_concurrent_jobs, within_s, codec)
        folding = TimeMachineProjections(projections, transport, server, clock, codec)
        consuming = TimeMachineConsumers(consumers, transport, server, world, within_s)
        try:
            await worker.start()
            await folding.start()
            worker.beside = lambda: folding.work(clock.now())
            present.set(world)
            machine = TimeMachine(
                server, clock, worker, folding, consuming, Client(URL, transport=transport, codec=codec), world
            )
            if consumers:
                # What they ask for before their first event may need functions and projections.
                consuming.start(machine.client)
                await machine.settle()
            yield machine
        finally:
            present.set(before)
            await consuming.close()
            server.drain()
            await worker.close()
            await server.stop()


def _memory_folder() -> Path | None:
    """A folder in memory with space to spare; None where there is none."""
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free > _MEMORY_FREE_MIN and os.access(_MEMORY, os.W_OK) else None


class TimeMachine:
    """A server, a worker and a clock. Every method returns when nothing is left to do at the present moment.

    client: a client of the server, for all that is not here; call `settle` after what it changed.
    """

    def __init__(
        self,
        server: Server,
        clock: FixedClock,
        worker: TimeMachineWorker,
        folding: TimeMachineProjections,
        consuming: TimeMachineConsumers,
        client: Client,
        world: World,
    ) -> None:
        self.client = client
        self._folding = folding
        self._consuming = consuming
        self._world = world
        self._server = server
        self._clock = clock
        self._worker = worker
        self._next_at: Millis | None = None
        self._runs: WeakSet[TimeMachineRun] = WeakSet()
        # Names of loops: those notified since they were last run, and those that wait for a notification.
        self._notified: set[str] = set()
        self._idle: set[str] = set()
        for loop in server.all_loops:
            if loop.topic:
                server.notifier.listen(loop.topic, partial(self._on_notified, loop.name))

    @property
    def database(self) -> str:
        """The SQLite file, which is deleted with the machine."""
        return self._server.settings.db

    @property
    def projections(self) -> Projections:
        """`client.projections`: states, waits, rebuilds."""
        return self.client.projections

    @property
    def now(self) -> datetime:
        """The present moment of the machine."""
        return to_datetime(self._clock.now())

    async def emit(
        self,
        name: str,
        data: Any = None,
        *,
        idempotency_key: str = "",
        version: int = 1,
        metadata: Mapping[str, Any] | None = None,
    ) -> TimeMachineRun:
        """Records an event. Gives the run that it started, the first if there are several: `runs` gives all.

        Raises InvalidEvent, SerializationError, NotSettled.
        """
        emitted = await self.client.emit(
            name, data, idempotency_key=idempotency_key, version=version, metadata=metadata
        )
        run = self._followed(name, next(iter(emitted.run_ids), None), follows=True)
        await self.settle()
        return run

    async def invoke(
        self, function: str | FunctionDefinition, data: Any = None, *, key: str = "", if_running: IfRunning = "use"
    ) -> TimeMachineRun:
        """Starts one run of one function, whatever its triggers. key, if_running: as of the client.

        Raises FunctionNotFound, RunKeyHeld, NotSettled.
        """
        function_id = function if isinstance(function, str) else function.id
        invoked = await self.client.invoke(function_id, data, key=key, if_running=if_running)
        run = self._followed(function_id, invoked.run_id, follows=True)
        await self.settle()
        return run

    async def runs(
        self, function: str | FunctionDefinition = "", *, status: RunStatus | str | None = None
    ) -> list[TimeMachineRun]:
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
        await self._settle_now()
        while self._next_at is not None and self._next_at <= until:
            await self._move(self._next_at)
        await self._move(until)
        await self._refresh()

    async def settle(self) -> None:
        """Lets everything happen that can happen now. Raises NotSettled."""
        await self._refresh()

    # Time and rest.

    async def _move(self, to: Millis) -> None:
        self._clock.at = max(self._clock.at, to)
        await self._worker.heartbeat()
        await self._settle_now()

    async def _settle_now(self) -> None:
        """Work and loops in turn, until neither gives the other anything to do."""
        # Handlers belong to this world, also where a test has two.
        token = present.set(self._world)
        try:
            for _ in range(ROUNDS_MAX):
                await self._worker.work()
                self._notified.clear()
                await self._run_loops()
                moved = await self._consuming.rest(lambda: bool(self._notified) or self._worker.notified)
                # What consumers have been given has its own time to end.
                if not moved and not self._notified and not self._worker.notified:
                    return
        finally:
            present.reset(token)
        raise NotSettled(f"At {self.now.isoformat()} there was still something to do after {ROUNDS_MAX} rounds.")

    async def _run_loops(self) -> None:
        """Runs each loop that has a reason until it has no more to do now."""
        coming: list[Millis] = []
        for loop in self._server.all_loops:
            if loop.name in self._idle:
                continue
            while (ran := await loop.run_once(self._clock.now())).more:
                pass
            if not loop.topic:
                # It cleans up now and then. It does so when the test looks, not at every moment in between.
                self._idle.add(loop.name)
            elif ran.next_at is not None:
                coming.append(ran.next_at)
        if self._folding.next_at is not None:
            coming.append(self._folding.next_at)
        self._next_at = min(coming, default=None)

    def _on_notified(self, loop: str, keys: set[str]) -> None:
        self._notified.add(loop)
        self._idle.discard(loop)

    async def _refresh(self) -> None:
        self._idle.clear()
        await self._settle_now()
        await self._follow(list(self._runs))

    async def _follow(self, runs: list[TimeMachineRun]) -> None:
        """Shows the runs as they are now; those that have changed are read again."""
        followed = {run.id: run.follows for run in runs if run.exists}

        def find(tx: Tx) -> dict[str, EngineRun]:
            found = look(tx, list(followed))
            return {run_id: look_last(tx, run) if followed[run_id] else run for run_id, run in found.items()}

        present = await self._server.db.peek(find)
        for run in runs:
            now = present.get(run.id) if run.exists else None
            if now is not None and not run.shows(now.id, now.version):
                await run.look(self.client, now.id)

    def _followed(self, event: str, run_id: str | None, *, follows: bool = False) -> TimeMachineRun:
        run = TimeMachineRun(event, run_id, follows=follows)
        self._runs.add(run)
        return run
