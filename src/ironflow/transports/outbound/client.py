"""The requests, over whichever protocol the endpoint speaks.

The address is checked at the socket, after the name was resolved and right before the connection is opened: a name
that resolves to something else the second time, or an address in an unusual notation, gains nothing by it.
"""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
from yarl import URL

from ironflow.base.addresses import Network
from ironflow.base.outgoing import AddressRefused, AnswerTooLarge, NotReached, Outgoing, TooSlow
from ironflow.transports.outbound.http2 import Unprocessed
from ironflow.transports.outbound.negotiating import Negotiated, Origin
from ironflow.transports.outbound.sockets import CONNECT_S, Refused, Sockets, refusals

KEEP_ALIVE_S = 50.0
# How often a request is made that an endpoint has certainly not begun.
UNPROCESSED_MAX = 3
_NO_COMPRESSION = {"Accept-Encoding": "identity"}


class Outbound:
    """Connections are kept open and used again. allowed: networks that may be connected to besides public ones."""

    def __init__(self, allowed: Sequence[Network], user_agent: str, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._sockets = Sockets(allowed)
        self._negotiated = Negotiated(self._sockets, keep_alive_s)
        self._headers = {"User-Agent": user_agent, **_NO_COMPRESSION}
        self._http2_headers = [("accept", "*/*"), *_lower(self._headers)]
        self._keep_alive_s = keep_alive_s
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
        try:
            async with asyncio.timeout(timeout_s):
                target = URL(url, encoded=False)
                # What has no body is asked for now and then: over HTTP/1.1.
                if target.scheme == "https" and body is not None:
                    answer = await self._over_http2(target, headers, body, bytes_max)
                    if answer is not None:
                        return answer
                return await self._over_http1(method, target, headers, body, bytes_max)
        except TimeoutError:
            raise TooSlow(f"The endpoint did not answer within {timeout_s:g} s.") from None
        except Refused as refused:
            raise AddressRefused(
                f"The endpoint resolves to {refused}, which this server does not call. An operator can allow it "
                "with the setting push_allowed_networks."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise NotReached(f"The endpoint could not be reached: {_reason(fault)}.") from fault

    async def _over_http2(self, url: URL, headers: Mapping[str, str], body: bytes, bytes_max: int) -> Outgoing | None:
        """None where the endpoint chose HTTP/1.1."""
        if url.raw_host is None or url.port is None:
            return None
        origin = Origin(url.raw_host, url.port)
        for last in (False,) * (UNPROCESSED_MAX - 1) + (True,):
            connection = await self._negotiated.connection(origin)
            if connection is None:
                return None
            head = [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", url.host_port_subcomponent or ""),
                (":path", url.raw_path_qs),
                *self._http2_headers,
                *_lower(headers),
                ("content-length", str(len(body))),
            ]
            if url.user is not None:
                head.append(("authorization", aiohttp.BasicAuth(url.user, url.password or "").encode()))
            try:
                return await connection.post(head, body, bytes_max)
            except Unprocessed:
                if last:
                    raise
        return None

    async def _over_http1(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, bytes_max: int
    ) -> Outgoing:
        with refusals(aiohttp.ClientConnectorError, opened=(aiohttp.ClientSSLError,)):
            async with (self._session or self._open()).request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=self._sockets.tls if url.scheme == "https" else True,
            ) as response:
                content = await _read(response, bytes_max)
                answered = {name.lower(): each for name, each in response.headers.items()}
                return Outgoing(response.status, answered, content)

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._negotiated.close()
        await self._sockets.resolver.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=self._sockets.resolver,
                keepalive_timeout=self._keep_alive_s,
                socket_factory=self._sockets.checked,
            ),
            # The whole is bounded by `post`.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=self._headers,
            # A proxy of the environment would do the resolving.
            trust_env=False,
        )
        return self._session


def _lower(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]


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


def _reason(fault: BaseException) -> str:
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return " ".join(str(text).split())[:200]
