"""Following a pattern: an async iterator that connects again by itself and goes on after the last event.

    async for event in client.subscribe("order.*", filter="data.total > 100"):
        print(event.topic, event.data)

What is repeated after a break: docs/guides/subscriptions.md.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Self

from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.following import Follower, Link, OnError
from ironflow.sdk.client.connection.hooks import ErrorContext, Hooks, method_called
from ironflow.sdk.client.connection.membership import Join, events_of
from ironflow.sdk.client.connection.received import SubscriptionEvent, SubscriptionEventFields
from ironflow.sdk.client.connection.request import AckMode, Backpressure, SubscriptionRequest, SubscriptionTransport
from ironflow.sdk.client.connection.rpc import AutoLink, RpcLink
from ironflow.sdk.client.connection.status import ConnectionState, Observed, OnChange, OnFault, Status
from ironflow.sdk.client.connection.websocket import WebSocketLink
from ironflow.sdk.user_code.call import observe
from ironflow.sdk.values.codec import CannotDecode, Codec, check_reads_no_data
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.reconnect import Reconnect
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.world import InProcess

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
    "SubscriptionEventFields",
    "SubscriptionRequest",
    "SubscriptionTransport",
]


class Subscription(Observed):
    """Events of a pattern, or of a member of a group, for ever.

    It ends with its loop, also by `break`. Close it, or use it as a context manager, to end it at a certain point.

    on_error: called for every failure after which it continues: a broken connection, a server that restarts, events
    that were lost because they are not kept. Other failures, such as an invalid pattern or a first connection that
    fails, are raised where the next event is awaited. An event that the codec cannot decode is raised as CannotDecode
    there, and comes again until it is decoded, or skipped by `skip_undecoded`; `sequence` stays before it.
    last_event: the newest that was handed out; None before the first.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: SubscriptionRequest | Join,
        on_error: OnError | None = None,
        calls: Calls | None = None,
        reconnect: Reconnect | None = None,
        hooks: Hooks | None = None,
        codec: Codec | None = None,
    ) -> None:
        """calls: with which a member of a group joins and settles; None to open connections of its own.

        reconnect, hooks: None for those of `calls`. codec: decodes the events' data.
        Raises CodecHidesData for a filter on it.
        """
        # A member's deliveries are decoded as they arrive.
        self._codec = codec if isinstance(request, SubscriptionRequest) and not request.group else None
        if codec is not None and isinstance(request, SubscriptionRequest):
            check_reads_no_data(request.filter, "the filter of a subscription")
        if calls is not None:
            reconnect, hooks = reconnect or calls.reconnect, hooks or calls.hooks
        reconnect = reconnect or Reconnect.of(Retries())
        pattern = request.pattern if isinstance(request, SubscriptionRequest) else ""
        self._status = Status(pattern, hooks.observers if hooks is not None else None)
        self._on_raised = hooks.on_error if hooks is not None else None
        # Of the client's method that makes it.
        self._context = ErrorContext(method_called(), request.endpoint)
        # It refers to none of its generators, so that the last one closes when the loop over this object is left.
        self._source: _Member | Follower
        here = calls.transport if calls is not None and isinstance(calls.transport, InProcess) else None
        if isinstance(request, Join) or request.group:
            join = request if isinstance(request, Join) else request.join()
            join = join if here is None else replace(join, both_ways=None)
            self._source = _Member(endpoint, join, self._status, reconnect, on_error, calls, codec)
        else:
            link = (
                _link(endpoint, request.transport, reconnect.connect_timeout_s)
                if calls is None or here is None
                else RpcLink(endpoint, reconnect.connect_timeout_s, calls.transport)
            )
            self._source = Follower(link, request, self._status, reconnect, on_error)
        self._events: AsyncGenerator[SubscriptionEvent, None] | None = None
        self._closed = False
        # The task that waits for the next event, and what a close in another task waits for.
        self._waiting: asyncio.Task[object] | None = None
        self._left: asyncio.Future[None] | None = None
        self.last_event: SubscriptionEvent | None = None
        self._undecoded: SubscriptionEvent | None = None
        if here is not None:
            here.subscribed(self)

    @property
    def waits(self) -> bool:
        """Whether its loop waits for an event that has not come."""
        return self._waiting is not None

    @property
    def has_events(self) -> bool:
        """Whether it has begun to ask for events, and is not closed."""
        return self._events is not None and not self._closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SubscriptionEvent:
        if self._closed:
            raise StopAsyncIteration
        if self._events is None:
            self._events = self._source.follow()
        task = self._waiting = asyncio.current_task()
        try:
            self.last_event = await self._next(self._events)
            return self.last_event
        except IronflowError as fault:
            if self._on_raised is not None:
                await observe(self._on_raised, fault, self._context)
            raise
        except asyncio.CancelledError:
            # The cancel of `close` ends the loop, another one its task.
            if self._left is None or task is None or task.uncancel():
                raise
            raise StopAsyncIteration from None
        finally:
            self._waiting = None
            if self._left is not None and not self._left.done():
                self._left.set_result(None)

    async def _next(self, events: AsyncGenerator[SubscriptionEvent, None]) -> SubscriptionEvent:
        """Raises CannotDecode, again and again until the event is decoded or skipped."""
        event = self._undecoded or await anext(events)
        if self._codec is None:
            return event
        self._undecoded = event
        try:
            decoded = replace(event, data=self._codec.decoded_value(event.data))
        except CannotDecode as fault:
            raise CannotDecode(
                f"Event {event.id} ({event.topic}, sequence {event.sequence}): {fault.message} It comes again with the "
                "next iteration; skip_undecoded() goes on after it.",
                details={"event_id": event.id, "topic": event.topic, "sequence": event.sequence},
            ) from fault
        self._undecoded = None
        return decoded

    def skip_undecoded(self) -> SubscriptionEvent | None:
        """Goes on after the event of a CannotDecode, and returns it as it was sent; None without one."""
        event, self._undecoded = self._undecoded, None
        return event

    async def close(self) -> None:
        """Ends it; the loop over it ends too, also when it waits for an event in another task."""
        self._closed = True
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            if self._left is None:
                self._left = asyncio.get_running_loop().create_future()
                self._waiting.cancel()
            await asyncio.wait((self._left,))
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def sequence(self) -> int | None:
        """What a later subscription goes on `after`; None while nothing was received, and for a member of a group."""
        return self._source.after if self._undecoded is None else self._undecoded.sequence - 1


