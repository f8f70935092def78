"""The notifier between nodes on one PostgreSQL: NOTIFY carries topics and keys to the nodes that LISTEN.

Notifications are gathered for a few milliseconds and sent by a task of their own, never within a user's transaction:
NOTIFY takes a lock at commit that all senders share.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import psycopg

from ironflow.notify.pooler import SESSION, is_pooled
from ironflow.notify.port import Listener, LocalNotifier, Notification, Waiter

logger = logging.getLogger(__name__)

# Nodes of an older version use this name too.
CHANNEL = "ironflow_rings"
GATHER_S = 0.003
RECONNECT_S = 1.0
# How often a node looks for what others have written, where it is not notified.
LOOK_S = 0.5
# PostgreSQL refuses payloads of 8000 bytes or more.
PAYLOAD_BYTES = 7000


class PostgresNotifier:
    """A LocalNotifier that also notifies the other nodes and is notified by them. node: the name of this process."""

    spans_nodes = True

    def __init__(self, url: str, node: str) -> None:
        self._url = url
        self._node = node
        self._local = LocalNotifier()
        self._to_send: dict[Notification, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # The error of each of the two connections that is lost, by what it is for.
        self._lost: dict[str, str] = {}

    @property
    def issue(self) -> str | None:
        lost = next(iter(self._lost.values()), None)
        return None if lost is None else f"No connection to PostgreSQL for notifications: {lost}"

    def notify(self, notifications: Iterable[Notification], *, local: bool = False) -> None:
        notifications = list(notifications)
        self._local.notify(notifications)
        if local:
            return
        self._to_send.update(dict.fromkeys(notifications))
        self._wake.set()

    def waiter(self, topic: str, key: str = "") -> Waiter:
        return self._local.waiter(topic, key)

    def listen(self, topic: str, listener: Listener) -> None:
        self._local.listen(topic, listener)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(self._send)), asyncio.create_task(self._keep(self._receive))]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, work: Callable[[psycopg.AsyncConnection], Awaitable[None]]) -> None:
        """Runs `work` on a connection of its own, again after the connection is lost."""
        name = work.__name__.strip("_")
        # Until it is connected for the first time.
        self._lost[name] = "not connected yet"
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, prepare_threshold=None
                ) as connection:
                    if self._lost.pop(name, None) not in (None, "not connected yet"):
                        logger.info("notifier connected again", extra={"connection": name})
                    await work(connection)
            except psycopg.Error as fault:
                self._lost[name] = " ".join(str(fault).split())
                logger.warning("notifier lost its connection", extra={"error": str(fault)})
                await asyncio.sleep(RECONNECT_S)

    async def _send(self, connection: psycopg.AsyncConnection) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            notifications, self._to_send = list(self._to_send), {}
            try:
                for payload in payloads(self._node, notifications):
                    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            except psycopg.Error:
                # Some may be sent twice. That wakes a reader for nothing; a lost one leaves it asleep.
                self._to_send = {**dict.fromkeys(notifications), **self._to_send}
                self._wake.set()
                raise

    async def _receive(self, connection: psycopg.AsyncConnection) -> None:
        cursor = await connection.execute(SESSION)
        if is_pooled(connection, await cursor.fetchone()):
            await self._look_regularly()
        await connection.execute(f"LISTEN {CHANNEL}")
        # Notifications sent before the LISTEN are lost to this node.
        self._local.notify_all()
        async for notice in connection.notifies():
            try:
                node, notifications = msgspec.json.decode(notice.payload, type=tuple[str, list[Notification]])
            except msgspec.MsgspecError as fault:
                logger.warning("unreadable notification", extra={"error": str(fault)})
                continue
            if node != self._node:
                self._local.notify(notifications)

    async def _look_regularly(self) -> None:
        """In place of notifications, which do not arrive: wakes everything every LOOK_S."""
        logger.warning(
            "a pooler is between this server and PostgreSQL", extra={"consequence": f"nodes look every {LOOK_S:g} s"}
        )
        while True:
            self._local.notify_all()
            await asyncio.sleep(LOOK_S)


def payloads(node: str, notifications: list[Notification]) -> list[str]:
    """The notifications as JSON texts, each small enough for one NOTIFY."""
    text = msgspec.json.encode((node, notifications)).decode()
    if len(text.encode()) <= PAYLOAD_BYTES:
        return [text]
    if len(notifications) == 1:
        # The key is too long to carry; the whole topic stands for it.
        return payloads(node, [(notifications[0][0], "")])
    half = len(notifications) // 2
    return payloads(node, notifications[:half]) + payloads(node, notifications[half:])
