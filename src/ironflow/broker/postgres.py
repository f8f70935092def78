"""The doorbell between nodes on one PostgreSQL: NOTIFY carries topics and keys, LISTEN wakes the others.

Rings are gathered for a few milliseconds and sent by a task of their own, never within a user's transaction: NOTIFY
takes a lock at commit that all senders share.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import psycopg

from ironflow.broker.port import Bell, LocalBroker, Ring

logger = logging.getLogger(__name__)

CHANNEL = "ironflow_rings"
GATHER_S = 0.003
RECONNECT_S = 1.0
# PostgreSQL refuses payloads of 8000 bytes or more.
PAYLOAD_BYTES = 7000


class PostgresBroker:
    """A LocalBroker that also rings on the other nodes and hears theirs. `node`: this process's own name."""

    def __init__(self, url: str, node: str) -> None:
        self._url = url
        self._node = node
        self._local = LocalBroker()
        self._to_send: dict[Ring, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def ring(self, rings: Iterable[Ring]) -> None:
        rings = list(rings)
        self._local.ring(rings)
        self._to_send.update(dict.fromkeys(rings))
        self._wake.set()

    def bell(self, topic: str, key: str = "") -> Bell:
        return self._local.bell(topic, key)

    def listen(self, topic: str, heard: Callable[[set[str]], None]) -> None:
        self._local.listen(topic, heard)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(self._send)), asyncio.create_task(self._keep(self._hear))]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, work: Callable[[psycopg.AsyncConnection], Awaitable[None]]) -> None:
        """Runs `work` on a connection of its own, again after the connection is lost."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await work(connection)
            except psycopg.Error as fault:
                logger.warning("doorbell lost its connection", extra={"error": str(fault)})
                await asyncio.sleep(RECONNECT_S)

    async def _send(self, connection: psycopg.AsyncConnection) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            rings, self._to_send = list(self._to_send), {}
            try:
                for payload in payloads(self._node, rings):
                    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            except psycopg.Error:
                # Some may ring twice; that wakes somebody for nothing, which a lost one does not.
                self._to_send = {**dict.fromkeys(rings), **self._to_send}
                self._wake.set()
                raise

    async def _hear(self, connection: psycopg.AsyncConnection) -> None:
        await connection.execute(f"LISTEN {CHANNEL}")
        # Whatever rang while nobody here was listening.
        self._local.ring_all()
        async for notice in connection.notifies():
            try:
                node, rings = msgspec.json.decode(notice.payload, type=tuple[str, list[Ring]])
            except msgspec.MsgspecError as fault:
                logger.warning("unreadable ring", extra={"error": str(fault)})
                continue
            if node != self._node:
                self._local.ring(rings)


def payloads(node: str, rings: list[Ring]) -> list[str]:
    """The rings as JSON texts, each small enough for one NOTIFY."""
    text = msgspec.json.encode((node, rings)).decode()
    if len(text.encode()) <= PAYLOAD_BYTES:
        return [text]
    if len(rings) == 1:
        # A key too long to carry: ring the whole topic instead.
        return payloads(node, [(rings[0][0], "")])
    half = len(rings) // 2
    return payloads(node, rings[:half]) + payloads(node, rings[half:])