def _link(endpoint: Endpoint, transport: SubscriptionTransport, timeout_s: float) -> Link:
    """Raises InvalidArgument for what is no transport."""
    match transport:
        case "websocket":
            return WebSocketLink(endpoint, timeout_s)
        case "grpc":
            return RpcLink(endpoint, timeout_s)
        case "auto":
            return AutoLink(WebSocketLink(endpoint, timeout_s), RpcLink(endpoint, timeout_s))
        case _:
            raise InvalidArgument(f"transport is {transport!r}; write 'websocket', 'grpc' or 'auto'.")


class _Member:
    """The events of a member of a group."""

    after = None

    def __init__(
        self,
        endpoint: Endpoint,
        join: Join,
        status: Status,
        reconnect: Reconnect,
        on_error: OnError | None,
        calls: Calls | None,
        codec: Codec | None,
    ) -> None:
        self._endpoint, self._join, self._calls, self._codec = endpoint, join, calls, codec
        self._status, self._reconnect, self._on_error = status, reconnect, on_error

    async def follow(self) -> AsyncGenerator[SubscriptionEvent, None]:
        calls = self._calls or Calls(self._endpoint, "30s", Retries(), codec=self._codec)
        try:
            async with aclosing(events_of(calls, self._join, self._status, self._reconnect, self._on_error)) as events:
                async for event in events:
                    yield event
        finally:
            self._status.move("disconnected")
            if self._calls is None:
                await calls.transport.close()
