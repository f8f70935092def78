"""A subscription for scripts: the asynchronous one, on an event loop in a thread of its own."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ironflow.base.duration import Duration
from ironflow.features.consumer_groups.contract import AckType
from ironflow.sdk.client.connection import subscription as asynchronous
from ironflow.sdk.client.connection.hooks import Hooks
from ironflow.sdk.client.connection.membership import Join
from ironflow.sdk.client.connection.received import SubscriptionEventFields
from ironflow.sdk.client.connection.status import ConnectionState, Observed, OnChange, OnFault
from ironflow.sdk.client.connection.subscription import (
    AckMode,
    Backpressure,
    OnError,
    SubscriptionRequest,
    SubscriptionTransport,
)
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.reconnect import Reconnect

__all__ = [
    "AckMode",
    "Backpressure",
    "ConnectionState",
    "Join",
    "OnChange",
    "OnError",
    "OnFault",
    "Subscription",
    "SubscriptionEvent",
    "SubscriptionRequest",
    "SubscriptionTransport",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SubscriptionEvent(SubscriptionEventFields):
    """One event of a subscription; see the asynchronous one."""

    def ack(self) -> bool:
        return self._now(AckType.ACK)

    def nak(self, delay: Duration | None = None) -> bool:
        return self._now(AckType.NAK, delay)

    def term(self) -> bool:
        return self._now(AckType.TERM)

    def extend(self) -> bool:
        return self._now(None)

    def _now(self, ack_type: AckType | None, delay: Duration | None = None) -> bool:
        return self._thread is not None and self._thread.settle(self._send_settlement(ack_type, delay))

    _thread: "_LoopThread | None" = None


class _LoopThread:
    """An event loop in a thread, started when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def settle(self, work: Coroutine[Any, Any, T]) -> T:
        """As `run`; in a callback on a loop of its own, while the loop of this thread waits."""
        if self._thread is not threading.current_thread():
            return self.run(work)
        with ThreadPoolExecutor(1, "ironflow-settle") as other:
            return other.submit(asyncio.run, work).result()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is not None and self._thread is threading.current_thread():
            work.close()
            raise RuntimeError("The next event of a subscription cannot be waited for in a callback of it.")
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=loop.run_forever, name="ironflow-subscription", daemon=True)
            self._thread.start()
        elif loop.is_closed():
            work.close()
            raise RuntimeError("The subscription is closed; settle its events before.")
        future = asyncio.run_coroutine_threadsafe(self._tracked(work), loop)
        try:
            return future.result()
        except BaseException:
            # Such as Ctrl-C: what is waited for must not wait on.
            future.cancel()
            raise

    def end(self, inside: asynchronous.Subscription) -> None:
        """Closes the subscription, and ends the thread; from a callback, once that has returned."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or loop.is_closed():
            return
        if thread is threading.current_thread():
            # It runs what this would wait for.
            threading.Thread(target=self.end, args=(inside,), name="ironflow-subscription-end", daemon=True).start()
            return
        self.run(self._close(inside))
        # What was dropped without its end has connections of this loop.
        self.run(loop.shutdown_asyncgens())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    async def _close(self, inside: asynchronous.Subscription) -> None:
        """Closes it once what was waited for, when a signal came, has ended: a generator that runs cannot be closed."""
        left = self._tasks - {asyncio.current_task()}
        for each in left:
            each.cancel()
        if left:
            await asyncio.wait(left)
        await inside.close()


class _Calls(Protocol):
    """What a subscription takes from the calls of its client."""

    reconnect: Reconnect
    hooks: Hooks


class Subscription(Observed):
    """As subscription.Subscription, with a plain `for`. Its callbacks are called in the thread of its loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        request: SubscriptionRequest | Join,
        on_error: OnError | None = None,
        calls: "_Calls | None" = None,
        reconnect: Reconnect | None = None,
        codec: Codec | None = None,
    ) -> None:
        """calls: whose settings it has; its loop opens connections of its own."""
        reconnect = reconnect or (None if calls is None else calls.reconnect)
        hooks = None if calls is None else calls.hooks
        self._inside = asynchronous.Subscription(endpoint, request, on_error, None, reconnect, hooks, codec)
        self._status = self._inside._status
        self._thread = _LoopThread()
        # Also when a loop over it is left, and nothing refers to it any more. Its events do not.
        self._end = weakref.finalize(self, self._thread.end, self._inside)
        self._closed = False
        self.last_event: SubscriptionEvent | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SubscriptionEvent:
        if self._closed:
            raise StopIteration
        try:
            event = self._thread.run(self._next())
        except CancelledError:
            # By `close` in another thread, or in a callback.
            if not self._closed:
                raise
            event = None
        if event is None:
            raise StopIteration
        self.last_event = self._blocking(event)
        return self.last_event

    def _blocking(self, event: asynchronous.SubscriptionEvent) -> SubscriptionEvent:
        values = {each.name: getattr(event, each.name) for each in fields(event)}
        return SubscriptionEvent(**values, _thread=self._thread)

    async def _next(self) -> asynchronous.SubscriptionEvent | None:
        # A coroutine cannot raise StopAsyncIteration.
        return await anext(self._inside, None)

    def close(self) -> None:
        """Ends it and its thread."""
        self._closed = True
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def skip_undecoded(self) -> SubscriptionEvent | None:
        """Goes on after the event of a CannotDecode, and returns it as it was sent; None without one."""
        event = self._inside.skip_undecoded()
        return None if event is None else self._blocking(event)

    @property
    def sequence(self) -> int | None:
        """What a later subscription goes on `after`; None while nothing was received."""
        return self._inside.sequence
