"""The notifier: what it can do, and the local one that every node has."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

# (topic, key). An empty key means the whole topic.
Notification = tuple[str, str]
# Called on the event loop with the keys of one `notify`.
Listener = Callable[[set[str]], None]


class Notifier(Protocol):
    """Carries notifications. A waiter for (topic, key) wakes for that key and for the whole topic.

    spans_nodes: whether other nodes of the same database are notified too.
    issue: why the other nodes are not reached now; None while they are.
    """

    spans_nodes: bool

    @property
    def issue(self) -> str | None: ...

    def notify(self, notifications: Iterable[Notification], *, local: bool = False) -> None:
        """Wakes waiters here at once and, unless `local`, on other nodes soon. Call it on the event loop."""
        ...

    def waiter(self, topic: str, key: str = "") -> "Waiter":
        """A waiter for a topic or a key of it. It is a context manager: on exit it is removed."""
        ...

    def listen(self, topic: str, listener: Listener) -> None:
        """Calls `listener` at every notification of `topic`. A topic can have many listeners."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Waiter:
    """Remembers a notification since the last wait, so that one between a look-up and the wait is not lost.

    One task waits on a waiter at a time. A future and a timer instead of an event with a timeout: there is one for
    every caller that waits for a run, and the event takes more than twice as long.
    """

    def __init__(self, add: Callable[["Waiter"], None], remove: Callable[["Waiter"], None]) -> None:
        self._notified = False
        self._future: asyncio.Future[None] | None = None
        self._add, self._remove = add, remove

    def __enter__(self) -> "Waiter":
        self._add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._remove(self)

    def wake(self) -> None:
        self._notified = True
        if self._future is not None:
            _complete(self._future)

    async def wait(self, timeout_s: float | None) -> bool:
        """Waits for a notification; False when `timeout_s` passed without one. Clears what was remembered."""
        if not self._notified:
            loop = asyncio.get_running_loop()
            self._future = future = loop.create_future()
            timer = loop.call_later(timeout_s, _complete, future) if timeout_s is not None else None
            try:
                await future
            finally:
                self._future = None
                if timer is not None:
                    timer.cancel()
        notified, self._notified = self._notified, False
        return notified


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class LocalNotifier:
    """Notifies within one process."""

    spans_nodes = False
    issue: str | None = None

    def __init__(self) -> None:
        # Topic -> key -> waiters.
        self._waiters: dict[str, dict[str, set[Waiter]]] = {}
        self._listeners: dict[str, list[Listener]] = {}

    def notify(self, notifications: Iterable[Notification], *, local: bool = False) -> None:
        listened: dict[str, set[str]] = {}
        for topic, key in notifications:
            if topic in self._listeners:
                listened.setdefault(topic, set()).add(key)
            by_key = self._waiters.get(topic)
            if by_key:
                for each in (key, "") if key else by_key:
                    for waiter in by_key.get(each, ()):
                        waiter.wake()
        for topic, keys in listened.items():
            for listener in self._listeners[topic]:
                listener(keys)

    def notify_all(self) -> None:
        """Wakes every waiter and every listener: after notifications may have been missed."""
        self.notify([(topic, "") for topic in {*self._waiters, *self._listeners}])

    def waiter(self, topic: str, key: str = "") -> Waiter:
        def add(waiter: Waiter) -> None:
            self._waiters.setdefault(topic, {}).setdefault(key, set()).add(waiter)

        def remove(waiter: Waiter) -> None:
            by_key = self._waiters.get(topic, {})
            if waiter in by_key.get(key, ()):
                by_key[key].discard(waiter)
                if not by_key[key]:
                    del by_key[key]
                if not by_key:
                    del self._waiters[topic]

        return Waiter(add, remove)

    def listen(self, topic: str, listener: Listener) -> None:
        self._listeners.setdefault(topic, []).append(listener)

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to stop."""
