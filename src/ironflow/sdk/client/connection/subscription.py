"""Following a pattern: an async iterator over `/ws` that connects again by itself and goes on after the last event.

    async for event in client.subscribe("order.*", filter="data.total > 100"):
        print(event.topic, event.data)

Source: protocol/websocket.md 1; what is repeated after a break: docs/guides/subscriptions.md.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from ironflow.base.errors import FAMILIES, ConnectionLost, IronflowError, Unavailable, error_classes
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.subscriptions import contract
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.membership import Join, events_of
from ironflow.sdk.client.connection.received import SubscriptionEvent, SubscriptionEventFields, plain
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.transport import CannotConnect, checked_url

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "AckMode",
    "Backpressure",
    "Join",
    "OnError",
    "Subscription",
    "SubscriptionEvent",
    "SubscriptionEventFields",
    "SubscriptionRequest",
]

AckMode = Literal["auto", "manual"]
Backpressure = Literal["drop", "block", "buffer"]
OnError = Callable[[IronflowError], None]

# A server that does not answer a ping for this long counts as lost.
HEARTBEAT_S = 20.0
CONNECT_S = 10.0
PAUSE_S, PAUSE_MAX_S = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """The request of a subscription. after: a sequence, None for new events only."""

    pattern: str
    replay: int = 0
    after: int | None = None
    filter: str = ""
    namespace: str = ""
    group: str = ""
    ack: AckMode = "auto"
    backpressure: Backpressure | None = None
    prefetch: int = 4

    def options(self) -> dict[str, Any]:
        """The options of the frame; what is not set is left out."""
        frame_to_send = {
            "replay": self.replay,
            "startAfterSequence": self.after,
            "filter": self.filter,
            "namespace": self.namespace,
            "backpressure": self.backpressure,
        }
        given = {
            name: value
            for name, value in frame_to_send.items()
            if value or (name == "startAfterSequence" and value == 0)
        }
        return {"includeMetadata": True, **given}

    def join(self) -> Join:
        """The request of a member of the group."""
        options = contract.SubscribeOptions(
            replay=self.replay,
            start_after_sequence=self.after,
            filter=self.filter,
            namespace=self.namespace,
            consumer_group=self.group,
            ack_mode=groups.AckMode(self.ack),
            backpressure=None if self.backpressure is None else groups.BackpressureMode(self.backpressure),
            prefetch=self.prefetch,
            settles=True,
        )
        request = contract.Subscribe(pattern=self.pattern, options=options)
        return Join(contract.subscribe, request, self.group, self.namespace)


class _Meta(msgspec.Struct):
    timestamp: datetime | None = None
    sequence: int = 0
    source: str = ""
    namespace: str = "default"
    custom: Raw = NOTHING


class _Result(msgspec.Struct, rename="camel"):
    status: str = ""
    subscription_id: str = ""
    sequence: int | None = None
    code: str = ""
    message: str = ""


class _Frame(msgspec.Struct, rename="camel"):
    """A frame of the server, of whatever type."""

    type: str
    results: list[_Result] = []
    topic: str = ""
    data: Raw = NOTHING
    event_id: str = ""
    meta: _Meta | None = None
    code: str = ""
    message: str = ""
    retrying: bool = False


_read = msgspec.json.Decoder(_Frame).decode


class Subscription:
    """Events of a pattern, or of a member of a group, for ever.

    It ends with its loop, also by `break`. Close it, or use it as a context manager, to end it at a certain point.

    on_error: called for every failure after which it continues: a broken connection, a server that restarts, events
    that were lost because they are not kept. Other failures, such as an invalid pattern or a first connection that
    fails, are raised where the next event is awaited.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: SubscriptionRequest | Join,
        on_error: OnError | None = None,
        calls: Calls | None = None,
    ) -> None:
        """calls: with which a member of a group joins and settles; None to open connections of its own."""
        # It refers to none of its generators, so that the last one closes when the loop over this object is left.
        self._source: _Member | _Follower
        if isinstance(request, Join):
            self._source = _Member(endpoint, request, on_error, calls)
        elif request.group:
            self._source = _Member(endpoint, request.join(), on_error, calls)
        else:
            self._source = _Follower(endpoint, request, on_error)
        self._events: AsyncGenerator[SubscriptionEvent, None] | None = None
        self._closed = False
        # The task that waits for the next event, and what a close in another task waits for.
        self._waiting: asyncio.Task[object] | None = None
        self._left: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SubscriptionEvent:
        if self._closed:
            raise StopAsyncIteration
        if self._events is None:
            self._events = self._source.follow()
        task = self._waiting = asyncio.current_task()
        try:
            return await anext(self._events)
        except asyncio.CancelledError:
            # The cancel of `close` ends the loop, another one its task.
            if self._left is None or task is None or task.uncancel():
                raise
            raise StopAsyncIteration from None
        finally:
            self._waiting = None
            if self._left is not None and not self._left.done():
                self._left.set_result(None)

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
        return self._source.after


