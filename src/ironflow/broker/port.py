"""What a doorbell can do, and the local one that every node has."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

Ring = tuple[str, str]


class Broker(Protocol):
    """Carries rings. `key` narrows a topic: a waiter for (topic, key) wakes for that key, and for the whole topic."""

    def ring(self, rings: Iterable[Ring]) -> None:
        """Wakes waiters here at once and on other nodes soon; an empty key means all of a topic. Call on the loop."""
        ...

    def bell(self, topic: str, key: str = "") -> "Bell":
        """A bell to wait on; use it as a context manager, so that it is taken down again."""
        ...

    def listen(self, topic: str, heard: Callable[[set[str]], None]) -> None:
        """Calls `heard` with the keys that rang, on the event loop, at every ring of `topic`."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Bell:
    """Remembers that it was rung since the last wait, so a ring between looking and waiting is not lost.

    One task waits on a bell at a time. A future and a timer, for this is done for every run that is waited for: an
    event with a timeout around it takes more than twice as long.
    """

    def __init__(self, hang: Callable[["Bell"], None], take_down: Callable[["Bell"], None]) -> None:
        self._was_rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._hang, self._take_down = hang, take_down

    def __enter__(self) -> "Bell":
        self._hang(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down(self)

    def rung(self) -> None:
        self._was_rung = True
        if self._waiter is not None:
            _go_on(self._waiter)

    async def wait(self, timeout_s: float | None) -> bool:
        """Waits for a ring; False when `timeout_s` passed without one. Clears the bell."""
        if not self._was_rung:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = loop.call_later(timeout_s, _go_on, waiter) if timeout_s is not None else None
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        was_rung, self._was_rung = self._was_rung, False
        return was_rung


def _go_on(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class LocalBroker:
    """Rings within one process."""

    def __init__(self) -> None:
        # Topic -> key -> bells that hang there.
        self._bells: dict[str, dict[str, set[Bell]]] = {}
        self._listeners: dict[str, list[Callable[[set[str]], None]]] = {}

    def ring(self, rings: Iterable[Ring]) -> None:
        heard: dict[str, set[str]] = {}
        for topic, key in rings:
            if topic in self._listeners:
                heard.setdefault(topic, set()).add(key)
            bells = self._bells.get(topic)
            if bells:
                for place in (key, "") if key else bells:
                    for bell in bells.get(place, ()):
                        bell.rung()
        for topic, keys in heard.items():
            for listener in self._listeners[topic]:
                listener(keys)

    def ring_all(self) -> None:
        """Rings whatever somebody waits for or listens to: after rings may have been missed."""
        self.ring([(topic, "") for topic in {*self._bells, *self._listeners}])

    def bell(self, topic: str, key: str = "") -> Bell:
        def hang(bell: Bell) -> None:
            self._bells.setdefault(topic, {}).setdefault(key, set()).add(bell)

        def take_down(bell: Bell) -> None:
            bells = self._bells.get(topic, {})
            if bell in bells.get(key, ()):
                bells[key].discard(bell)
                if not bells[key]:
                    del bells[key]
                if not bells:
                    del self._bells[topic]

        return Bell(hang, take_down)

    def listen(self, topic: str, heard: Callable[[set[str]], None]) -> None:
        self._listeners.setdefault(topic, []).append(heard)

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to stop."""
