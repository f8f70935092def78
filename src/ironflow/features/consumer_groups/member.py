"""A member of a group at this server: what is on its way to it, and what it has not settled."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from ironflow.base.errors import IronflowError
from ironflow.base.time import Clock
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.claiming import Handed
from ironflow.features.consumer_groups.contract import AckMode
from ironflow.features.consumer_groups.rules import Group


class Member:
    """Take events, and say when each was written to the connection; `wait` for more. `ConsumerGroups.leave` ends it.

    woken: called whenever there may be something to take, or to raise.
    id: made by the server; whoever knows it may ack. group: as it was when something was handed out last.
    """

    def __init__(
        self,
        member_id: str,
        group: Group,
        clock: Clock,
        *,
        prefetch: int,
        ack_mode: AckMode | None,
        is_there: Callable[[], bool],
        moved: Callable[["Member"], None],
    ) -> None:
        self.id = member_id
        self.group = group
        self.ack_mode = ack_mode
        self.is_there = is_there
        self._prefetch = prefetch
        self._clock = clock
        # Called when there is room again, or something to settle.
        self._moved = moved
        self._queue: deque[Handed] = deque()
        self._queued_bytes = 0
        # Event ids that are not settled, with the time when they are anybody's again.
        self._unsettled: dict[str, int] = {}
        self.written: list[str] = []
        self._woken = asyncio.Event()
        self.woken: Callable[[], None] = self._woken.set
        self._ended: IronflowError | None = None

    def room(self) -> int:
        """How many deliveries it can take now."""
        if self._ended is not None or self._queued_bytes > rules.AHEAD_BYTES_MAX:
            return 0
        now = self._clock.now()
        while self._unsettled and (first := next(iter(self._unsettled.items())))[1] <= now:
            # Its time is over; if the member is given it again it counts again.
            del self._unsettled[first[0]]
        ahead = rules.AHEAD_MAX[self.group.backpressure] - len(self._queue)
        limit = self._prefetch or self.group.max_inflight
        return max(min(ahead, limit - len(self._unsettled)), 0)

    def give(self, handed: Handed) -> None:
        self._queue.append(handed)
        self._queued_bytes += len(handed.record.data)
        self._unsettled.pop(handed.record.id, None)
        self._unsettled[handed.record.id] = handed.delivery.due_at
        self.woken()

    def take(self) -> Handed | None:
        """The next event to send, None when there is none yet. Raises what ended the membership."""
        if self._ended is not None:
            raise self._ended
        while self._queue:
            handed = self._queue.popleft()
            self._queued_bytes -= len(handed.record.data)
            # What lay here for too long may be with another member by now.
            if handed.delivery.due_at > self._clock.now():
                return handed
            self._unsettled.pop(handed.record.id, None)
        return None

    @property
    def ready(self) -> bool:
        """Whether there is something to take, or to raise."""
        return bool(self._queue) or self._ended is not None

    def sent(self, handed: Handed) -> None:
        """It was written to the connection: with `auto`, that settles it."""
        if handed.is_auto:
            self.written.append(handed.record.id)
            self._moved(self)
        elif not self._queue:
            self._moved(self)

    def settled(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._unsettled.pop(event_id, None)
        self._moved(self)

    def unsent(self) -> frozenset[str]:
        return frozenset(each.record.id for each in self._queue)

    def end(self, why: IronflowError) -> None:
        """Lets whoever waits know that there is nothing more to come."""
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
