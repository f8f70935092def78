"""What happens: runners are fed, by polls and by streams.

A stream sends from the saved cursor on and follows the log. It ends whenever its runner has to start again from what
is saved: a refused or a late save, another version of the projection, a cursor that another runner moved.
Source: protocol/projections.md 2 and 3.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import to_json
from ironflow.base.time import Clock, Millis
from ironflow.features.projections import contract, feeding, rules, saving, store
from ironflow.features.projections.contract import EventKind, ProjectionEvent
from ironflow.features.projections.feeding import Fed, Next
from ironflow.features.projections.rules import Feed, Held, ProjectionRow, RebuildRow
from ironflow.features.projections.saving import TOPIC, notify_key
from ironflow.features.projections.service import REFUSALS, held_of, writer_key
from ironflow.log.append import place_of
from ironflow.log.scan import Filter
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

POLL_HOLD_S = 1.0
HEARTBEAT_MS = 15_000
# Events sent and not saved after this long are sent again, where no lease proves that the runner is alive.
SAVE_LATE_MS = 30_000
# Batches that are sent ahead of their saves, and the size of their data.
AHEAD_BATCHES, AHEAD_BYTES = 10, 16 * 1024 * 1024
# Events read at a time.
READ_MAX = 500
# Notifications come at once; a lost one costs this much.
LOOK_AGAIN_S = 1.0
# After a look that found nothing the next notification is answered this much later, together with those that follow it.
GATHER_S = 0.002


@dataclass(eq=False, slots=True)
class _Stream:
    """An open stream. sent: up to there events were sent or looked at; ahead: (position, bytes) sent and not saved."""

    id: str
    key: str
    writer: str
    environment: str
    name: str
    held: Held | None
    partition: str | None
    batch: int
    # As in `Poll`.
    named: str = ""
    generation: str = ""
    opened_at_cursor: int = 0
    sent: int = 0
    ahead: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    ahead_bytes: int = 0
    # When the cursor moved last, or the first event was sent after all were saved.
    moved_at: Millis = 0
    written_at: Millis = 0
    implicit_lease_until: Millis = 0
    delivered: bool = False
    refused: bool = False
    full: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    # Of the projection, as it was looked at last.
    filter: Filter | None = None

    def follows(self, key: str) -> bool:
        """Whether an event with this notification key may be of the projection; an empty key stands for any."""
        if not key or self.filter is None:
            return True
        environment, name = place_of(key)
        return environment == self.environment and (not self.filter.names or self.filter.matches_name(name))

    def saved(self, cursor: int, now: Millis) -> None:
        """Drops what is saved from what is ahead."""
        moved = False
        while self.ahead and self.ahead[0][0] <= cursor:
            self.ahead_bytes -= self.ahead.popleft()[1]
            moved = True
        if moved or not self.ahead:
            self.moved_at = now

    @property
    def active(self) -> bool:
        """Whether it feeds its runner; another stream's runner may be the one that is fed."""
        return self.held is not None or bool(self.implicit_lease_until)

    def capacity(self) -> int:
        """How many events may be sent now. Once full it is half empty before there is capacity, so reads are large."""
        events_max = AHEAD_BATCHES * self.batch
        parts = 2 if self.full else 1
        self.full = len(self.ahead) >= events_max // parts or self.ahead_bytes >= AHEAD_BYTES // parts
        return 0 if self.full else min(events_max - len(self.ahead), READ_MAX)


