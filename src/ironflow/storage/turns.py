"""The order in which transactions get one of a few connections, and for how long they wait for it."""

import asyncio
from collections import Counter, deque
from contextlib import nullcontext
from typing import Any

from ironflow.base.urgency import Urgency
from ironflow.storage.port import Overloaded


class Turns:
    """Lets `size` transactions run at a time. Used on the event loop only.

    Work under way goes before new work, which never takes the last `reserved` places. Requests that wait longer than
    `wait_s` are refused before anything was done; what the server does by itself waits as long as it takes.
    """

    def __init__(self, size: int, reserved: int, wait_s: float) -> None:
        self._free = size
        self._free_for_new = size - reserved
        self._wait_s = wait_s
        self._under_way: deque[asyncio.Future[None]] = deque()
        self._new: deque[asyncio.Future[None]] = deque()
        self.waiting: Counter[Urgency] = Counter()
        self.refused: Counter[Urgency] = Counter()

    async def take(self, urgency: Urgency, *, bounded: bool = True) -> None:
        """Returns when it is the caller's turn, who has to `give` it back. Raises Overloaded, if bounded."""
        is_new = urgency == "new"
        if self._free and (not is_new or self._free_for_new):
            # Those who wait have been served before: a place is never free while one of them may have it.
            self._begin(is_new)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._new if is_new else self._under_way).append(turn)
        with self.bounded(turn, urgency) if bounded else nullcontext():
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.give(urgency)
                raise

    def give(self, urgency: Urgency) -> None:
        """Ends a turn; the next one begins."""
        self._free += 1
        self._free_for_new += urgency == "new"
        while self._free:
            if self._next(self._under_way, is_new=False):
                continue
            if not self._free_for_new or not self._next(self._new, is_new=True):
                return

    def bounded(self, future: asyncio.Future[Any], urgency: Urgency) -> "Bounded":
        """A block in which `future` is waited for; it gets Overloaded when that takes too long."""
        return Bounded(self, future, urgency, None if urgency == "background" else self._wait_s)

    def _begin(self, is_new: bool) -> None:
        self._free -= 1
        self._free_for_new -= is_new

    def _next(self, waiting: deque[asyncio.Future[None]], is_new: bool) -> bool:
        """Begins the turn of the first that still waits; False when there is none."""
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                self._begin(is_new)
                turn.set_result(None)
                return True
        return False


class Bounded:
    """Counts one that waits, and ends its wait."""

    __slots__ = ("_future", "_timer", "_turns", "_urgency", "_wait_s", "_waits")

    def __init__(self, turns: Turns, future: asyncio.Future[Any], urgency: Urgency, wait_s: float | None) -> None:
        self._turns, self._future, self._wait_s = turns, future, wait_s
        self._urgency: Urgency = urgency
        self._timer: asyncio.TimerHandle | None = None
        self._waits = False

    def __enter__(self) -> "Bounded":
        self._waits = True
        self._turns.waiting[self._urgency] += 1
        if self._wait_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._refuse)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the wait; doing it again changes nothing."""
        if not self._waits:
            return
        self._waits = False
        self._turns.waiting[self._urgency] -= 1
        if self._timer is not None:
            self._timer.cancel()

    def _refuse(self) -> None:
        self.__exit__()
        if not self._future.done():
            self._turns.refused[self._urgency] += 1
            self._future.set_exception(Overloaded())
