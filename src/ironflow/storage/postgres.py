"""PostgreSQL: each transaction on a pooled connection in a thread; batches for `write_many`.

One batch of a function is in flight at a time on a node: what arrives meanwhile is the next one, as on SQLite.
"""

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from ironflow.base.errors import IronflowError
from ironflow.base.notice import Notices
from ironflow.base.time import Millis
from ironflow.broker.port import Broker, Ring
from ironflow.storage.dialect import POSTGRES
from ironflow.storage.migrate import migrate
from ironflow.storage.port import Batch, CannotOpen, Item, Joiner, Params, Row, StorageFailed, Tx, bearable

T = TypeVar("T")
logger = logging.getLogger(__name__)

POOL_SIZE = 8
BATCH_MAX = 512
TRIES = 8
# Before the second attempt a transaction waits up to twice as long, then four times, and so on.
CONFLICT_PAUSE_S = 0.005
# Serialises migrations of nodes that start together; the number only has to be ours.
MIGRATION_LOCK = 0x1F10
# All queries of such a transaction see one moment.
SNAPSHOT = psycopg.IsolationLevel.REPEATABLE_READ
# A server that does not answer within this is not there.
CONNECT_S = 10

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=2048)
def pyformat(sql: str) -> bytes:
    """Fragments filled in and `:name` turned into the driver's `%(name)s`, as the driver sends it."""
    return _PARAMETER.sub(r"%(\1)s", POSTGRES.fill(sql).replace("%", "%%")).encode()


