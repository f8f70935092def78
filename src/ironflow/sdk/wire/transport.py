"""HTTP for the SDK behind one method: aiohttp for the event loop, urllib3 for scripts.

A transport knows addresses, connections and headers; what an answer means is read elsewhere.
"""

import asyncio
import io
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ironflow.base.errors import ConnectionLost, DeadlineExceeded, InvalidArgument
from ironflow.sdk.wire.sessions import LoopSessions

if TYPE_CHECKING:
    import aiohttp
    import urllib3

OK = 200
CONNECTIONS_MAX = 100
KEEP_ALIVE_S = 50.0
# An idle connection is probed after 30 s and closed after another 30 s without an answer.
_PROBES = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class CannotConnect(ConnectionLost):
    """The server cannot be reached: no connection could be opened. Is it running, and is the address right?"""


class Answer(NamedTuple):
    """One HTTP answer. headers: looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """A stream was answered with something else. answer: the whole of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class AsyncTransport(Protocol):
    """One request, one answer; redirects are not followed.

    Raises CannotConnect when nothing was sent, ConnectionLost when the connection broke, DeadlineExceeded when
    `timeout` (seconds) passed.
    """

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer: ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """As AsyncTransport, for threads."""

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer: ...

    def close(self) -> None: ...


@runtime_checkable
class Reopening(Protocol):
    """What a transport can do besides when it can be used again after its close."""

    def open(self) -> None: ...


@runtime_checkable
class AsyncStreaming(Protocol):
    """What a transport can do besides when it can hold an answer open."""

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        """The answer's bytes as they come, for as long as they come; close it to cancel the request.

        The first part may be empty: the answer has begun.
        timeout: seconds until the answer begins. Raises Refused for any status but 200.
        """
        ...


@runtime_checkable
class Streaming(Protocol):
    """As AsyncStreaming, for threads."""

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Generator[bytes, None, None]: ...


def checked_url(url: str) -> str:
    """`url` without a trailing slash. Raises InvalidArgument for what is no http address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidArgument(f"{url!r} is not the address of a server. Write it like http://localhost:9123.")
    return url.rstrip("/")


_PIECES_FROM_BYTES = 256 * 1024


class AiohttpTransport:
    """Keep-alive connections, opened at the first request in an event loop; each loop has its own.

    After `close` requests in the same loop raise ConnectionLost, until `open`.
    """

    def __init__(self, url: str) -> None:
        self._url = checked_url(url)
        self._sessions = LoopSessions(_session, _closed(self._url))

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        import aiohttp
        from yarl import URL

        # As a file it is written in pieces, and the loop goes on meanwhile.
        data = io.BytesIO(body) if body is not None and len(body) > _PIECES_FROM_BYTES else body
        session = await self._sessions.current()
        try:
            async with session.request(
                method,
                URL(self._url + path, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except TimeoutError:
            raise DeadlineExceeded(f"{self._url} did not answer within {timeout:.3g} s.") from None
        except aiohttp.ClientConnectorError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        import aiohttp
        from yarl import URL

        session = await self._sessions.current()
        try:
            async with asyncio.timeout(timeout):
                response = await session.request(
                    method,
                    URL(self._url + path, encoded=True),
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout),
                )
            try:
                if response.status != OK:
                    raise Refused(Answer(response.status, response.headers, await response.read()))
                yield b""
                async for part in response.content.iter_any():
                    yield part
            finally:
                response.close()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._url} did not answer within {timeout:.3g} s.") from None
        except aiohttp.ClientConnectorError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    def open(self) -> None:
        """Allows requests again after `close`."""
        self._sessions.open()

    async def close(self) -> None:
        await self._sessions.close()


class Urllib3Transport:
    """Keep-alive connections that threads share, opened at the first request.

    After `close` requests raise ConnectionLost, until `open`.
    """

    def __init__(self, url: str) -> None:
        self._url = checked_url(url)
        self._prefix = urlsplit(self._url).path
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._closed = False

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
        import urllib3
        from urllib3.exceptions import HTTPError, NewConnectionError
        from urllib3.exceptions import TimeoutError as TimedOut

        pool = self._pool or self._new_pool()
        try:
            response = pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(total=timeout),
            )
            return Answer(response.status, response.headers, response.data)
        except NewConnectionError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {_reason(fault)}. Is it running?") from fault
        except TimedOut:
            raise DeadlineExceeded(f"{self._url} did not answer within {timeout:.3g} s.") from None
        except (HTTPError, OSError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Generator[bytes, None, None]:
        import urllib3
        from urllib3.exceptions import HTTPError, NewConnectionError
        from urllib3.exceptions import TimeoutError as TimedOut

        pool = self._pool or self._new_pool()
        try:
            response = pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                # Between two answers of a stream any time may pass.
                timeout=urllib3.Timeout(connect=timeout, read=None),
                preload_content=False,
            )
            try:
                if response.status != OK:
                    raise Refused(Answer(response.status, response.headers, response.data))
                yield from response.stream(decode_content=False)
            finally:
                response.close()
        except NewConnectionError as fault:
            raise CannotConnect(f"{self._url} cannot be reached: {_reason(fault)}. Is it running?") from fault
        except TimedOut:
            raise DeadlineExceeded(f"{self._url} did not answer within {timeout:.3g} s.") from None
        except (HTTPError, OSError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    def _new_pool(self) -> "urllib3.HTTPConnectionPool":
        import urllib3

        if self._closed:
            raise ConnectionLost(_closed(self._url), retryable=False)
        self._pool = urllib3.connection_from_url(
            self._url,
            maxsize=CONNECTIONS_MAX,
            # Without a delay for small requests, as urllib3 has it by itself.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *_PROBES],
        )
        return self._pool

    def open(self) -> None:
        """Allows requests again after `close`."""
        self._closed = False

    def close(self) -> None:
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _session() -> "aiohttp.ClientSession":
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S, socket_factory=_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _closed(url: str) -> str:
    return f"The client of {url} is closed. Make a new one, or enter it again."


def _socket(address: Any) -> socket.socket:
    """A socket for the connector with keep-alive probes."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    add_probes(made)
    return made


def add_probes(made: socket.socket) -> None:
    """Turns on keep-alive probes, which detect a peer that disappeared silently."""
    for level, option, value in _PROBES:
        made.setsockopt(level, option, value)


def _reason(fault: Exception) -> str:
    cause = fault.__cause__
    return str(cause.strerror or cause) if isinstance(cause, OSError) else str(fault)
