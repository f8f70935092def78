"""The feed of the log: users' events, published messages, entities' events."""

import asyncio
from collections import Counter

from ironflow.base.pattern_index import PatternIndex
from ironflow.features.subscriptions.contract import InvalidSubscription
from ironflow.features.subscriptions.entry import entry_of
from ironflow.features.subscriptions.feed import PAGE, PAGE_BYTES, Page, Subscriber
from ironflow.log.follower import Follower
from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.log.scan import Filter, scan_back, topic_filter
from ironflow.log.tail import Tail
from ironflow.storage.port import Database, Tx

# How far back a replay looks for events that fit.
REPLAY_LOOK_MAX = 1_000_000
# Positions in one read.
LOOK = 20_000


class LogFeed:
    """A `Feed` of the log."""

    def __init__(self, db: Database, tail: Tail) -> None:
        self._db = db
        self._tail = tail
        self._started: set[Subscriber] = set()
        self._joining = asyncio.Lock()
        self._joined = False
        # (environment, kind) -> live subscriptions by pattern.
        self._live: dict[tuple[str, str], PatternIndex[Subscriber]] = {}

    @property
    def position(self) -> int:
        return self._tail.position

    async def start(self, subscription: Subscriber) -> int:
        self._started.add(subscription)
        async with self._joining:
            if not self._joined:
                await self._tail.add(self._publish)
                self._joined = True
        return await self._db.peek(head)

    def stop(self, subscription: Subscriber) -> None:
        self._started.discard(subscription)
        if self._joined and not self._started:
            self._tail.remove(self._publish)
            self._joined = False

    def topic_subscribers(self) -> Counter[tuple[str, str]]:
        """How many subscriptions to topics there are here, by environment and pattern. Any thread may ask."""
        # Copied in one step of the interpreter: the event loop may change the set meanwhile.
        started = tuple(self._started)
        return Counter(
            (each.environment, f"topic:{each.pattern.tokens}") for each in started if each.pattern.kind == "topic"
        )

    def join(self, subscription: Subscriber) -> None:
        place = (subscription.environment, subscription.pattern.kind)
        self._live.setdefault(place, PatternIndex()).add(subscription.pattern.tokens, subscription)

    def part(self, subscription: Subscriber) -> None:
        place = (subscription.environment, subscription.pattern.kind)
        self._live[place].remove(subscription.pattern.tokens, subscription)

    def _publish(self, records: list[Record]) -> None:
        for record in records:
            index = self._live.get((record.environment, record.kind))
            if index is None:
                continue
            entry = entry_of(record)
            if entry is not None:
                for subscription in index.find(entry.parts):
                    subscription.offer(entry)

    async def check_sequence(self, sequence: int) -> None:
        last = await self._db.peek(head)
        if sequence > last:
            raise InvalidSubscription(f"startAfterSequence is {sequence}, but the log ends at {last}.")

    async def page(self, subscription: Subscriber, after: int, until: int | None) -> Page:
        follower = Follower(_filter(subscription), after, batch_max=PAGE, bytes_max=PAGE_BYTES, until=until, look=LOOK)
        found = await self._db.read(follower.read)
        entries = [entry for record in found.items if (entry := subscription.entry_for(record)) is not None]
        return Page(entries, found.reached)

    async def before_last(self, subscription: Subscriber, count: int, end: int) -> int:
        wanted = _filter(subscription)
        oldest = max(end - REPLAY_LOOK_MAX, 0)

        def look(tx: Tx, until: int) -> tuple[list[int], int]:
            page = scan_back(tx, wanted, oldest, until, PAGE, LOOK)
            matching = [each for each in page.items if subscription.entry_for(each) is not None]
            return [each.position for each in matching], page.reached

        start = until = end
        while count > 0 and until > oldest:
            positions, reached = await self._db.read(lambda tx, until=until: look(tx, until))
            if positions[:count]:
                start = positions[:count][-1] - 1
            count -= len(positions)
            until = reached - 1
        return start


def _filter(subscription: Subscriber) -> Filter:
    return topic_filter(subscription.environment, subscription.pattern, subscription.namespace)
