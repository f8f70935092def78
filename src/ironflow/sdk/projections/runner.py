"""The runner: acquires the lease, loads states, receives events, folds, saves; after failures again.

    runner = ProjectionRunner(order_totals)
    await runner.serve()

No event is lost: events after the last save are delivered again. The lease ensures that one runner writes.
Source: protocol/projections.md.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Self

from ironflow.base.deprecation import warn_renamed
from ironflow.base.errors import DeadlineExceeded, InvalidArgument, IronflowError, NotFound
from ironflow.features.projections.contract import LeaseLost, ProjectionNotFound
from ironflow.sdk.projections.definition import ProjectionDefinition, ProjectionEvent
from ironflow.sdk.projections.fold import HandlerFailed, by_partition, deliver, fold
from ironflow.sdk.projections.protocol import Granted, ProjectionAuthError, ProjectionProtocol, StreamingUnsupported
from ironflow.sdk.user_code.logs import LoggerChoice, SdkLogger, chosen_logger, logging_to
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.values.upcasting import NO_UPCASTERS, UpcasterRegistry
from ironflow.sdk.wire.backoff import is_transient
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.transport import AiohttpTransport, AsyncTransport

logger = SdkLogger("ironflow.projection")

OnError = Callable[[IronflowError], None]


@dataclass(frozen=True, slots=True)
class RunnerTiming:
    """All in seconds.

    standby: rest before asking again for a lease that another runner has, give or take a fifth. retry, retry_max: rest
    after a failure, doubling. renew_retry: rest after a renewal that got no answer. gather: how long a batch waits for
    more events. silence: a stream that sends nothing for this long counts as broken. empty, empty_max: rest
    after a poll that gave nothing. flush: how long the last batch may take when the runner is asked to end.
    """

    standby: float = 5.0
    retry: float = 2.0
    retry_max: float = 30.0
    renew_retry: float = 1.0
    gather: float = 0.0
    silence: float = 45.0
    empty: float = 0.05
    empty_max: float = 1.0
    flush: float = 10.0


# States asked for at the same time, and states kept in memory.
LOADS_AT_ONCE = 16
STATES_MAX = 10_000
# States that are saved in one request, together; a larger one alone.
SAVE_BYTES_MAX = 4 * 1024 * 1024
# Statuses of a server that cannot save several partitions together.
NOT_OFFERED = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class _Folded:
    """What was made of a batch of so many events. states: of partitions, to be saved; last: of an external one.

    failure: of the first event that could not be folded.
    """

    events: int
    failure: HandlerFailed | None
    states: Sequence[tuple[str, Raw, ProjectionEvent]] = ()
    last: ProjectionEvent | None = None


class ProjectionRunner:
    """Runs one projection until it is stopped; a second runner of it stands by and takes over.

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    on_error: called for every failure; for a failing event only after its max_retries.
    logger: anything with debug, info, warning and error; False for none, None for `logging`.
    streaming: False polls from the start. upcasters: bring events to their latest versions before the handler.
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
        transport: AsyncTransport | None = None,
        pace: RunnerTiming | None = None,
    ) -> None:
        if pace is not None:
            warn_renamed("pace=", "timing=")
        timing = timing or pace
        if upcasters is not None:
            upcasters.check()
        self._upcasters = upcasters or NO_UPCASTERS
        if not isinstance(definition, ProjectionDefinition):
            raise InvalidArgument(f"{definition!r} is no projection. Write @projection(...) above its handler.")
        endpoint = Endpoint.resolve(url, api_key, environment)
        self.definition = definition
        self._transport = transport or AiohttpTransport(endpoint.url)
        self._protocol = ProjectionProtocol(definition, self._transport, endpoint)
        self._timing = timing or RunnerTiming()
        self._on_error = on_error
        self._logger = chosen_logger(logger)
        self._streaming = streaming and self._protocol.can_stream
        # States by partition, the least recently used first: saved, or about to be, and forgotten when a save fails.
        self._states: OrderedDict[str, Raw | None] = OrderedDict()
        self._failing: tuple[str, int] = ("", 0)
        self._failures = 0
        self._saves_many = True
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.events_done = 0

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
        await self.start()
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
                    await self._protocol.register()
                    registered = True
                granted = await self._protocol.acquire()
                if granted is None:
                    self._failures = 0
                    await self._pause(self._timing.standby * random.uniform(0.8, 1.2))
                    continue
                await self._run_with(granted)
            except LeaseLost:
                # Another runner has it, or the projection is built anew: stand by, load again.
                continue
            except NotFound as fault:
                # Deleted. It is registered again, as when the runner started.
                registered = False
                await self._pause_after(fault)
            except IronflowError as fault:
                if (not registered and not is_transient(fault)) or isinstance(fault, ProjectionAuthError):
                    raise
                await self._pause_after(fault)

    async def _run_with(self, granted: Granted) -> None:
        """Works while the lease lasts. Raises LeaseLost when it is lost, NotFound for a deleted projection."""
        self._protocol.lease = granted.lease
        self._failures = 0
        logger.info("projection runs", extra={"projection": self.name, "epoch": granted.lease.epoch})
        working = asyncio.ensure_future(self._work())
        renewing = asyncio.ensure_future(self._keep_lease(granted.ttl.total_seconds() / 3))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            # The task that ended first holds the reason; renewing ends when the lease is lost.
            await (working if working.done() else renewing)
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.wait((working, renewing))
            with suppress(IronflowError):
                await self._protocol.release()
            self._protocol.lease = None

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

    async def _work(self) -> None:
        """Feeds and saves until stopped; after a failure again from what is saved."""
        while not self._stopping.is_set():
            self._states.clear()
            try:
                await (self._work_by_stream() if self._streaming else self._work_by_polls())
            except StreamingUnsupported:
                logger.info("projection polls", extra={"projection": self.name})
                self._streaming = False
            except (LeaseLost, NotFound, ProjectionAuthError):
                raise
            except IronflowError as fault:
                await self._pause_after(fault)

    async def _work_by_polls(self) -> None:
        pause_s = self._timing.empty
        while not self._stopping.is_set():
            batch = await self._protocol.poll()
            if batch:
                await self.process(batch)
                pause_s = self._timing.empty
            else:
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, self._timing.empty_max)

    async def _work_by_stream(self) -> None:
        """Reads ahead while a batch is worked off: what comes meanwhile is the next batch."""
        ahead = _ReadAhead(self.definition.batch_size)

        async def read() -> None:
            async with aclosing(self._protocol.stream()) as stream:
                async for events in _with_deadline(stream, self._timing.silence):
                    await ahead.put(events)

        reading = asyncio.ensure_future(read())
        reading.add_done_callback(lambda _: ahead.ready.set())
        stopping = asyncio.ensure_future(self._stopping.wait())
        stopping.add_done_callback(lambda _: ahead.ready.set())
        # The save of the batch before: the next one is folded meanwhile, and saved after it.
        saving: asyncio.Future[None] | None = None
        try:
            while not self._stopping.is_set():
                ahead.ready.clear()
                if saving is not None and saving.done():
                    await saving
                    saving = None
                # While a save is under way only a whole batch is begun: what comes meanwhile is saved together.
                if len(ahead) >= (1 if saving is None else self.definition.batch_size):
                    if saving is not None and self.definition.mode == "external":
                        # What a handler does outside is not done again for a lost ack of the batch before.
                        await saving
                    folded = await self._fold(ahead.take())
                    if saving is not None:
                        await saving
                    saving = asyncio.ensure_future(self._save_batch(folded))
                    saving.add_done_callback(lambda _: ahead.ready.set())
                    if folded.failure is not None:
                        await saving
                elif saving is None and reading.done():
                    # Raises why it ended; ended in good order, the runner starts again from what is saved.
                    await reading
                    await self._pause(self._timing.empty)
                    return
                else:
                    await ahead.ready.wait()
                    if self._timing.gather:
                        await asyncio.sleep(self._timing.gather)
            if saving is not None:
                await saving
        finally:
            tasks: list[asyncio.Future[Any]] = [reading, stopping, *([saving] if saving is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # One batch.

    async def process(self, batch: list[ProjectionEvent]) -> None:
        """Folds a batch and saves it. Raises HandlerFailed after saving what could be folded, or why a save failed."""
        await self._save_batch(await self._fold(batch))

    async def _fold(self, batch: list[ProjectionEvent]) -> _Folded:
        """What the handler makes of a batch. Later ones are folded onto it, whether it is saved by then or not."""
        if self.definition.mode == "external":
            done = await deliver(self.definition, batch, self._upcasters)
            return _Folded(len(batch), done.failure, last=done.last)
        by_name = by_partition(batch)
        await self._load(list(by_name))
        failure: HandlerFailed | None = None
        states: list[tuple[str, Raw, ProjectionEvent]] = []
        for partition, events in by_name.items():
            folded = await fold(self.definition, self._states[partition], events, self._upcasters)
            failure = failure or folded.failure
            if folded.state is not None and folded.last is not None:
                states.append((partition, folded.state, folded.last))
                self._states[partition] = folded.state
        return _Folded(len(batch), failure, states)

    async def _save_batch(self, folded: _Folded) -> None:
        """Saves what was made of a batch. Raises its failure then, or why the save failed."""
        if folded.last is not None:
            await self._protocol.ack(folded.last)
        for together in _portions(folded.states):
            await self._save(together)
        if folded.failure is not None:
            raise folded.failure
        self._failing = ("", 0)
        self._failures = 0
        self.events_done += folded.events

    async def _load(self, partitions: list[str]) -> None:
        """Loads the saved states of these partitions once; while the lease lasts no other runner writes them."""
        missing = [each for each in partitions if each not in self._states]
        for start in range(0, len(missing), LOADS_AT_ONCE):
            some = missing[start : start + LOADS_AT_ONCE]
            found = await asyncio.gather(*(self._protocol.load(each) for each in some))
            self._states.update(zip(some, found, strict=True))
        for partition in partitions:
            self._states.move_to_end(partition)
        while len(self._states) > max(STATES_MAX, len(partitions)):
            self._states.popitem(last=False)

    async def _save(self, states: list[tuple[str, Raw, ProjectionEvent]]) -> None:
        """Saves partitions; together where the server can, and then none of them when that fails."""
        if len(states) > 1 and self._saves_many:
            try:
                await self._protocol.save_many(states)
            except IronflowError as fault:
                if fault.status not in NOT_OFFERED or isinstance(fault, ProjectionNotFound):
                    raise
                self._saves_many = False
            else:
                return
        for partition, state, last in states:
            await self._protocol.save(partition, state, last)

    # Failures.

    async def _pause_after(self, fault: IronflowError) -> None:
        """Reports a failure and pauses, longer after each in a row."""
        if isinstance(fault, HandlerFailed) and fault.event is not None:
            event_id, times = self._failing
            self._failing = (fault.event.id, times + 1 if event_id == fault.event.id else 1)
            if self._failing[1] <= self.definition.max_retries:
                logger.warning("projection handler failed", extra={"projection": self.name, "fault": fault.message})
            else:
                logger.error("projection is stuck", extra={"projection": self.name, "fault": fault.message})
                self._report_error(fault)
        else:
            if not self._failures:
                logger.warning("projection starts again", extra={"projection": self.name, "fault": fault.message})
            self._report_error(fault)
        pause_s = min(self._timing.retry * 2.0 ** min(self._failures, 16), self._timing.retry_max)
        self._failures += 1
        await self._pause(pause_s)

    def _report_error(self, fault: IronflowError) -> None:
        if self._on_error is not None:
            self._on_error(fault)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _portions(
    states: Sequence[tuple[str, Raw, ProjectionEvent]],
) -> list[list[tuple[str, Raw, ProjectionEvent]]]:
    """What goes into one request each, so that none is too large for a server."""
    portions: list[list[tuple[str, Raw, ProjectionEvent]]] = []
    size = SAVE_BYTES_MAX
    for each in states:
        size += len(bytes(each[1]))
        if size > SAVE_BYTES_MAX:
            portions.append([])
            size = len(bytes(each[1]))
        portions[-1].append(each)
    return portions


class _ReadAhead:
    """Events that were read ahead of the fold, at most about two batches."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._events: deque[ProjectionEvent] = deque()
        self._space = asyncio.Event()
        # Set when there may be something to do.
        self.ready = asyncio.Event()

    async def put(self, events: list[ProjectionEvent]) -> None:
        self._events.extend(events)
        if events:
            self.ready.set()
        while len(self._events) > 2 * self._batch_size:
            self._space.clear()
            await self._space.wait()

    def __len__(self) -> int:
        return len(self._events)

    def take(self) -> list[ProjectionEvent]:
        """The next batch, empty when nothing has come."""
        batch = [self._events.popleft() for _ in range(min(len(self._events), self._batch_size))]
        self._space.set()
        return batch


async def _with_deadline(
    stream: AsyncIterator[list[ProjectionEvent]], silence_s: float
) -> AsyncIterator[list[ProjectionEvent]]:
    """The events of the stream. Raises DeadlineExceeded when none arrive for `silence_s`."""
    while True:
        try:
            async with asyncio.timeout(silence_s):
                events = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DeadlineExceeded(f"The stream of events sent nothing for {silence_s:g} s.") from None
        yield events
