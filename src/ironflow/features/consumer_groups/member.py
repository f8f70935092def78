"""A member of a group at this server: its queue of deliveries, and what it has not settled."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from ironflow.base.errors import IronflowError
from ironflow.base.time import Clock, Millis
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.claiming import Handed
from ironflow.features.consumer_groups.contract import AckMode
from ironflow.features.consumer_groups.rules import Group


class Member:
    """Hands events to one connection: `take` one, call `sent` when it is written, `wait` for more.

    `ConsumerGroups.leave` ends the membership. woken: called when there may be something to take or to raise.
    id: made by the server; it permits acks. group: as of the last hand-out. settles: it settles each event, also with
    `auto`. confirmed_ms: after this time a written event has arrived; None for once the next one is accepted.
    """

    def __init__(
        self,
        member_id: str,
        group: Group,
        clock: Clock,
        *,
        prefetch: int,
        ack_mode: AckMode | None,
        settles: bool,
        confirmed_ms: int | None,
        is_there: Callable[[], bool],
        moved: Callable[["Member"], None],
    ) -> None:
        self.id = member_id
        self.group = group
        self.ack_mode = ack_mode
        self.settles = settles
        self.is_there = is_there
        self._prefetch = prefetch
        self._clock = clock
        self._confirmed_ms = confirmed_ms
        # Called when there is capacity again, or something to settle.
        self._moved = moved
        self._queue: deque[Handed] = deque()
        self._queued_bytes = 0
        # Ids of events that count against the capacity.
        self._unsettled: set[str] = set()
        # Event id -> when the time to settle it ends; of events that were sent.
        self._deadlines: dict[str, Millis] = {}
        # Event id -> when it was sent; of `auto` events, until their arrival is confirmed.
        self._unconfirmed: dict[str, Millis] = {}
        self.written: list[str] = []
        self._woken = asyncio.Event()
        self.woken: Callable[[], None] = self._woken.set
        self._ended: IronflowError | None = None

    @property
    def is_auto(self) -> bool:
        """Whether the mode is `auto`, the member's own or the group's."""
        return (self.ack_mode or self.group.ack_mode) == AckMode.AUTO

    def capacity(self) -> int:
        """The number of deliveries that it can take now."""
        if self._ended is not None or self._queued_bytes > rules.AHEAD_BYTES_MAX:
            return 0
        ahead = rules.AHEAD_MAX[self.group.backpressure] - len(self._queue)
        limit = self._prefetch or self.group.max_inflight
        return max(min(ahead, limit - len(self._unsettled)), 0)

    def give(self, handed: Handed) -> None:
        self._queue.append(handed)
        self._queued_bytes += len(handed.record.data)
        self._unsettled.add(handed.record.id)
        self.woken()

    def take(self) -> Handed | None:
        """The next event to send, None when there is none yet. Raises the error that ended the membership."""
        if self._ended is not None:
            raise self._ended
        if not self._queue:
            return None
        handed = self._queue.popleft()
        self._queued_bytes -= len(handed.record.data)
        if not handed.is_auto:
            self._deadlines[handed.record.id] = self._clock.now() + self.group.ack_wait_ms
        return handed

    @property
    def ready(self) -> bool:
        """Whether there is something to take, or to raise."""
        return bool(self._queue) or self._ended is not None

    def sent(self, handed: Handed) -> None:
        """Notes that it was written to the connection. Its time begins anew: writing may have waited for the client."""
        now, event_id = self._clock.now(), handed.record.id
        if not handed.is_auto:
            if event_id in self._deadlines:
                self._deadlines[event_id] = now + self.group.ack_wait_ms
            if not self._queue:
                self._moved(self)
            return
        if self._confirmed_ms is None:
            # The transport has accepted this one, so it has passed on the ones before.
            self._arrived(list(self._unconfirmed))
        self._unsettled.discard(event_id)
        self._unconfirmed[event_id] = now
        self._arrived(list(self._unconfirmed)[: len(self._unconfirmed) - rules.UNCONFIRMED_MAX])
        self._moved(self)

    def confirm(self) -> None:
        """Settles `auto` events that were sent so long ago that they have arrived: the connection is still there."""
        if self._confirmed_ms is not None and self._unconfirmed:
            until = self._clock.now() - self._confirmed_ms
            self._arrived([event_id for event_id, sent_at in self._unconfirmed.items() if sent_at <= until])
            self._moved(self)

    def _arrived(self, event_ids: list[str]) -> None:
        for event_id in event_ids:
            del self._unconfirmed[event_id]
        self.written += event_ids

    def overdue(self) -> list[str]:
        """Ids of events that the member did not settle in time."""
        now = self._clock.now()
        return [event_id for event_id, deadline in self._deadlines.items() if deadline <= now]

    def next_deadline(self) -> Millis | None:
        return min(self._deadlines.values(), default=None)

    def extended(self, deadlines: Mapping[str, Millis]) -> None:
        self._deadlines.update(deadlines)

    def settled(self, event_ids: Iterable[str]) -> None:
        """These events do not count against its capacity any more."""
        for event_id in event_ids:
            self._unsettled.discard(event_id)
            self._deadlines.pop(event_id, None)
        self._moved(self)

    def queued_autos(self) -> int:
        """Events to be written that are settled by their arrival."""
        return sum(handed.is_auto for handed in self._queue)

    def unsent(self) -> frozenset[str]:
        return frozenset(each.record.id for each in self._queue)

    def end(self, why: IronflowError) -> None:
        """Ends the membership: `take` raises `why` from now on."""
        self._ended = self._ended or why
        self.woken()

    def poke(self) -> None:
        """Ends a `wait`: the sender has something else to send."""
        self.woken()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until there is something to take or to raise; False when `timeout_s` passed before."""
        if self.ready:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        finally:
            self._woken.clear()
        return True
