"""Requests that the server makes to addresses of users: bounded in time and size, and only to allowed addresses.

The address is checked at the socket, after the name was resolved and right before the connection is opened: a name
that resolves to something else the second time, or an address in an unusual notation, gains nothing by it.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ironflow.base.addresses import Network, is_allowed
from ironflow.base.outgoing import AddressRefused, AnswerTooLarge, NotReached, Outgoing, TooSlow

# Resolving waits in threads of its own, so that names which do not resolve delay nothing else.
RESOLVERS = 32
KEEP_ALIVE_S = 50.0
# A connection that is not open after this will not open.
CONNECT_S = 5.0
_NO_COMPRESSION = {"Accept-Encoding": "identity"}


class _Refused(OSError):
    """Raised where the connector asks for a socket."""


class Outbound:
    """Connections are kept open and used again. allowed: networks that may be connected to besides public ones."""

    def __init__(self, allowed: Sequence[Network], user_agent: str) -> None:
        self._allowed = allowed
        self._headers = {"User-Agent": user_agent, **_NO_COMPRESSION}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, bytes_max: int
    ) -> Outgoing:
        """The answer, whatever its status; redirects are not followed.

        Raises TooSlow, AnswerTooLarge, AddressRefused, and NotReached when the connection failed or broke, and after
        `close`.
        """
        return await self._request("POST", url, headers, body, timeout_s, bytes_max)

    async def get(self, url: str, headers: Mapping[str, str], timeout_s: float, bytes_max: int) -> Outgoing:
        """As post, without a body."""
        return await self._request("GET", url, headers, None, timeout_s, bytes_max)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float, bytes_max: int
    ) -> Outgoing:
        if self._closed:
            raise NotReached("The endpoint was not called: this server stops.")
        session = self._session or self._open()
        try:
            async with session.request(
                method,
                URL(url, encoded=False),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
            ) as response:
                content = await _read(response, bytes_max)
                return Outgoing(
                    response.status, {name.lower(): each for name, each in response.headers.items()}, content
                )
        except TimeoutError:
            raise TooSlow(f"The endpoint did not answer within {timeout_s:g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            if refused := _refused(fault):
                raise AddressRefused(
                    f"The endpoint resolves to {refused}, which this server does not call. An operator can allow it "
                    "with the setting push_allowed_networks."
                ) from None
            raise NotReached(f"The endpoint could not be reached: {_reason(fault)}.") from fault

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=_Resolver(),
                keepalive_timeout=KEEP_ALIVE_S,
                socket_factory=self._socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=self._headers,
            # A proxy of the environment would do the resolving.
            trust_env=False,
        )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, target = address
        if not is_allowed(target[0], self._allowed):
            raise _Refused(target[0])
        return socket.socket(family, kind, protocol)


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > bytes_max:
            # The rest is not read, so the connection cannot be used again.
            response.close()
            raise AnswerTooLarge(f"The endpoint's answer is larger than {bytes_max} bytes.")
        parts.append(part)
    return b"".join(parts)


def _refused(fault: BaseException | None) -> str:
    """The address that was refused, where that is why the connection failed."""
    seen: list[BaseException] = [fault] if fault is not None else []
    while seen:
        each = seen.pop()
        if isinstance(each, _Refused):
            return str(each)
        seen += [next_ for next_ in (each.__cause__, getattr(each, "os_error", None)) if next_ is not None]
        if isinstance(each, BaseExceptionGroup):
            seen += each.exceptions
    return ""


def _reason(fault: BaseException) -> str:
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return " ".join(str(text).split())[:200]


class _Resolver(AbstractResolver):
    """As the default one, with threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        def look() -> list[Any]:
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(hostname=host, host=target[0], port=target[1], family=kind, proto=protocol, flags=0)
            for kind, _, protocol, _, target in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
