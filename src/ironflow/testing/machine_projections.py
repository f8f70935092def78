"""The projections of a time machine: the SDK's own feed, asked for batches only when there is something to fold."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.base.time import Clock, Millis
from ironflow.features.projections.contract import GenerationReplaced, LeaseLost, ProjectionNotFound
from ironflow.features.projections.in_tx import NextFeed, next_feed
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.projections.feed import ProjectionFeed, RunnerTiming
from ironflow.sdk.projections.protocol import ProjectionProtocol
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import NO_UPCASTERS
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.server.building import Server
from ironflow.storage.port import Tx
from ironflow.testing.app_transport import AppTransport
from ironflow.testing.machine_worker import ENVIRONMENT


@dataclass(slots=True)
class _Fed:
    """A version of a projection that is fed, the one that readers see by name while another is built.

    retry_at: after a failure, by the machine's clock. stuck: until something happens.
    """

    feed: ProjectionFeed
    protocol: ProjectionProtocol
    generation: str = ""
    retry_at: Millis = 0
    stuck: bool = False


class TimeMachineProjections:
    """Folds what there is to fold. Raises InvalidArgument for two projections of one name."""

    def __init__(
        self,
        definitions: Sequence[ProjectionDefinition],
        transport: AppTransport,
        server: Server,
        clock: Clock,
        codec: Codec | None,
    ) -> None:
        self._runners = [_Runner(each, transport, server, clock, codec) for each in definitions]
        names = [each.name for each in definitions]
        if len(set(names)) < len(names):
            raise InvalidArgument(f"Two projections have one name: {', '.join(sorted(names))}.")
        self._notified = bool(names)
        self.next_at: Millis | None = None
        for topic in ("log", "projections") if names else ():
            server.notifier.listen(topic, self._on_notified)

    def _on_notified(self, keys: set[str]) -> None:
        self._notified = True

    async def start(self) -> None:
        """Registers them. Raises InvalidProjection for what the server does not accept."""
        for runner in self._runners:
            await runner.register()

    async def work(self, now: Millis) -> bool:
        """Folds until there is nothing left to fold at this moment. Whether there was anything."""
        worked = False
        while self._notified or (self.next_at is not None and self.next_at <= now):
            if self._notified:
                for runner in self._runners:
                    runner.wake()
            self._notified = False
            self.next_at = None
            for runner in self._runners:
                worked = await runner.work() or worked
                at = runner.next_at
                if at is not None and (self.next_at is None or at < self.next_at):
                    self.next_at = at
        return worked


class _Runner:
    """One projection. It keeps its lease: no other runner is in this world."""

    def __init__(
        self,
        definition: ProjectionDefinition,
        transport: AppTransport,
        server: Server,
        clock: Clock,
        codec: Codec | None,
    ) -> None:
        self._definition = definition
        self._protocol = ProjectionProtocol(definition, transport, Endpoint())
        self._db, self._clock, self._codec = server.db, clock, codec
        self._fed: list[_Fed] = []
        self.next_at: Millis | None = None

    async def register(self) -> None:
        await self._protocol.register()

    def wake(self) -> None:
        """Something has happened: where it is stuck it tries again."""
        for fed in self._fed:
            fed.stuck = False

    async def work(self) -> bool:
        """Folds what there is. Whether there was anything."""
        worked = False
        while True:
            try:
                folded = await self._fold_all()
            except (LeaseLost, GenerationReplaced):
                # It is built anew, or this has ended.
                await self._end()
                continue
            except ProjectionNotFound:
                # The test deleted it.
                self._fed, self.next_at = [], None
                return worked
            if not folded:
                return worked
            worked = True

    async def _fold_all(self) -> bool:
        if not self._fed:
            await self._begin()
        folded = False
        self.next_at = None
        for fed in self._fed:
            due = await self._due(fed)
            if due is None:
                continue
            if due > self._clock.now():
                self.next_at = due if self.next_at is None else min(self.next_at, due)
                continue
            await self._batch(fed)
            folded = True
        return folded

    async def _batch(self, fed: _Fed) -> None:
        try:
            events = await fed.protocol.poll()
            # From here on the lease is this runner's, so the states in memory are those that are saved.
            await fed.feed.process(events)
        except (LeaseLost, GenerationReplaced, ProjectionNotFound):
            raise
        except IronflowError as fault:
            fed.feed.forget()
            pause_s = await fed.feed.pause_s_after(fault)
            fed.retry_at = self._clock.now() + int(pause_s * 1000)
            fed.stuck = fed.feed.is_stuck

    async def _begin(self) -> None:
        granted = await self._protocol.acquire()
        if granted is None:
            raise InvalidArgument(
                f"Projection {self._definition.name!r} has another runner. In a time machine it is given to "
                "time_machine(projections=[...]) only."
            )
        self._protocol.lease = granted.lease
        self._fed = [self._fed_by(self._protocol)]
        if granted.served:
            self._fed.append(self._fed_by(self._protocol.beside(granted.served)))

    async def _end(self) -> None:
        self._fed = []
        with suppress(IronflowError):
            await self._protocol.release()
        self._protocol.lease = None

    def _fed_by(self, protocol: ProjectionProtocol) -> _Fed:
        feed = ProjectionFeed(
            self._definition,
            protocol,
            RunnerTiming(),
            asyncio.Event(),
            None,
            NO_UPCASTERS,
            streaming=False,
            codec=self._codec,
        )
        return _Fed(feed, protocol, protocol.generation)

    async def _due(self, fed: _Fed) -> Millis | None:
        """When it is fed next; None while there is nothing for it."""
        name = self._definition.name

        def look(tx: Tx) -> NextFeed | None:
            return next_feed(tx, ENVIRONMENT, name, fed.generation)

        found = await self._db.peek(look)
        return None if found is None or fed.stuck else max(found.at, fed.retry_at)
