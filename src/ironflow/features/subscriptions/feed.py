"""Feeds: where events come from, live and again. One for the log, one for the system's own events.

A subscription is either live in its feed, and given each event as it comes, or behind, and reads pages of what came
before. It goes over from one to the other without a gap or a repetition: it joins at the feed's position, and reads
what lies between its own and that.
"""

import asyncio
from typing import NamedTuple, Protocol

from ironflow.base.pattern_index import PatternIndex
from ironflow.features.subscriptions.contract import InvalidSubscription
from ironflow.features.subscriptions.entry import Entry, entry_of
from ironflow.features.subscriptions.subscription import PAGE, PAGE_BYTES, Subscription
from ironflow.log.read import head
from ironflow.log.record import EVERYWHERE, Record
from ironflow.log.search import Wanted, backward, forward
from ironflow.log.tail import Tail, fitting
from ironflow.log.topics import TopicPattern
from ironflow.storage.port import Database, Tx

# How far back a replay looks for events that fit.
REPLAY_LOOK_MAX = 1_000_000


class Page(NamedTuple):
    """Events that fit, in order. reached: the sequence up to which was looked."""

    entries: list[Entry]
    reached: int


class Feed(Protocol):
    """position: sequence of the last event given to live subscriptions."""

    @property
    def position(self) -> int: ...

    async def start(self, subscription: Subscription) -> int:
        """Counts the subscription among those that the feed works for; the sequence of the last event there is now.

        `position` is true from then on. It may be less: what happened a moment ago is yet to be given to live ones.
        """
        ...

    def stop(self, subscription: Subscription) -> None: ...

    async def check_sequence(self, sequence: int) -> None:
        """Raises InvalidSubscription for one that was never given, SequenceNotKept where what followed is gone."""
        ...

    def join(self, subscription: Subscription) -> None:
        """From now on the subscription is live."""
        ...

    def part(self, subscription: Subscription) -> None:
        """The subscription is not live any more."""
        ...

    async def page(self, subscription: Subscription, after: int, until: int | None) -> Page: ...

    async def before_last(self, subscription: Subscription, count: int, end: int) -> int:
        """The sequence after which, up to `end`, there are `count` events that fit, or as many as there are."""
        ...


class LogFeed:
    """What is in the log: users' events, published messages, entities' events."""

    def __init__(self, db: Database, tail: Tail) -> None:
        self._db = db
        self._tail = tail
        self._started: set[Subscription] = set()
        self._joining = asyncio.Lock()
        self._joined = False
        self._page = PAGE
        # (environment, kind) -> live subscriptions by pattern.
        self._live: dict[tuple[str, str], PatternIndex[Subscription]] = {}

    @property
    def position(self) -> int:
        return self._tail.position

    async def start(self, subscription: Subscription) -> int:
        self._started.add(subscription)
        async with self._joining:
            if not self._joined:
                await self._tail.join(self._heard)
                self._joined = True
        return await self._db.peek(head)

    def stop(self, subscription: Subscription) -> None:
        self._started.discard(subscription)
        if self._joined and not self._started:
            self._tail.leave(self._heard)
            self._joined = False

    def join(self, subscription: Subscription) -> None:
        place = (subscription.environment, subscription.pattern.kind)
        self._live.setdefault(place, PatternIndex()).add(subscription.pattern.words, subscription)

    def part(self, subscription: Subscription) -> None:
        place = (subscription.environment, subscription.pattern.kind)
        self._live[place].remove(subscription.pattern.words, subscription)

    def _heard(self, records: list[Record]) -> None:
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

    async def page(self, subscription: Subscription, after: int, until: int | None) -> Page:
        wanted = _wanted(subscription)
        limit = self._page
        found = await self._db.read(lambda tx: forward(tx, wanted, after, limit, until))
        if found.records:
            self._page = fitting(found.records, PAGE, PAGE_BYTES)
        entries = [entry for record in found.records if (entry := subscription.entry_for(record)) is not None]
        return Page(entries, found.reached)

    async def before_last(self, subscription: Subscription, count: int, end: int) -> int:
        wanted = _wanted(subscription)

        def look(tx: Tx, before: int) -> tuple[list[int], int]:
            found = backward(tx, wanted, before, PAGE)
            fitting = [each for each in found.records if subscription.entry_for(each) is not None]
            return [each.position for each in fitting], found.reached

        before = end + 1
        oldest = before - REPLAY_LOOK_MAX
        start = before - 1
        while count > 0 and before > max(oldest, 1):
            at = before
            positions, reached = await self._db.read(lambda tx, at=at: look(tx, at))
            if positions[:count]:
                start = positions[:count][-1] - 1
            count -= len(positions)
            before = reached + 1
        return start


def _wanted(subscription: Subscription) -> Wanted:
    pattern: TopicPattern = subscription.pattern
    # Names that fit begin with what the first and last of them have in common.
    prefix = pattern.first if pattern.kind != "entity" else ""
    namespace = "" if pattern.kind in EVERYWHERE else subscription.namespace
    wanted = Wanted(subscription.environment, pattern.kind, namespace, pattern.name or "", prefix)
    if pattern.kind == "entity":
        words = pattern.words.split(".")
        of_type = words[0] if len(words) > 1 and not _is_wild(words[0]) else ""
        # An id may have dots in it: only a pattern of exactly type, id and the rest surely names it.
        of_id = words[1] if of_type and len(words) == 3 and not _is_wild(words[1]) and words[2] == ">" else ""
        return wanted._replace(entity_type=of_type, entity_id=of_id)
    return wanted


def _is_wild(word: str) -> bool:
    return "*" in word or word == ">"
