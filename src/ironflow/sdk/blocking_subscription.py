"""A subscription for scripts: the asynchronous one, on an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Self, TypeVar

from ironflow.base.duration import Duration
from ironflow.sdk import subscription as asynchronous
from ironflow.sdk.caller import Caller
from ironflow.sdk.subscription import AckMode, Backpressure, OnError, Wish

__all__ = ["AckMode", "Backpressure", "OnError", "Received", "Subscription", "Wish"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Received(asynchronous.Delivered):
    """One event of a subscription; see the asynchronous one."""

    def ack(self) -> None:
        self._now("ack", None)

    def nak(self, delay: Duration | None = None) -> None:
        self._now("nak", delay)

    def term(self) -> None:
        self._now("term", None)

    def _now(self, word: str, delay: Duration | None) -> None:
        if self._wait is not None:
            self._wait(self._say(word, delay))

    _wait: Any = None


class Subscription:
    """As ironflow.sdk.subscription.Subscription, with a plain `for`. on_error is called in the thread of its loop."""

    def __init__(self, caller: Caller, wish: Wish, on_error: OnError | None = None) -> None:
        self._inside = asynchronous.Subscription(caller, wish, on_error)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Received:
        if self._closed:
            raise StopIteration
        event = self._wait(self._next())
        if event is None:
            raise StopIteration
        values = {each.name: getattr(event, each.name) for each in fields(event)}
        return Received(**values, _wait=self._wait)

    async def _next(self) -> asynchronous.Received | None:
        # A coroutine cannot raise StopAsyncIteration.
        return await anext(self._inside, None)

    def close(self) -> None:
        """Ends it and its thread."""
        if self._closed:
            return
        self._closed = True
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._wait(self._inside.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sequence(self) -> int | None:
        """What a later subscription goes on `after`; None while nothing was received."""
        return self._inside.sequence

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=loop.run_forever, name="ironflow-subscription", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            # Such as Ctrl-C: what is waited for must not wait on.
            future.cancel()
            raise
