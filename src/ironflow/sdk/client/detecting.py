"""Which transport passes between a program and a server."""

from typing import Literal

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.connection.rpc import is_no_websocket
from ironflow.sdk.client.connection.websocket import WebSocketLink
from ironflow.sdk.wire.endpoint import Endpoint


async def detect_transport(
    url: str | None = None, *, api_key: str | None = None, timeout: Duration = "10s"
) -> Literal["websocket", "grpc"]:
    """What carries a subscription with `transport="auto"` to this server: `grpc` where no WebSocket passes.

    timeout: of the handshake. Raises CannotConnect for a server that cannot be reached, Unauthenticated.
    """
    endpoint = Endpoint.resolve(url, api_key, None)
    try:
        async with WebSocketLink(endpoint, duration_ms(timeout) / 1000).connected():
            return "websocket"
    except IronflowError as fault:
        if not is_no_websocket(fault):
            raise
    async with Client(url, api_key=api_key) as client:
        # What carries streams answers requests.
        await client.capabilities()
    return "grpc"
