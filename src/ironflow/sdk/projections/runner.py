"""The runner: acquires the lease, has its projection fed while it lasts, and stands by otherwise.

    runner = ProjectionRunner(order_totals)
    await runner.serve()

No event is lost: events after the last save are delivered again. The lease ensures that one runner writes. While the
projection is built anew, the runner feeds the version that readers see as well.
Source: protocol/projections.md.
"""

import asyncio
import random
from contextlib import suppress
from typing import Self

from ironflow.base.deprecation import warn_renamed
from ironflow.base.errors import InvalidArgument, IronflowError, NotFound
from ironflow.features.projections.contract import GenerationReplaced, LeaseLost
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.projections.feed import OnError, ProjectionFeed, RunnerTiming
from ironflow.sdk.projections.protocol import Granted, ProjectionAuthError, ProjectionProtocol
from ironflow.sdk.user_code.logs import LoggerChoice, SdkLogger, chosen_logger, logging_to
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import NO_UPCASTERS, UpcasterRegistry
from ironflow.sdk.wire.backoff import is_transient
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.transport import AiohttpTransport, AsyncTransport

logger = SdkLogger("ironflow.projection")

# How long `async with` waits for the first registration.
REGISTERED_WITHIN_S = 5.0


class ProjectionRunner:
    """Runs one projection until it is stopped; a second runner of it stands by and takes over.

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    on_error: called for every failure; for a failing event only after its max_retries.
    logger: anything with debug, info, warning and error; False for none, None for `logging`.
    streaming: False polls from the start. upcasters: bring events to their latest versions before the handler.
    codec: decodes events, and encodes states.
    """

    def __init__(
        self,
        definition: ProjectionDefinition,
        *,
        url: str | None = None,
        api_key: str | None = None,
        environment: str | None = None,
        timing: RunnerTiming | None = None,
        on_error: OnError | None = None,
        streaming: bool = True,
        upcasters: UpcasterRegistry | None = None,
        logger: LoggerChoice = None,
        codec: Codec | None = None,
        transport: AsyncTransport | None = None,
        pace: RunnerTiming | None = None,
    ) -> None:
        if pace is not None:
            warn_renamed("pace=", "timing=")
        timing = timing or pace
        if upcasters is not None:
            upcasters.check()
        if not isinstance(definition, ProjectionDefinition):
            raise InvalidArgument(f"{definition!r} is no projection. Write @projection(...) above its handler.")
        endpoint = Endpoint.resolve(url, api_key, environment)
        self.definition = definition
        self._transport = transport or AiohttpTransport(endpoint.url)
        self._protocol = ProjectionProtocol(definition, self._transport, endpoint)
        self._timing = timing or RunnerTiming()
        self._logger = chosen_logger(logger)
        self._stopping = asyncio.Event()
        self._feed = ProjectionFeed(
            definition,
            self._protocol,
            self._timing,
            self._stopping,
            on_error,
            upcasters or NO_UPCASTERS,
            streaming=streaming and self._protocol.can_stream,
            codec=codec,
        )
        self._task: asyncio.Task[None] | None = None
        # The first attempt to register has ended, well or not.
        self._tried = asyncio.Event()
        self._registered = asyncio.Event()

    @property
    def events_done(self) -> int:
        """Events that were saved, of what the server feeds by itself."""
        return self._feed.events_done

    @property
    def name(self) -> str:
        return self.definition.name

    async def start(self) -> None:
        """Begins to run in the background; `stop` ends it."""
        if self._task is None:
            with logging_to(self._logger):
                self._task = asyncio.create_task(self._run(), name=f"projection-{self.name}")

    async def serve(self) -> None:
        """Runs until stopped. Raises ProjectionAuthError, InvalidProjection, or what else no later try will mend."""
        await self.start()
        assert self._task is not None
        try:
            await asyncio.shield(self._task)
        finally:
            await self.stop()

    async def registered(self) -> None:
        """Returns once the server knows the projection, so that it can be waited for."""
        await self._registered.wait()

    async def stop(self, *, flush: float | None = None) -> None:
        """Saves the batch under way, gives the lease back, ends.

        flush: seconds after which what is under way is cancelled; None for the pace's.
        """
        self._stopping.set()
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=self._timing.flush if flush is None else flush)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        await self._transport.close()

    async def __aenter__(self) -> Self:
        """Starts; returns once the projection is registered, so that it can be waited for. Tries on where it is not."""
        await self.start()
        assert self._task is not None
        tried = asyncio.ensure_future(self._tried.wait())
        await asyncio.wait((self._task, tried), timeout=REGISTERED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        tried.cancel()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<ProjectionRunner of {self.name}>"

    # Lifecycle.

    async def _run(self) -> None:
        registered = False
        while not self._stopping.is_set():
            try:
                if not registered:
                    try:
                        await self._protocol.register()
                    finally:
                        self._tried.set()
                    registered = True
                    self._registered.set()
                granted = await self._protocol.acquire()
                if granted is None:
                    self._feed.failures = 0
                    await self._feed.pause(self._timing.standby * random.uniform(0.8, 1.2))
                    continue
                await self._run_with(granted)
            except LeaseLost:
                # Another runner has it, or the projection is built anew: stand by, load again.
                continue
            except NotFound as fault:
                # Deleted. It is registered again, as when the runner started.
                registered = False
                await self._feed.pause_after(fault)
            except IronflowError as fault:
                if (not registered and not is_transient(fault)) or isinstance(fault, ProjectionAuthError):
                    raise
                await self._feed.pause_after(fault)

    async def _run_with(self, granted: Granted) -> None:
        """Works while the lease lasts. Raises LeaseLost when it is lost, NotFound for a deleted projection."""
        self._protocol.lease = granted.lease
        self._feed.failures = 0
        logger.info("projection runs", extra={"projection": self.name, "epoch": granted.lease.epoch})
        working = asyncio.ensure_future(self._feed.work())
        renewing = asyncio.ensure_future(self._keep_lease(granted.ttl.total_seconds() / 3))
        tasks = [working, renewing]
        if granted.served:
            tasks.append(asyncio.ensure_future(self._feed_beside(granted.served)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # The task that ended first holds the reason; renewing ends when the lease is lost.
            await min(done, key=tasks.index)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(IronflowError):
                await self._protocol.release()
            self._protocol.lease = None

    async def _feed_beside(self, served: str) -> None:
        """While the projection is built anew, feeds what readers see. Raises as `ProjectionFeed.work`."""
        with suppress(GenerationReplaced):
            await self._feed.beside(served).work()
        # The rebuild has ended, or the runner is about to.
        await asyncio.Event().wait()

    async def _keep_lease(self, every_s: float) -> None:
        pause_s = every_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._protocol.renew()
                pause_s = every_s
            except IronflowError as fault:
                if not is_transient(fault):
                    raise
                pause_s = self._timing.renew_retry
