"""Sessions of aiohttp that are closed with their event loop at the latest, whether or not their owner is closed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from ironflow.base.errors import ConnectionLost

if TYPE_CHECKING:
    import aiohttp

# An open session is never garbage: its finalizer would run before that of the generator which closes it.
_open: "set[aiohttp.ClientSession]" = set()


async def _keep(session: "aiohttp.ClientSession") -> "AsyncGenerator[aiohttp.ClientSession, None]":
    _open.add(session)
    try:
        yield session
    finally:
        _open.discard(session)
        await session.close()


# Closes a session at the end of its block, also in a generator that is dropped.
kept = asynccontextmanager(_keep)


class _Kept(NamedTuple):
    """keeper: suspended while the session is open; the loop closes it at its end, or when nothing refers to it."""

    session: "aiohttp.ClientSession"
    keeper: "AsyncGenerator[aiohttp.ClientSession, None]"


class LoopSessions:
    """One session for each event loop, opened when it is first asked for.

    make: called in the loop. closed: the message for a request after `close`.
    """

    def __init__(self, make: "Callable[[], aiohttp.ClientSession]", closed: str) -> None:
        self._make, self._message = make, closed
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    async def current(self) -> "aiohttp.ClientSession":
        """That of the running loop. Raises ConnectionLost after `close` in this loop."""
        found = self._kept.get(asyncio.get_running_loop())
        if found is not None and not found.session.closed:
            return found.session
        return await self._open()

    async def _open(self) -> "aiohttp.ClientSession":
        loop = asyncio.get_running_loop()
        if loop in self._closed:
            raise ConnectionLost(self._message, retryable=False)
        # Also those of loops that ended, such as of an earlier `asyncio.run`.
        for former in [each for each, kept in self._kept.items() if each.is_closed() or kept.session.closed]:
            await _end(self._kept.pop(former))
        keeper = _keep(self._make())
        # It does not wait for anything: no other task opens one meanwhile.
        session = await anext(keeper)
        self._kept[loop] = _Kept(session, keeper)
        return session

    def open(self) -> None:
        """Allows requests again after `close`."""
        self._closed.clear()

    async def close(self) -> None:
        """Closes the session of this loop, for good. Another loop, such as a later `asyncio.run`, has its own."""
        loop = asyncio.get_running_loop()
        self._closed.add(loop)
        if (kept := self._kept.pop(loop, None)) is not None:
            await _end(kept)


async def _end(kept: _Kept) -> None:
    await kept.keeper.aclose()
    # A loop that was closed without its generators has left it open.
    _open.discard(kept.session)
    await kept.session.close()
