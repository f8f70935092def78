"""One subscription: its queue while it is live, its place in the log while it is behind."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from ironflow.base.errors import IronflowError
from ironflow.features.subscriptions import rules
from ironflow.features.subscriptions.contract import Backpressure, SlowConsumer
from ironflow.features.subscriptions.entry import Entry, entry_of
from ironflow.features.subscriptions.feed import PAGE, Feed
from ironflow.log.filters import EventFilter
from ironflow.log.record import Record
from ironflow.log.topics import TopicPattern

# What a subscriber may be behind with before it counts as slow.
QUEUE_EVENTS_MAX = 1_000
QUEUE_BYTES_MAX = 8 * 1024 * 1024
TAKE_MAX = 64


@dataclass(slots=True)
class Tally:
    """Of all subscriptions: how many there are, and events passed over because subscribers were slow, in all."""

    open: int = 0
    dropped: int = 0


class Subscription:
    """The pattern and options of one subscriber, and the events queued for it.

    positioned: it asked to go on after a sequence. wake: called when there is something to take; it must not wait.
    dropped: events passed over because the subscriber was slow.
    """

    __slots__ = (
        "_begun",
        "_chosen",
        "_closed",
        "_ended",
        "_feed",
        "_live",
        "_mode",
        "_position",
        "_positioned",
        "_queue",
        "_queued_bytes",
        "_tally",
        "_wake",
        "began_after",
        "dropped",
        "environment",
        "id",
        "namespace",
        "pattern",
    )

    def __init__(
        self,
        *,
        id: str,
        environment: str,
        pattern: TopicPattern,
        namespace: str,
        chosen: EventFilter | None,
        mode: Backpressure | None,
        positioned: bool,
        feed: Feed,
        tally: Tally,
        wake: Callable[["Subscription"], None],
    ) -> None:
        self.id = id
        self.environment = environment
        self.pattern = pattern
        self.namespace = namespace
        self.dropped = 0
        # What its first event follows.
        self.began_after = 0
        self._chosen = chosen
        self._mode = mode
        self._positioned = positioned
        self._feed = feed
        self._tally = tally
        self._wake = wake
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        # Where it goes on when it is behind; the last sequence queued while it is live.
        self._position = 0
        self._live = False
        self._ended: IronflowError | None = None
        self._begun = self._closed = False

    async def begin(self, replay: int, after: int | None) -> None:
        """Takes its place: `after` a sequence, or before the last `replay` events, or at the end."""
        self._tally.open += 1
        self._begun = True
        end = await self._feed.start(self)
        if self._closed:
            # It was closed meanwhile.
            self._feed.stop(self)
            return
        self._position = end
        if after is not None:
            await self._feed.check_sequence(after)
            self._position = after
        elif replay:
            self._position = await self._feed.before_last(self, replay, end)
        self.began_after = self._position
        if self._position >= self._feed.position:
            self._join()
        self._wake(self)

    def offer(self, entry: Entry) -> None:
        """A live event whose topic fits; what there is no capacity for meets the subscription's backpressure."""
        if entry.sequence <= self._position or not self.accepts(entry):
            return
        queue = self._queue
        # An empty queue takes every event: one may be larger than the whole queue.
        if not queue or (len(queue) < QUEUE_EVENTS_MAX and self._queued_bytes + entry.size_bytes <= QUEUE_BYTES_MAX):
            queue.append(entry)
            self._queued_bytes += entry.size_bytes
            self._position = entry.sequence
            if len(queue) == 1:
                self._wake(self)
            return
        overflow = rules.decide_overflow(self._mode, self._positioned)
        match overflow:
            case "drop":
                self.dropped += 1
                self._tally.dropped += 1
                self._position = entry.sequence
            case "fall_behind":
                self._part()
            case "end":
                self._part()
                self._ended = SlowConsumer()
            case _:
                assert_never(overflow)

    def accepts(self, entry: Entry) -> bool:
        """Whether an event whose topic matches also passes the namespace and the filter."""
        if entry.namespace is not None and entry.namespace != self.namespace:
            return False
        return self._chosen is None or entry.passes(self._chosen)

    def entry_for(self, record: Record) -> Entry | None:
        """The record as this subscription receives it; None when it does not match."""
        if not self.pattern.fits(record):
            return None
        entry = entry_of(record)
        return entry if entry is not None and self.accepts(entry) else None

    @property
    def ready(self) -> bool:
        """Whether `take` has something to do."""
        return bool(self._queue) or (not self._live and not self._closed)

    def take_queued(self) -> list[Entry]:
        """The entries in the queue, up to TAKE_MAX; none when `take` would wait or raise."""
        if len(self._queue) <= TAKE_MAX:
            taken = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            return taken
        taken = [self._queue.popleft() for _ in range(TAKE_MAX)]
        self._queued_bytes -= sum(entry.size_bytes for entry in taken)
        return taken

    async def take(self) -> list[Entry]:
        """What there is now, in order: from the queue, or read from the log while it is behind; may be nothing.

        Raises SlowConsumer after what was queued, and what reading raises; reading can be tried again.
        """
        if self._queue:
            return self.take_queued()
        if self._ended is not None:
            raise self._ended
        if self._live or self._closed:
            return []
        return await self._catch_up()

    def close(self) -> None:
        """Drops everything; no more events are delivered."""
        if self._closed:
            return
        self._closed = True
        self._part()
        self._queue.clear()
        if self._begun:
            self._feed.stop(self)
            self._tally.open -= 1

    @property
    def closed(self) -> bool:
        return self._closed

    async def _catch_up(self) -> list[Entry]:
        after, end = self._position, self._feed.position
        # One page from the end it joins the live ones.
        if end - after > PAGE:
            page = await self._feed.page(self, after, None)
            if not self._closed:
                self._position = page.reached
            return page.entries
        # From here on what is new goes into the queue; what lies between is read once. It may be ahead of those that
        # are live: it has read what they are about to be given.
        self._join()
        self._position = max(after, end)
        between: list[Entry] = []
        reached = after
        try:
            while reached < end:
                page = await self._feed.page(self, reached, end)
                between += page.entries
                reached = page.reached
        except BaseException:
            self._part()
            self._queue.clear()
            self._queued_bytes = 0
            self._position = after
            raise
        return between or self.take_queued()

    def _join(self) -> None:
        if not self._live and not self._closed:
            self._live = True
            self._feed.join(self)

    def _part(self) -> None:
        if self._live:
            self._live = False
            self._feed.part(self)
