"""The consumers of a time machine: the user's own loops over subscriptions, each a task of the test's process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakSet

from ironflow.sdk.client.client import Client
from ironflow.sdk.wire.world import Iterated, World, present
from ironflow.server.building import Server
from ironflow.storage.sqlite import SqliteDatabase
from ironflow.testing.app_transport import AppTransport, opened
from ironflow.testing.machine_worker import NotSettled

Consumer = Callable[[Client], Awaitable[object]]

# So many turns of the loop without anything happening: nothing is on its way from the database to a consumer.
QUIET_TURNS = 40
# Between looks while something is under way.
LOOK_S = 0.001


class TimeMachineConsumers:
    """within_s: real seconds that a consumer may take between two events."""

    def __init__(
        self, consumers: Sequence[Consumer], transport: AppTransport, server: Server, world: World, within_s: float
    ) -> None:
        self._consumers = list(consumers)
        self._transport = transport
        self._server = server
        self._world = world
        self._within_s = within_s
        self._running: list[_Running] = []

    def start(self, client: Client) -> None:
        for consumer in self._consumers:
            self._running.append(_Running(consumer, client, self._world))

    async def rest(self, interrupted: Callable[[], bool]) -> bool:
        """Returns when all wait for an event and none is on its way, or there is something else to do.

        Returns whether anything has come or gone meanwhile. Raises what one of them raised, NotSettled.
        """
        before = seen = self._transport.exchanged
        turns, until = 0, time.monotonic() + self._within_s
        while self._running and turns < QUIET_TURNS and not interrupted():
            self._check()
            turns, seen = turns if seen == self._transport.exchanged else 0, self._transport.exchanged
            if self._is_quiet():
                turns += 1
                await asyncio.sleep(0)
                continue
            turns = 0
            if time.monotonic() > until:
                busy = ", ".join(each.name for each in self._running if not each.rests)
                raise NotSettled(
                    f"After {self._within_s:g} s a consumer does not wait for an event: {busy}. Time stands still "
                    "while it works. For handlers that take longer: time_machine(settle_within=...)."
                )
            await asyncio.sleep(LOOK_S)
        return self._transport.exchanged != before

    def _is_quiet(self) -> bool:
        db = self._server.db
        return (
            self._transport.is_quiet
            and (not isinstance(db, SqliteDatabase) or db.is_idle)
            and all(each.rests for each in self._running)
        )

    def _check(self) -> None:
        for each in self._running:
            each.check()

    async def close(self) -> None:
        for each in self._running:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in self._running), return_exceptions=True)


class _Running:
    """A consumer and the subscriptions that it has opened."""

    def __init__(self, consumer: Consumer, client: Client, world: World) -> None:
        self.name = getattr(consumer, "__qualname__", repr(consumer))
        self._subscriptions: WeakSet[Iterated] = WeakSet()
        tokens = present.set(world), opened.set(self._subscriptions)
        try:
            self.task: asyncio.Task[object] = asyncio.create_task(_run(consumer, client))
        finally:
            present.reset(tokens[0])
            opened.reset(tokens[1])

    @property
    def rests(self) -> bool:
        if self.task.done():
            return True
        waiting = [each.waits for each in self._subscriptions if each.waits or each.has_events]
        return bool(waiting) and all(waiting)

    def check(self) -> None:
        """Raises what the consumer raised."""
        if self.task.done() and not self.task.cancelled():
            self.task.result()


async def _run(consumer: Consumer, client: Client) -> object:
    return await consumer(client)