class _Member:
    """The events of a member of a group."""

    after = None

    def __init__(self, endpoint: Endpoint, join: Join, on_error: OnError | None, calls: Calls | None) -> None:
        self._endpoint, self._join, self._on_error, self._calls = endpoint, join, on_error, calls

    async def follow(self) -> AsyncGenerator[SubscriptionEvent, None]:
        calls = self._calls or Calls(self._endpoint, "30s", Retries())
        try:
            async with aclosing(events_of(calls, self._join, self._on_error)) as events:
                async for event in events:
                    yield event
        finally:
            if self._calls is None:
                await calls.transport.close()


class _Follower:
    """The events of a pattern, over one connection after the other."""

    def __init__(self, endpoint: Endpoint, request: SubscriptionRequest, on_error: OnError | None) -> None:
        self._url = checked_url(endpoint.url) + "/ws"
        self._headers = endpoint.headers()
        self._request = request
        self._on_error = on_error
        # What the next connection goes on after; None while nothing is known.
        self.after = request.after

    async def follow(self) -> AsyncGenerator[SubscriptionEvent, None]:
        begun, failures = False, 0
        while True:
            try:
                async with self._connected() as socket:
                    await self._subscribe(socket)
                    begun, failures = True, 0
                    async for event in self._receive(socket):
                        yield event
            except contract.SequenceNotKept as lost:
                # Everything that is kept came later.
                self._report_error(lost)
                self.after = 0
                continue
            except IronflowError as fault:
                if not begun or not (fault.retryable or isinstance(fault, contract.SlowConsumer)):
                    raise
                self._report_error(fault)
            await asyncio.sleep(min(PAUSE_S * 2**failures, PAUSE_MAX_S) * random.uniform(0.5, 1))
            failures = min(failures + 1, 16)

    def _report_error(self, fault: IronflowError) -> None:
        if self._on_error is not None:
            self._on_error(fault)

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[aiohttp.ClientWebSocketResponse]":
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.ws_connect(self._url, headers=self._headers, heartbeat=HEARTBEAT_S, max_msg_size=0) as socket,
            ):
                yield socket
        except aiohttp.WSServerHandshakeError as fault:
            raise _refusal(fault.status, self._url) from fault
        except aiohttp.ClientConnectorError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    async def _subscribe(self, socket: "aiohttp.ClientWebSocketResponse") -> None:
        request = self._request
        if self.after is not None:
            request = replace(request, replay=0, after=self.after)
        frame_to_send = {
            "type": "subscribe",
            "subscription": {"pattern": request.pattern, "options": request.options()},
        }
        await socket.send_str(msgspec.json.encode(frame_to_send).decode())
        frame = await self._frame(socket)
        while frame.type != "subscription_result":
            frame = await self._frame(socket)
        (result,) = frame.results
        if result.status != "ok":
            raise _error(result.code, result.message)
        if self.after is None:
            self.after = result.sequence

    async def _receive(self, socket: "aiohttp.ClientWebSocketResponse") -> AsyncGenerator[SubscriptionEvent, None]:
        while True:
            frame = await self._frame(socket)
            match frame.type:
                case "event":
                    event = self._received(frame)
                    if self.after is None or event.sequence > self.after:
                        # Before it is handed out: a caller that stops iterating has seen it.
                        self.after = event.sequence
                        yield event
                case "subscription_error" if frame.retrying:
                    self._report_error(_error(frame.code, frame.message))
                case "subscription_error" | "error":
                    raise _error(frame.code, frame.message)
                case _:
                    # Of a newer server.
                    continue

    async def _frame(self, socket: "aiohttp.ClientWebSocketResponse") -> _Frame:
        from aiohttp import WSMsgType

        message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise ConnectionLost(f"{self._url} closed the connection (code {socket.close_code}).")
        try:
            return _read(message.data)
        except msgspec.MsgspecError as fault:
            raise ConnectionLost(f"{self._url} sent what is no frame: {fault}") from fault

    def _received(self, frame: _Frame) -> SubscriptionEvent:
        meta = frame.meta or _Meta()
        found = plain(frame.topic, frame.data)
        return SubscriptionEvent(
            id=frame.event_id,
            topic=frame.topic,
            name=found.name,
            data=found.data,
            timestamp=meta.timestamp,
            sequence=meta.sequence,
            source=meta.source,
            namespace=meta.namespace,
            metadata=from_payload(meta.custom),
            entity_type=found.entity_type,
            entity_id=found.entity_id,
            entity_version=found.entity_version,
            version=found.version,
        )


def _error(code: str, message: str) -> IronflowError:
    found = error_classes().get(code)
    return found(message) if found is not None else Unavailable(f"{code}: {message}")


def _refusal(status: int, url: str) -> IronflowError:
    for family in FAMILIES.values():
        if family.status == status:
            return family(f"{url} refused the connection with {status}. {' '.join((family.__doc__ or '').split())}")
    return ConnectionLost(f"{url} refused the connection with {status}.")
