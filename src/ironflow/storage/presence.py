"""That this process is alive, as its database knows it: a lock of a connection that does nothing else.

PostgreSQL frees the lock when the connection ends, and so as soon as the process is dead.
"""

import asyncio
import logging
from typing import Any, Protocol

import psycopg

from ironflow.base.target import is_postgres
from ironflow.notify.pooler import SESSION, is_pooled
from ironflow.storage.dialect import DATABASE_START

logger = logging.getLogger(__name__)

RECONNECT_S = 1.0
# The start of a server waits for its lock no longer than this.
START_S = 10.0
# An earlier connection of this process may have the lock until PostgreSQL has noticed its end.
AGAIN_S = 0.2
# A machine that vanished is noticed within 25 s, by both ends. Settings that a server does not have are left out, and a
# connection that is idle on purpose must not be closed for it.
KEEPALIVES: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
SETTINGS = b"""SELECT set_config(name, wanted_value, false) FROM (VALUES
 ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
 ('idle_session_timeout', '0')) AS wanted (wanted_name, wanted_value) JOIN pg_settings ON name = wanted_name"""
LOCK = b"SELECT pg_try_advisory_lock(%s)"
START = f"SELECT {DATABASE_START}".encode()


class Presence(Protocol):
    """Shows other processes that this one is alive.

    lock_key: of the lock that shows it; 0 where heartbeats have to, because a pooler gives its connection to others;
    None while it is not held. database_start: which start of the database the lock is of; another knows nothing of it.
    """

    @property
    def lock_key(self) -> int | None: ...

    @property
    def database_start(self) -> str: ...

    async def start(self) -> None:
        """Returns when the lock is held, or later than that after START_S."""
        ...

    async def close(self) -> None: ...


class OnlyProcess:
    """On SQLite the file is locked: every other process with it has ended."""

    lock_key: int | None = 1
    database_start = ""

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to stop."""


class PostgresPresence:
    """A session-level advisory lock. key: any number that no other lock of the database has."""

    def __init__(self, url: str, key: int) -> None:
        self._url = url
        self._key = key
        self.lock_key: int | None = None
        self.database_start = ""
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep())
        try:
            await asyncio.wait_for(self._settled.wait(), START_S)
        except TimeoutError:
            logger.warning("node is not shown as alive yet")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        """Holds the lock, and takes it again after the connection is lost."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, prepare_threshold=None, **KEEPALIVES
                ) as connection:
                    if await _is_pooled(connection):
                        # Any session may have the next statement, so none keeps a lock for this process.
                        logger.warning(
                            "no lock shows that this node is alive", extra={"consequence": "its heartbeats show it"}
                        )
                        return self._settle(0)
                    await self._hold(connection)
            except psycopg.Error as fault:
                logger.warning("node lost the connection that shows it as alive", extra={"error": str(fault)})
            self.lock_key = None
            await asyncio.sleep(RECONNECT_S)

    async def _hold(self, connection: psycopg.AsyncConnection) -> None:
        """Returns or raises when the connection has ended."""
        await connection.execute(SETTINGS)
        while not await _answer(connection, LOCK, self._key):  # noqa: ASYNC110 PostgreSQL has no event to wait for
            await asyncio.sleep(AGAIN_S)
        row = await (await connection.execute(START)).fetchone()
        self.database_start = row[0] if row is not None else ""
        self._settle(self._key)
        async for _ in connection.notifies():
            # It listens to nothing; the end of the connection ends the wait.
            pass

    def _settle(self, lock_key: int) -> None:
        self.lock_key = lock_key
        self._settled.set()


async def _is_pooled(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute(SESSION)
    return is_pooled(connection, await cursor.fetchone())


async def _answer(connection: psycopg.AsyncConnection, query: bytes, parameter: int) -> bool:
    cursor = await connection.execute(query, (parameter,))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def presence_for(target: str, key: int) -> Presence:
    """How this process shows that it is alive, for a `--db` value. It is not started yet."""
    return PostgresPresence(target, key) if is_postgres(target) else OnlyProcess()
