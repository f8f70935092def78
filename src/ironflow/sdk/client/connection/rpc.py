"""Subscriptions over PubSubService/Subscribe, where no WebSocket passes. Source: protocol/connectrpc.md 5.3."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ironflow.base.errors import (
    ConnectionLost,
    FailedPrecondition,
    InvalidArgument,
    IronflowError,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    Unimplemented,
)
from ironflow.features.consumer_groups.contract import SubscriptionEvent as Sent
from ironflow.features.subscriptions import contract
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.following import Begun, Link
from ironflow.sdk.client.connection.received import SubscriptionEvent, plain
from ironflow.sdk.client.connection.request import SubscriptionRequest
from ironflow.sdk.values.payload import from_payload
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.message_stream import BrokenStream
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.transport import AsyncTransport, CannotConnect


class RpcLink:
    """A stream for each connection. timeout_s: until it has begun. transport: None to open a connection for each."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, transport: AsyncTransport | None = None) -> None:
        self._endpoint, self._timeout_s, self._transport = endpoint, timeout_s, transport

    async def open(
        self, request: SubscriptionRequest
    ) -> AsyncGenerator[Begun | SubscriptionEvent | IronflowError, None]:
        calls = Calls(self._endpoint, self._timeout_s, Retries(), self._transport)
        try:
            async with aclosing(calls.stream(contract.subscribe, request.message())) as answers:
                begun = False
                async for sent in answers:
                    if not begun:
                        begun = True
                        # A server of an older release announces nothing: its first answer is an event.
                        yield Begun(None if sent.topic else sent.sequence)
                    if sent.topic:
                        yield _received(sent)
        finally:
            if self._transport is None:
                await calls.transport.close()
        raise BrokenStream


# What a proxy in between, or a server without WebSockets, makes of a handshake. A refusal that is the server's own is
# repeated by the stream.
NO_WEBSOCKETS = (NotFound, MethodNotAllowed, Unimplemented, PermissionDenied, InvalidArgument, FailedPrecondition)


class AutoLink:
    """A WebSocket, or streams from the first connection on that shows that WebSockets do not pass."""

    def __init__(self, socket: Link, stream: Link) -> None:
        self._socket, self._stream = socket, stream
        self._passes: bool | None = None

    async def open(
        self, request: SubscriptionRequest
    ) -> AsyncGenerator[Begun | SubscriptionEvent | IronflowError, None]:
        if self._passes is not False:
            try:
                async with aclosing(self._socket.open(request)) as arriving:
                    async for each in arriving:
                        self._passes = True
                        yield each
                return
            except IronflowError as fault:
                if self._passes or not is_no_websocket(fault):
                    raise
        async with aclosing(self._stream.open(request)) as arriving:
            async for each in arriving:
                # Not before: a server that is away lets nothing through.
                self._passes = False
                yield each


def is_no_websocket(fault: IronflowError) -> bool:
    """Whether a handshake failed so that a stream may succeed: refused as unknown, or cut off."""
    if isinstance(fault, CannotConnect):
        return False
    # Their subclasses are answers of the server to the subscription.
    return type(fault) in NO_WEBSOCKETS or isinstance(fault, ConnectionLost)


def _received(sent: Sent) -> SubscriptionEvent:
    meta = sent.metadata
    found = plain(sent.topic, sent.data)
    return SubscriptionEvent(
        id=sent.event_id,
        topic=sent.topic,
        name=found.name,
        data=found.data,
        timestamp=None if meta is None else meta.timestamp,
        sequence=sent.sequence,
        source="" if meta is None else meta.source,
        namespace="default" if meta is None else meta.namespace,
        metadata=None if meta is None or meta.custom is None else from_payload(meta.custom),
        entity_type=found.entity_type,
        entity_id=found.entity_id,
        entity_version=found.entity_version,
        version=found.version,
    )