class PostgresTx:
    """A transaction on one connection; collects what to ring after the commit."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self.rings: list[Ring] = []
        self.told: list[Notices] = []

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        return self._execute(sql, params).fetchone()

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, params: Sequence[Params]) -> None:
        if params:
            with self._connection.cursor() as cursor:
                cursor.executemany(pyformat(sql), params)

    def ring(self, topic: str, key: str = "") -> None:
        self.rings.append((topic, key))

    def tell(self, notices: Notices) -> None:
        self.told.append(notices)

    def _execute(self, sql: str, params: Params | None) -> psycopg.Cursor[Row]:
        return self._connection.execute(pyformat(sql), params or {})


class PostgresDatabase:
    """The `Database` port on PostgreSQL. Open it with `open_postgres`."""

    name = "postgres"

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Row]], broker: Broker) -> None:
        self._pool = pool
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="postgres")
        self._waiting: dict[Any, list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._in_flight: set[Any] = set()
        self._joiners: dict[str, Joiner] = {}
        self._joining: set[str] = set()
        self._rung: dict[str, set[str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._heard: Callable[[Notices], None] | None = None

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        # A caller that is cancelled leaves the transaction to itself: what it commits has to ring.
        return await asyncio.shield(self._spawn(self._write(fn)))

    async def write_many(self, fn: Batch[Item, T], item: Item) -> T:
        self._check_open()
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.setdefault(fn, []).append((item, future))
        if fn not in self._in_flight:
            self._in_flight.add(fn)
            self._spawn(self._drain(fn))
        return await future

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        result, _ = await self._in_thread(lambda: self._transact(fn, SNAPSHOT))
        return result

    async def peek(self, fn: Callable[[Tx], T]) -> T:
        return await self.read(fn)

    def join(self, topic: str, joiner: Joiner) -> None:
        self._joiners[topic] = joiner
        self._broker.listen(topic, lambda keys: self._join_soon(topic, keys))

    def ring(self, topic: str, key: str = "") -> None:
        self._rang([(topic, key)])

    def hear(self, heard: Callable[[Notices], None]) -> None:
        self._heard = heard

    async def close(self) -> None:
        self._closed = True
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # Not on the loop: it has the answers of the last readers to bring.
        await self._loop.run_in_executor(None, self._threads.shutdown)
        await self._loop.run_in_executor(None, self._pool.close)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFailed("The server is shutting down.")

    async def _write(self, fn: Callable[[Tx], T]) -> T:
        result, tx = await self._in_thread(lambda: self._transact(fn))
        self._pass_on(tx)
        return result

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._threads, fn)

    def _transact(self, fn: Callable[[Tx], T], isolation: psycopg.IsolationLevel | None = None) -> tuple[T, PostgresTx]:
        """Runs `fn` in a transaction, again when PostgreSQL chose it to lose a conflict.

        isolation: SNAPSHOT for one that only reads; None for the database's own.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self._pool.connection() as connection:
                    # Part of BEGIN, so it costs no round trip.
                    connection.isolation_level = isolation
                    connection.read_only = isolation is SNAPSHOT
                    tx = PostgresTx(connection)
                    result = fn(tx)
                return result, tx
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as fault:
                if attempt == TRIES:
                    raise _as_storage_error(fault) from fault
                # At once it would take again what the winner has not got hold of yet.
                time.sleep(random.uniform(0.5, 1) * CONFLICT_PAUSE_S * 2**attempt)
            except (psycopg.Error, PoolTimeout) as fault:
                raise _as_storage_error(fault) from fault
            except StopIteration as fault:
                raise bearable(fault) from fault
        raise AssertionError("unreachable")

    async def _drain(self, fn: Batch[Any, Any]) -> None:
        try:
            while members := self._waiting.pop(fn, None):
                if len(members) > BATCH_MAX:
                    self._waiting[fn] = members[BATCH_MAX:]
                await self._run_group(fn, members[:BATCH_MAX])
        finally:
            self._in_flight.discard(fn)

    async def _run_group(self, fn: Batch[Any, Any], members: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        items = [item for item, _ in members]

        def answer_all(tx: Tx) -> list[tuple[asyncio.Future[Any], Any]]:
            return list(zip((future for _, future in members), fn(tx, items), strict=True))

        try:
            answers, tx = await self._in_thread(lambda: self._transact(answer_all))
        except BaseException as fault:  # noqa: BLE001 - it is the caller's, who gets it
            if len(members) == 1:
                if not members[0][1].done():
                    members[0][1].set_exception(fault)
            else:
                # One of them broke the function for all: each alone, so that the failure is its own.
                for member in members:
                    await self._run_group(fn, [member])
            return
        for future, result in answers:
            if future.done():
                continue
            if isinstance(result, IronflowError):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._pass_on(tx)

    def _pass_on(self, tx: PostgresTx) -> None:
        """What the transaction rang and told, after its commit."""
        self._rang(tx.rings)
        if self._heard is not None:
            for notices in tx.told:
                self._heard(notices)

    def _rang(self, rings: list[Ring]) -> None:
        if rings:
            # The broker's listeners start the joiners, here as on the other nodes.
            self._broker.ring(dict.fromkeys(rings))

    def _join_soon(self, topic: str, keys: set[str]) -> None:
        if self._closed:
            return
        self._rung.setdefault(topic, set()).update(keys)
        if topic not in self._joining:
            self._joining.add(topic)
            self._spawn(self._run_joiner(topic))

    async def _run_joiner(self, topic: str) -> None:
        joiner = self._joiners[topic]
        try:
            while keys := self._rung.pop(topic, None):
                after = await self._write(lambda tx, keys=keys: joiner(tx, keys))
                if after is not None:
                    after()
        except BaseException as fault:
            # The next ring asks it again; nobody waits for this one.
            logger.warning("joiner failed", extra={"topic": topic}, exc_info=fault)
        finally:
            self._joining.discard(topic)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _as_storage_error(fault: BaseException) -> StorageFailed:
    text = " ".join(str(fault).split())
    return StorageFailed(f"The database could not do this: {text}. Nothing was changed; try again.")


async def open_postgres(url: str, broker: Broker, now: Millis) -> PostgresDatabase:
    """Connects and brings the schema up to date.

    Raises CannotOpen when the server cannot be reached, DatabaseTooNew when a newer program wrote the database.
    """
    pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
        url, min_size=2, max_size=POOL_SIZE, open=False, timeout=CONNECT_S, kwargs={"prepare_threshold": 3}
    )
    try:
        await asyncio.get_running_loop().run_in_executor(None, _migrate_and_open, url, pool, now)
    except (psycopg.Error, PoolTimeout) as fault:
        await asyncio.get_running_loop().run_in_executor(None, pool.close)
        raise CannotOpen(
            f"PostgreSQL cannot be used: {' '.join(str(fault).split())}. Check --db and that it is running."
        ) from None
    return PostgresDatabase(pool, broker)


def _migrate_and_open(url: str, pool: ConnectionPool[psycopg.Connection[Row]], now: Millis) -> None:
    # Not from the pool: that would try again and again and not say what is wrong.
    with psycopg.connect(url, connect_timeout=CONNECT_S) as connection:

        def transaction(fn: Callable[[Tx], int]) -> int:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                return fn(PostgresTx(connection))

        migrate(transaction, now)
    pool.open(wait=True, timeout=CONNECT_S)
