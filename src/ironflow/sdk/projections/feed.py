"""One feed of a projection: receives events, folds them, saves; after failures again from what is saved.

Source: protocol/projections.md.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from ironflow.base.errors import DeadlineExceeded, IronflowError, NotFound
from ironflow.features.projections.contract import GenerationReplaced, LeaseLost, ProjectionNotFound
from ironflow.sdk.projections.definition import ProjectionDefinition, ProjectionEvent
from ironflow.sdk.projections.fold import HandlerFailed, by_partition, deliver, fold
from ironflow.sdk.projections.protocol import ProjectionAuthError, ProjectionProtocol, StreamingUnsupported
from ironflow.sdk.user_code.call import observe
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.values.upcasting import UpcasterRegistry

logger = SdkLogger("ironflow.projection")

OnError = Callable[[IronflowError], object]


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


class ProjectionFeed:
    """What is fed of a projection: the version that the server feeds, or another one beside it.

    stopping: set when the batch under way is the last one. failures: in a row, for the pause after the next one.
    """

    def __init__(
        self,
        definition: ProjectionDefinition,
        protocol: ProjectionProtocol,
        timing: RunnerTiming,
        stopping: asyncio.Event,
        on_error: OnError | None,
        upcasters: UpcasterRegistry,
        *,
        streaming: bool,
        codec: Codec | None = None,
    ) -> None:
        self.definition = definition
        self._protocol = protocol
        self._timing = timing
        self._stopping = stopping
        self._on_error = on_error
        self._upcasters = upcasters
        self._codec = codec
        self.streaming = streaming
        # States by partition, the least recently used first: saved, or about to be, and forgotten when a save fails.
        self._states: OrderedDict[str, Raw | None] = OrderedDict()
        self._failing: tuple[str, int] = ("", 0)
        self.failures = 0
        self._saves_many = True
        self.events_done = 0

    def beside(self, generation: str) -> "ProjectionFeed":
        """A feed of the version of that name, which readers see while another one is built."""
        return ProjectionFeed(
            self.definition,
            self._protocol.beside(generation),
            self._timing,
            self._stopping,
            self._on_error,
            self._upcasters,
            streaming=self.streaming,
            codec=self._codec,
        )

    async def work(self) -> None:
        """Feeds and saves until stopped; after a failure again from what is saved."""
        while not self._stopping.is_set():
            self.forget()
            try:
                await (self._work_by_stream() if self.streaming else self._work_by_polls())
            except StreamingUnsupported:
                logger.info("projection polls", extra={"projection": self.definition.name})
                self.streaming = False
            except (LeaseLost, GenerationReplaced, NotFound, ProjectionAuthError):
                raise
            except IronflowError as fault:
                await self.pause_after(fault)

    async def _work_by_polls(self) -> None:
        pause_s = self._timing.empty
        while not self._stopping.is_set():
            batch = await self._protocol.poll()
            if batch:
                await self.process(batch)
                pause_s = self._timing.empty
            else:
                await self.pause(pause_s)
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
                    await self.pause(self._timing.empty)
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

    def forget(self) -> None:
        """The next batch begins with what is saved."""
        self._states.clear()

    # One batch.

    async def process(self, batch: list[ProjectionEvent]) -> None:
        """Folds a batch and saves it. Raises HandlerFailed after saving what could be folded, or why a save failed."""
        await self._save_batch(await self._fold(batch))

    async def _fold(self, batch: list[ProjectionEvent]) -> _Folded:
        """What the handler makes of a batch. Later ones are folded onto it, whether it is saved by then or not."""
        if self.definition.mode == "external":
            done = await deliver(self.definition, batch, self._upcasters, self._codec)
            return _Folded(len(batch), done.failure, last=done.last)
        by_name = by_partition(batch)
        await self._load(list(by_name))
        failure: HandlerFailed | None = None
        states: list[tuple[str, Raw, ProjectionEvent]] = []
        for partition, events in by_name.items():
            folded = await fold(self.definition, self._states[partition], events, self._upcasters, self._codec)
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
        self.failures = 0
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

    async def pause_after(self, fault: IronflowError) -> None:
        """Reports a failure and pauses, longer after each in a row."""
        await self.pause(await self.pause_s_after(fault))

    async def pause_s_after(self, fault: IronflowError) -> float:
        """Reports a failure. Returns the seconds after which it is tried again, more after each in a row."""
        if isinstance(fault, HandlerFailed) and fault.event is not None:
            event_id, times = self._failing
            self._failing = (fault.event.id, times + 1 if event_id == fault.event.id else 1)
            if self._failing[1] <= self.definition.max_retries:
                logger.warning(
                    "projection handler failed", extra={"projection": self.definition.name, "fault": fault.message}
                )
            else:
                logger.error("projection is stuck", extra={"projection": self.definition.name, "fault": fault.message})
                await self._report_error(fault)
        else:
            if not self.failures:
                logger.warning(
                    "projection starts again", extra={"projection": self.definition.name, "fault": fault.message}
                )
            await self._report_error(fault)
        pause_s = min(self._timing.retry * 2.0 ** min(self.failures, 16), self._timing.retry_max)
        self.failures += 1
        return pause_s

    @property
    def is_stuck(self) -> bool:
        """Whether the handler has failed at one event more often than the projection's max_retries."""
        return self._failing[1] > self.definition.max_retries

    async def _report_error(self, fault: IronflowError) -> None:
        if self._on_error is not None:
            await observe(self._on_error, fault)

    async def pause(self, seconds: float) -> None:
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