class Feeder:
    """Polls and streams of projection runners. node: the incarnation of this process, which its streams end with."""

    def __init__(self, db: Database, notifier: Notifier, clock: Clock, ids: Ids, node: str) -> None:
        self._db = db
        self._notifier = notifier
        self._clock = clock
        self._ids = ids
        self._node = node
        self._streams: set[_Stream] = set()
        # (environment, name) -> (generation, first position of the last delivery): one delivered again was not saved.
        self._first: dict[tuple[str, str], tuple[str, int]] = {}
        # The same -> (patterns, from, to): between those positions the log has no event of the projection.
        self._known_gaps: dict[tuple[str, str], tuple[tuple[str, ...], int, int]] = {}
        notifier.listen("log", self._wake_all)
        notifier.listen(TOPIC, self._wake)
        notifier.listen(REFUSALS, self._refuse)

    async def take_over(self, node: str, now: Millis) -> None:
        """Another stream feeds its runner at once where a stream did that ended with an incarnation of a node."""

        def change(tx: Tx) -> None:
            if store.drop_implicit_leases(tx, node):
                tx.notify(TOPIC)

        await self._db.write(change)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.poll: self.poll, contract.follow: self.follow}

    def waiting(self) -> int:
        return len(self._streams)

    # Polls.

    async def poll(self, call: Call, request: contract.Poll) -> contract.Polled:
        deadline = asyncio.get_running_loop().time() + POLL_HOLD_S
        with self._notifier.waiter("log") as waiter:
            while True:
                polled = await self._poll_once(call, request)
                left = deadline - asyncio.get_running_loop().time()
                if polled.events or left <= 0:
                    return polled
                await waiter.wait(left)
                await asyncio.sleep(GATHER_S)

    async def _poll_once(self, call: Call, request: contract.Poll) -> contract.Polled:
        held = held_of(request.lease)
        now = self._clock.now()
        limit = rules.batch_of(request.batch_size)

        def look(tx: Tx) -> tuple[ProjectionRow, RebuildRow | None, Next, contract.Polled]:
            projection, rebuild = saving.load_with_rebuild(tx, call.environment, request.name)
            feed = rules.feed_named(projection, rebuild, request.generation)
            if held is not None:
                rules.check_lease(projection, held, now)
            start = self._start(projection, feed.cursor)
            found = Next([], start, start, start)
            if rules.is_fed(projection, held, "", now, beside=bool(request.generation)):
                found = feeding.next_events(tx, projection, feed, start, limit, partition=request.partition or None)
            state = store.newest_state(tx, feed.generation, contract.GLOBAL)
            return (
                projection,
                rebuild,
                found,
                contract.Polled(
                    events=[feeding.event_message(each) for each in found.events],
                    current_state=to_json(state.state) if state else None,
                    last_event_seq=feed.cursor,
                ),
            )

        projection, rebuild, found, polled = await self._db.read(look)
        self._note_gap(projection, polled.last_event_seq, found)
        if request.generation:
            return polled
        if found.events and not await self._may_send(projection, rebuild, found.events, held, first=True):
            return contract.Polled(events=[], current_state=polled.current_state, last_event_seq=polled.last_event_seq)
        return polled

    # Streams.

    async def follow(
        self, call: Call, request: contract.Follow
    ) -> AsyncGenerator[ProjectionEvent | list[ProjectionEvent], None]:
        held = held_of(request.lease)
        stream = _Stream(
            id=f"{self._node}/{self._ids.new('stream')}",
            key=notify_key(call.environment, request.name),
            writer=writer_key(call.environment, request.name, held),
            environment=call.environment,
            name=request.name,
            held=held,
            partition=request.partition or None,
            batch=rules.batch_of(request.batch_size),
            named=request.generation,
            written_at=self._clock.now(),
        )
        projection, feed = await self._look(stream)
        rules.check_stream(projection, held)
        stream.generation, stream.sent, stream.opened_at_cursor = feed.generation, feed.cursor, feed.cursor
        self._streams.add(stream)
        try:
            # It has begun: the answer's head is sent.
            yield []
            async for answer in self._feed(stream, request.accept_heartbeats):
                yield answer
        finally:
            self._streams.discard(stream)
            if stream.implicit_lease_until:
                with suppress(IronflowError):
                    await self._db.write(lambda tx: _release_implicit_lease(tx, stream))

    async def _feed(
        self, stream: _Stream, heartbeats: bool
    ) -> AsyncGenerator[ProjectionEvent | list[ProjectionEvent], None]:
        while True:
            stream.woken.clear()
            projection, feed = await self._look(stream)
            now = self._clock.now()
            if self._is_over(stream, feed, now):
                return
            found = await self._next(stream, projection, feed, now)
            if found is None:
                return
            if found.events:
                stream.written_at = now
                yield [feeding.event_message(fed) for fed in found.events]
            if now - stream.written_at >= HEARTBEAT_MS:
                stream.written_at = now
                if heartbeats:
                    yield ProjectionEvent(kind=EventKind.HEARTBEAT)
            if found.events or found.more:
                continue
            await _woken(stream, LOOK_AGAIN_S)

    def _is_over(self, stream: _Stream, feed: Feed, now: Millis) -> bool:
        """Whether the runner has to start again from what is saved."""
        stream.saved(feed.cursor, now)
        if stream.refused or feed.generation != stream.generation or (stream.active and feed.cursor > stream.sent):
            return True
        return bool(stream.ahead) and stream.held is None and now - stream.moved_at >= SAVE_LATE_MS

    async def _look(self, stream: _Stream) -> tuple[ProjectionRow, Feed]:
        """Raises ProjectionNotFound, LeaseLost, GenerationReplaced."""
        projection, rebuild = await self._db.peek(
            lambda tx: saving.load_with_rebuild(tx, stream.environment, stream.name)
        )
        if stream.held is not None:
            rules.check_lease(projection, stream.held, self._clock.now())
        stream.filter = feeding.filter_of(projection)
        return projection, rules.feed_named(projection, rebuild, stream.named)

    async def _next(self, stream: _Stream, projection: ProjectionRow, feed: Feed, now: Millis) -> Next | None:
        """What is sent next, perhaps nothing now; None when the stream is over."""
        nothing = Next([], stream.sent, stream.sent, stream.sent)
        if stream.held is None and now >= stream.implicit_lease_until - rules.IMPLICIT_LEASE_MS // 2:
            waited = not stream.implicit_lease_until
            cursor = await self._db.write(lambda tx: _take_implicit_lease(tx, stream, now))
            stream.implicit_lease_until = 0 if cursor is None else now + rules.IMPLICIT_LEASE_MS
            if cursor is None:
                return nothing
            if waited and cursor != stream.opened_at_cursor:
                # Another stream's runner saved meanwhile: this one's state is old.
                return None
        capacity = stream.capacity()
        if not capacity or not rules.is_fed(projection, stream.held, stream.id, now, beside=bool(stream.named)):
            return nothing
        start = self._start(projection, stream.sent)

        def read(tx: Tx) -> tuple[ProjectionRow, RebuildRow | None, Next]:
            current, rebuild = saving.load_with_rebuild(tx, stream.environment, stream.name)
            fed = rules.feed_named(current, rebuild, stream.named)
            if fed.generation != stream.generation:
                return current, rebuild, nothing
            return (
                current,
                rebuild,
                feeding.next_events(tx, current, fed, start, capacity, partition=stream.partition),
            )

        current, rebuild, found = await self._db.read(read)
        if not stream.ahead:
            self._note_gap(current, start, found)
        if found.events:
            may_send = bool(stream.named) or await self._may_send(
                current, rebuild, found.events, stream.held, first=not stream.delivered
            )
            if not may_send:
                return nothing
            stream.delivered = True
            if not stream.ahead:
                stream.moved_at = now
            sizes = [(each.record.position, len(each.record.data)) for each in found.events]
            stream.ahead.extend(sizes)
            stream.ahead_bytes += sum(size for _, size in sizes)
        stream.sent = max(stream.sent, found.searched)
        return found

    # What both keep in mind.

    async def _may_send(
        self,
        projection: ProjectionRow,
        rebuild: RebuildRow | None,
        events: list[Fed],
        held: Held | None,
        *,
        first: bool,
    ) -> bool:
        """Notes what is about to be sent; False when it is not to be sent now.

        first: whether the runner starts from the cursor with these events, so that the first one may be a repetition.
        """
        place = (projection.environment, projection.name)
        generation = rules.feed_of(projection, rebuild).generation
        again = False
        if first:
            delivery = (generation, events[0].record.position)
            again = self._first.get(place) == delivery or projection.tries_position == delivery[1]
            self._first[place] = delivery
        watched = (
            held is None and projection.sent_up_to is not None and projection.sent_up_to < events[-1].record.position
        )
        if not again and not watched:
            return True
        now = self._clock.now()

        def note(tx: Tx) -> bool:
            current, building = saving.load_with_rebuild(tx, *place, to_write=True)
            if rules.feed_of(current, building).generation != generation:
                return False
            if again:
                record = events[0].record
                current = rules.decide_delivery(current, record.position, f"{record.id} ({record.name})", now)
            if held is None and current.sent_up_to is not None:
                current = rules.sent(current, events[-1].record.position)
            store.save(tx, current)
            return True

        return await self._db.write(note)

    def _start(self, projection: ProjectionRow, position: int) -> int:
        """Where to begin a search for what comes after `position`: later where the log has nothing in between."""
        patterns, low, high = self._known_gaps.get((projection.environment, projection.name), ((), 0, 0))
        return high if patterns == projection.events and low <= position <= high else position

    def _note_gap(self, projection: ProjectionRow, start: int, found: Next) -> None:
        """Remembers that the log has nothing of the projection between `start` and where the search met something."""
        place = (projection.environment, projection.name)
        patterns, low, high = self._known_gaps.get(place, ((), 0, 0))
        if patterns == projection.events and low <= start <= high:
            start = low
        if found.gap_end > start and not projection.rebuild_id:
            self._known_gaps[place] = (projection.events, start, found.gap_end)

    # Notifications.

    def _wake_all(self, keys: set[str]) -> None:
        """Saves the reads of streams whose projections follow none of these events."""
        for stream in self._streams:
            if any(map(stream.follows, keys)):
                stream.woken.set()

    def _wake(self, keys: set[str]) -> None:
        for stream in self._streams:
            if stream.key in keys or "" in keys:
                stream.woken.set()

    def _refuse(self, keys: set[str]) -> None:
        for stream in self._streams:
            if stream.writer in keys:
                stream.refused = True
                stream.woken.set()


async def _woken(stream: _Stream, timeout_s: float) -> None:
    await asyncio.sleep(GATHER_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await stream.woken.wait()


def _take_implicit_lease(tx: Tx, stream: _Stream, now: Millis) -> int | None:
    """The cursor of the projection once the stream has the implicit lease; None while another runner has a lease."""
    projection, rebuild = saving.load_with_rebuild(tx, stream.environment, stream.name, to_write=True)
    after = rules.decide_implicit_lease(projection, stream.id, now)
    if after is None:
        return None
    store.save(tx, after)
    return rules.feed_of(projection, rebuild).cursor


def _release_implicit_lease(tx: Tx, stream: _Stream) -> None:
    projection = store.projection(tx, stream.environment, stream.name, to_write=True)
    if projection is not None and projection.implicit_lease == stream.id:
        store.save(tx, rules.without_implicit_lease(projection))
        tx.notify(TOPIC, stream.key)
