"""Following a pattern: an async iterator over `/ws` that connects again by itself and goes on after the last event.

    async for event in client.subscribe("order.*", filter="data.total > 100"):
        print(event.topic, event.data)

Source: protocol/websocket.md 1; what is repeated after a break: docs/guides/subscriptions.md.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import FAMILIES, ConnectionLost, IronflowError, Unavailable, error_classes
from ironflow.features.subscriptions import contract
from ironflow.sdk.caller import Caller
from ironflow.sdk.payload import NOTHING, Raw, from_payload
from ironflow.sdk.transport import CannotConnect, checked_url

if TYPE_CHECKING:
    import aiohttp

AckMode = Literal["auto", "manual"]
Backpressure = Literal["drop", "block", "buffer"]
OnError = Callable[[IronflowError], None]

# A server that says nothing to a ping for this long is gone.
HEARTBEAT_S = 20.0
CONNECT_S = 10.0
PAUSE_S, PAUSE_MAX_S = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is subscribed to. after: a sequence, None to begin with what comes."""

    pattern: str
    replay: int = 0
    after: int | None = None
    filter: str = ""
    namespace: str = ""
    group: str = ""
    ack: AckMode = "auto"
    backpressure: Backpressure | None = None

    def options(self) -> dict[str, Any]:
        """The options of the frame; what is not set is left out."""
        modes = {"ackMode": self.ack} if self.group else {}
        said = {
            "replay": self.replay,
            "startAfterSequence": self.after,
            "filter": self.filter,
            "namespace": self.namespace,
            "consumerGroup": self.group,
            "backpressure": self.backpressure,
        }
        given = {name: value for name, value in said.items() if value or (name == "startAfterSequence" and value == 0)}
        return {"includeMetadata": True, **modes, **given}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What subscriptions of both kinds bring; each says how it is answered."""

    id: str
    topic: str
    name: str
    data: Any
    timestamp: datetime | None
    sequence: int
    source: str = ""
    namespace: str = "default"
    metadata: Mapping[str, Any] | None = None
    _settle: Callable[..., Any] | None = field(default=None, repr=False, compare=False)

    async def _say(self, word: str, delay: Duration | None) -> None:
        if self._settle is not None:
            await self._settle(self.id, word, None if delay is None else duration_ms(delay))


class Received(Delivered):
    """One event of a subscription. name: the topic without its kind. sequence: what `after=` goes on behind."""

    __slots__ = ()

    async def ack(self) -> None:
        """Done: the group delivers it to nobody again. Only with `group=` and `ack="manual"`."""
        await self._say("ack", None)

    async def nak(self, delay: Duration | None = None) -> None:
        """Deliver it again, after the group's delay or this one."""
        await self._say("nak", delay)

    async def term(self) -> None:
        """Give it up: it goes to the group's dead letters."""
        await self._say("term", None)


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
    """Events of a pattern, for ever. Close it, or use it as a context manager, to end it before its loop ends.

    on_error: told of every failure that is survived: a broken connection, a server that restarts, events that were lost
    because they are not kept. What cannot be survived, such as an invalid pattern, is raised where the next event is
    waited for; so is a first connection that fails.
    """

    def __init__(self, caller: Caller, wish: Wish, on_error: OnError | None = None) -> None:
        self._url = checked_url(caller.url) + "/ws"
        self._headers = caller.headers()
        self._wish = wish
        self._on_error = on_error
        # What the next connection goes on after; None while nothing is known.
        self._after = wish.after
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._events: AsyncGenerator[Received, None] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        if self._closed:
            raise StopAsyncIteration
        if self._events is None:
            self._events = self._follow()
        return await anext(self._events)

    async def close(self) -> None:
        """Ends it; the loop over it ends too."""
        self._closed = True
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def sequence(self) -> int | None:
        """What a later subscription goes on `after`; None while nothing was received."""
        return self._after

    # Connections, one after the other

    async def _follow(self) -> AsyncGenerator[Received, None]:
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
                self._tell(lost)
                self._after = 0
                continue
            except IronflowError as fault:
                if not begun or not (fault.retryable or isinstance(fault, contract.SlowConsumer)):
                    raise
                self._tell(fault)
            await asyncio.sleep(min(PAUSE_S * 2**failures, PAUSE_MAX_S) * random.uniform(0.5, 1))
            failures = min(failures + 1, 16)

    def _tell(self, fault: IronflowError) -> None:
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
                self._socket = socket
                try:
                    yield socket
                finally:
                    self._socket = None
        except aiohttp.WSServerHandshakeError as fault:
            raise _refusal(fault.status, self._url) from fault
        except aiohttp.ClientConnectorError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    async def _subscribe(self, socket: "aiohttp.ClientWebSocketResponse") -> None:
        wish = self._wish
        if self._after is not None and not wish.group:
            wish = replace(wish, replay=0, after=self._after)
        said = {"type": "subscribe", "subscription": {"pattern": wish.pattern, "options": wish.options()}}
        await socket.send_str(msgspec.json.encode(said).decode())
        frame = await self._frame(socket)
        while frame.type != "subscription_result":
            frame = await self._frame(socket)
        (result,) = frame.results
        if result.status != "ok":
            raise _error(result.code, result.message)
        if self._after is None:
            self._after = result.sequence

    async def _receive(self, socket: "aiohttp.ClientWebSocketResponse") -> AsyncGenerator[Received, None]:
        while True:
            frame = await self._frame(socket)
            match frame.type:
                case "event":
                    event = self._received(frame)
                    if self._wish.group:
                        yield event
                    elif self._after is None or event.sequence > self._after:
                        # Before it is handed out: whoever breaks off has seen it.
                        self._after = event.sequence
                        yield event
                case "subscription_error" if frame.retrying:
                    self._tell(_error(frame.code, frame.message))
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

    def _received(self, frame: _Frame) -> Received:
        meta = frame.meta or _Meta()
        kind = "system." if frame.topic.startswith("system.") else frame.topic.partition(":")[0] + ":"
        return Received(
            id=frame.event_id,
            topic=frame.topic,
            name=frame.topic.removeprefix(kind),
            data=from_payload(frame.data),
            timestamp=meta.timestamp,
            sequence=meta.sequence,
            source=meta.source,
            namespace=meta.namespace,
            metadata=from_payload(meta.custom),
            _settle=self._settle if self._wish.group and self._wish.ack == "manual" else None,
        )

    async def _settle(self, event_id: str, word: str, delay_ms: int | None) -> None:
        """Raises ConnectionLost: what was in flight goes to other members then, so that it is settled by another."""
        delay = {} if delay_ms is None else {"redeliverDelay": delay_ms}
        said = {"type": "ack", "eventId": event_id, "ackType": word, **delay}
        try:
            if self._socket is None:
                raise ConnectionResetError("not connected")
            await self._socket.send_str(msgspec.json.encode(said).decode())
        except (ConnectionError, RuntimeError) as fault:
            raise ConnectionLost(f"{event_id} could not be settled: {fault}. It is delivered again.") from fault


def _error(code: str, message: str) -> IronflowError:
    found = error_classes().get(code)
    return found(message) if found is not None else Unavailable(f"{code}: {message}")


def _refusal(status: int, url: str) -> IronflowError:
    for family in FAMILIES.values():
        if family.status == status:
            return family(f"{url} refused the connection with {status}. {' '.join((family.__doc__ or '').split())}")
    return ConnectionLost(f"{url} refused the connection with {status}.")
