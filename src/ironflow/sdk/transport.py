"""HTTP for the SDK behind one method: aiohttp for the event loop, urllib3 for scripts.

A transport knows addresses, connections and headers; what an answer means is read elsewhere.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from ironflow.base.errors import ConnectionLost, DeadlineExceeded, InvalidArgument

if TYPE_CHECKING:
    import aiohttp
    import urllib3

CONNECTIONS_MAX = 100
KEEP_ALIVE_S = 50.0


class CannotConnect(ConnectionLost):
    """The server cannot be reached: no connection could be opened. Is it running, and is the address right?"""


class Answer(NamedTuple):
    """One HTTP answer. headers: looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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


def checked_url(url: str) -> str:
    """`url` without a trailing slash. Raises InvalidArgument for what is no http address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidArgument(f"{url!r} is not the address of a server. Write it like http://localhost:9123.")
    return url.rstrip("/")


class AiohttpTransport:
    """Keep-alive connections of one event loop, opened at the first request; a new loop gets new connections."""

    def __init__(self, url: str) -> None:
        self._url = checked_url(url)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        import aiohttp
        from yarl import URL

        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = self._open()
        try:
            async with session.request(
                method,
                URL(self._url + path, encoded=True),
                headers=headers,
                data=body,
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

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Urllib3Transport:
    """Keep-alive connections that threads share, opened at the first request."""

    def __init__(self, url: str) -> None:
        self._url = checked_url(url)
        self._prefix = urlsplit(self._url).path
        self._pool: urllib3.HTTPConnectionPool | None = None

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
        import urllib3
        from urllib3.exceptions import HTTPError, NewConnectionError
        from urllib3.exceptions import TimeoutError as TimedOut

        pool = self._pool or self._open()
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

    def _open(self) -> "urllib3.HTTPConnectionPool":
        import urllib3

        self._pool = urllib3.connection_from_url(self._url, maxsize=CONNECTIONS_MAX)
        return self._pool

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _reason(fault: Exception) -> str:
    cause = fault.__cause__
    return str(cause.strerror or cause) if isinstance(cause, OSError) else str(fault)
