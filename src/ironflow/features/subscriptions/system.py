"""The system's own events: what features publish after their commits, kept in memory for a while.

Nothing is written out before a subscription is live or replays; until then a save of many runs costs one list entry.
Sequences count on from the microsecond of the start, so those of an earlier start are smaller and can be recognized.
Why in memory: docs/internals/decisions/0021-system-events-live-in-memory.md.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from ironflow.base.notice import Notice, Notices
from ironflow.base.pattern_index import PatternIndex
from ironflow.base.time import Millis
from ironflow.features.subscriptions.contract import SequenceNotKept
from ironflow.features.subscriptions.entry import Entry
from ironflow.features.subscriptions.feed import PAGE, Page, Subscriber
from ironflow.log.record import Record

# What the kept events may take of memory, whatever their number.
KEPT_BYTES_MAX = 16 * 1024 * 1024


@dataclass(slots=True)
class _Kept:
    """What one commit published. entries: None until it is written out."""

    notices: Notices
    weight: int
    size_bytes: int
    entries: list[Entry] | None = None


class Nodes(Protocol):
    """The other nodes, as this feed reaches them. Source: relay.py."""

    async def begin(self) -> None:
        """The first subscription of this node begins: the other nodes are asked for their events."""
        ...

    def published(self, notices: Notices) -> None:
        """Called with everything that this node publishes."""
        ...

    async def close(self) -> None: ...


class SystemFeed:
    """A `Feed` of the system's events. kept_max: about how many are kept for those who look back."""

    def __init__(self, kept_max: int, started_at: Millis) -> None:
        self._kept_max = kept_max
        self._kept: deque[_Kept] = deque()
        self._weight = self._size_bytes = 0
        # How many of the oldest in `_kept` have been written out.
        self._written = 0
        self._last = started_at * 1000
        # Sequence of the last event that is not kept any more.
        self._forgotten = self._last
        # Environment -> live subscriptions by pattern; and all of them.
        self._live: dict[str, PatternIndex[Subscriber]] = {}
        self._count = 0
        self._due = False
        self._started: set[Subscriber] = set()
        # None where there is one node.
        self.nodes: Nodes | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is a subscription here."""
        return bool(self._started)

    def receive(self, notices: Notices) -> None:
        """Called on the event loop with what was published here, after its commit."""
        if not notices.weight:
            return
        self._keep(notices)
        if self.nodes is not None:
            self.nodes.published(notices)

    def receive_remote(self, notice: Notice) -> None:
        """Keeps what another node published."""
        self._keep(notice)

    def _keep(self, notices: Notices) -> None:
        """Does next to nothing: the answer of the commit waits for this."""
        kept = _Kept(notices, notices.weight, notices.size_bytes)
        self._kept.append(kept)
        self._weight += kept.weight
        self._size_bytes += kept.size_bytes
        if not self._count:
            self._forget_old()
        elif not self._due:
            # Soon, not now: a commit is answered first, and what it published is handed out together.
            self._due = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._due = False
        self._write_out()
        self._forget_old()

    def _forget_old(self) -> None:
        while self._weight > self._kept_max or self._size_bytes > KEPT_BYTES_MAX:
            oldest = self._kept.popleft()
            self._weight -= oldest.weight
            self._size_bytes -= oldest.size_bytes
            if oldest.entries is None:
                # Its number was never given out; one is used up, so that a replay detects the gap.
                self._last += 1
                self._forgotten = self._last
                continue
            self._written -= 1
            if oldest.entries:
                self._forgotten = oldest.entries[-1].sequence

    def _write_out(self) -> None:
        """Gives everything published so far its number, and hands it to the live subscriptions."""
        while self._written < len(self._kept):
            kept = self._kept[self._written]
            self._written += 1
            kept.entries = [self._entry(notice) for notice in kept.notices.notices()]
            for entry in kept.entries:
                index = self._live.get(entry.record.environment)
                if index is not None:
                    for subscription in index.find(entry.parts):
                        subscription.offer(entry)

    def _entry(self, notice: Notice) -> Entry:
        self._last += 1
        record = Record(
            id=f"sys_{self._last}",
            environment=notice.environment,
            kind="system",
            name=".".join(notice.parts),
            data=notice.data,
            created_at=notice.at,
            source="ironflow",
        )
        return Entry(record, self._last, f"system.{record.name}", notice.parts, notice.data)

    async def close(self) -> None:
        """Stops what goes on between nodes."""
        if self.nodes is not None:
            await self.nodes.close()

    # The feed

    @property
    def position(self) -> int:
        return self._last

    async def start(self, subscription: Subscriber) -> int:
        first = not self._started
        self._started.add(subscription)
        if first and self.nodes is not None:
            await self.nodes.begin()
        # What was published before is not for a subscription that starts now.
        self._write_out()
        return self._last

    def stop(self, subscription: Subscriber) -> None:
        self._started.discard(subscription)

    def join(self, subscription: Subscriber) -> None:
        self._live.setdefault(subscription.environment, PatternIndex()).add(subscription.pattern.tokens, subscription)
        self._count += 1

    def part(self, subscription: Subscriber) -> None:
        self._live[subscription.environment].remove(subscription.pattern.tokens, subscription)
        self._count -= 1

    async def check_sequence(self, sequence: int) -> None:
        # Another server's are outside of ours on one side or the other: they count from the moment of its start.
        if 0 < sequence < self._forgotten or sequence > self._last:
            raise SequenceNotKept(
                f"What followed {sequence} is not kept here: each server keeps the system's events for a while, in "
                f"memory, those from {self._forgotten + 1} to {self._last} now. Subscribe with startAfterSequence 0 "
                "for all of them, or without."
            )

    async def page(self, subscription: Subscriber, after: int, until: int | None) -> Page:
        self._write_out()
        if 0 < after < self._forgotten:
            raise SequenceNotKept
        last = self._last if until is None else until
        found = [entry for entry in self._fitting(subscription) if after < entry.sequence <= last]
        if len(found) > PAGE:
            return Page(found[:PAGE], found[PAGE - 1].sequence)
        return Page(found, last)

    async def before_last(self, subscription: Subscriber, count: int, end: int) -> int:
        found = [entry for entry in self._fitting(subscription) if entry.sequence <= end][-count:]
        return found[0].sequence - 1 if found else end

    def _fitting(self, subscription: Subscriber) -> list[Entry]:
        """The kept events that the subscription accepts, in order."""
        pattern: PatternIndex[bool] = PatternIndex()
        pattern.add(subscription.pattern.tokens, target=True)
        return [
            entry
            for kept in self._kept
            for entry in kept.entries or ()
            if entry.record.environment == subscription.environment
            and pattern.find(entry.parts)
            and subscription.accepts(entry)
        ]
