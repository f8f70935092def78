"""`ctx.client`: clients of a run's environment, on the connections of its worker."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

from ironflow.base.errors import Unimplemented
from ironflow.sdk.client._sync.client import Client as BlockingClient
from ironflow.sdk.client.client import Client
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.transport import Answer, AsyncStreaming, AsyncTransport

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

# Waits in a handler's thread for what runs on the event loop.
Wait = Callable[[Coroutine[Any, Any, Any]], Any]


class RunClients:
    """Clients for the handlers of one worker. They are not closed: the worker closes its connections."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: AsyncTransport,
        tracer_provider: "TracerProvider | None" = None,
        codec: Codec | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._tracer_provider = tracer_provider
        self._codec = codec
        self._transport = _Shared(transport)
        self._client: Client | None = None

    @property
    def of_loop(self) -> Client:
        """For async handlers; the same for all of them."""
        if self._client is None:
            endpoint = self._endpoint
            self._client = Client(
                endpoint.url,
                api_key=endpoint.api_key or None,
                environment=endpoint.environment or None,
                transport=self._transport,
                tracer_provider=self._tracer_provider,
                codec=self._codec,
            )
        return self._client

    def of_thread(self, wait: Wait) -> BlockingClient:
        """For the threads of one plain handler."""
        endpoint = self._endpoint
        return BlockingClient(
            endpoint.url,
            api_key=endpoint.api_key or None,
            environment=endpoint.environment or None,
            transport=_Bridged(self._transport, wait),
            tracer_provider=self._tracer_provider,
            codec=self._codec,
        )


class _Shared:
    """The worker's transport, which clients of handlers leave open."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        return await self._transport.request(method, path, headers, body, timeout)

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        """Raises Unimplemented for a transport that cannot."""
        if not isinstance(self._transport, AsyncStreaming):
            raise Unimplemented(f"{type(self._transport).__name__} cannot hold an answer open.")
        return self._transport.stream(method, path, headers, body, timeout)

    async def close(self) -> None:
        """The worker closes it."""


class _Bridged:
    """The same for threads."""

    def __init__(self, transport: _Shared, wait: Wait) -> None:
        self._transport = transport
        self._wait = wait

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
        return self._wait(self._transport.request(method, path, headers, body, timeout))

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Generator[bytes, None, None]:
        parts = self._transport.stream(method, path, headers, body, timeout)
        try:
            while (part := self._wait(_next(parts))) is not None:
                yield part
        finally:
            self._wait(parts.aclose())

    def close(self) -> None:
        """The worker closes it."""


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    """The next part; None at the end."""
    return await anext(parts, None)
