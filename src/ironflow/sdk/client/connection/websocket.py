"""Subscriptions over `/ws`. Source: protocol/websocket.md 1."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ironflow.base.errors import FAMILIES, ConnectionLost, IronflowError, SubscriptionError, error_classes
from ironflow.sdk.client.connection.following import Begun
from ironflow.sdk.client.connection.received import SubscriptionEvent, plain
from ironflow.sdk.client.connection.request import SubscriptionRequest
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.sessions import kept
from ironflow.sdk.wire.transport import CannotConnect, checked_url

if TYPE_CHECKING:
    import aiohttp

# A server that does not answer a ping for this long counts as lost.
HEARTBEAT_S = 20.0


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


class WebSocketLink:
    """A socket for each connection. timeout_s: for opening it."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._url = checked_url(endpoint.url) + "/ws"
        self._headers = endpoint.headers()
        self._timeout_s = timeout_s

    async def open(
        self, request: SubscriptionRequest
    ) -> AsyncGenerator[Begun | SubscriptionEvent | IronflowError, None]:
        async with self.connected() as socket:
            yield await self._subscribe(socket, request)
            while True:
                frame = await self._frame(socket)
                match frame.type:
                    case "event":
                        yield _received(frame)
                    case "subscription_error" if frame.retrying:
                        yield _error(frame.code, frame.message)
                    case "subscription_error" | "error":
                        raise _error(frame.code, frame.message)
                    case _:
                        # Of a newer server.
                        continue

    @asynccontextmanager
    async def connected(self) -> "AsyncIterator[aiohttp.ClientWebSocketResponse]":
        """A socket after its handshake. Raises what the server refuses it with, CannotConnect, ConnectionLost."""
        import aiohttp

        try:
            async with kept(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))) as session:
                async with asyncio.timeout(self._timeout_s):
                    socket = await session.ws_connect(
                        self._url, headers=self._headers, heartbeat=HEARTBEAT_S, max_msg_size=0
                    )
                async with socket:
                    yield socket
        except aiohttp.WSServerHandshakeError as fault:
            raise _refusal(fault.status, self._url) from fault
        except aiohttp.ClientConnectorError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    async def _subscribe(self, socket: "aiohttp.ClientWebSocketResponse", request: SubscriptionRequest) -> Begun:
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
        return Begun(result.sequence)

    async def _frame(self, socket: "aiohttp.ClientWebSocketResponse") -> _Frame:
        from aiohttp import WSMsgType

        message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise ConnectionLost(f"{self._url} closed the connection (code {socket.close_code}).")
        try:
            return _read(message.data)
        except msgspec.MsgspecError as fault:
            raise ConnectionLost(f"{self._url} sent what is no frame: {fault}") from fault


def _received(frame: _Frame) -> SubscriptionEvent:
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
    return found(message) if found is not None else SubscriptionError(f"{code}: {message}")


def _refusal(status: int, url: str) -> IronflowError:
    for family in FAMILIES.values():
        if family.status == status:
            return family(f"{url} refused the connection with {status}. {' '.join((family.__doc__ or '').split())}")
    return ConnectionLost(f"{url} refused the connection with {status}.")
