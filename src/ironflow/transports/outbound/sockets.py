"""Sockets to addresses of users, checked between resolving the name and connecting."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import aiohappyeyeballs
from aiohttp.abc import AbstractResolver, ResolveResult

from ironflow.base.addresses import Network, is_allowed

# Resolving waits in threads of its own, so that names which do not resolve delay nothing else.
RESOLVERS = 32
# A connection that is not open after this will not open.
CONNECT_S = 5.0
# The second address of a name is tried besides the first one after this (RFC 8305).
_NEXT_ADDRESS_S = 0.25
# What an endpoint may take to close its end of TLS.
_TLS_CLOSE_S = 1.0
# The addresses that were refused for the connection that is being opened.
_refused: ContextVar[list[str] | None] = ContextVar("refused", default=None)


class Refused(OSError):
    """An address that is not called. Raised where the connector asks for a socket, and by `refusals`."""


@contextmanager
def refusals(unopened: type[OSError], opened: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Raises Refused in place of `unopened` where an address was refused: the connector merges the errors of a name's
    addresses into one text. opened: kinds of it that come after the connection is open."""
    found: list[str] = []
    token = _refused.set(found)
    try:
        yield
    except opened:
        raise
    except unopened as fault:
        if found:
            raise Refused(found[0]) from fault
        raise
    finally:
        _refused.reset(token)


class Resolver(AbstractResolver):
    """As the default one, with threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=target[0], port=target[1], family=kind, proto=protocol, flags=0)
            for kind, _, protocol, _, target in await self.addresses(host, port, family)
        ]

    async def addresses(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Any]:
        """As `getaddrinfo` gives them."""

        def look() -> list[Any]:
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)

        return await asyncio.get_running_loop().run_in_executor(self._threads, look)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Sockets:
    """allowed: networks that may be connected to besides public ones."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self.resolver = Resolver()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """For endpoints that chose HTTP/1.1."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    @cached_property
    def _tls_that_asks(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def checked(self, address: Any) -> socket.socket:
        """A socket for the resolved address, right before it is connected. Raises Refused."""
        family, kind, protocol, _, target = address
        if not is_allowed(target[0], self._allowed):
            if (found := _refused.get()) is not None:
                found.append(target[0])
            raise Refused(target[0])
        return socket.socket(family, kind, protocol)

    async def connect(self, host: str, port: int, made: asyncio.Protocol) -> None:
        """Opens TLS for `made`, in which the endpoint chooses HTTP/2 or HTTP/1.1.

        Raises Refused, OSError and TimeoutError.
        """
        async with asyncio.timeout(CONNECT_S):
            addresses = await self.resolver.addresses(host, port)
            with refusals(OSError):
                opened = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, socket_factory=self.checked
                )
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: made,
                    sock=opened,
                    ssl=self._tls_that_asks,
                    server_hostname=host.rstrip("."),
                    ssl_shutdown_timeout=_TLS_CLOSE_S,
                )
            except BaseException:
                opened.close()
                raise
