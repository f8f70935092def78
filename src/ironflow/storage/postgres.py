"""PostgreSQL: each transaction on a pooled connection in a thread; batches for `write_many`.

One batch of a function is in flight at a time on a node: what arrives meanwhile is the next one, as on SQLite.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from ironflow.base.errors import IronflowError, ServerStopping
from ironflow.base.notice import Notices
from ironflow.base.time import Millis
from ironflow.base.urgency import Urgency, urgency
from ironflow.notify.pooler import SESSION, is_pooled
from ironflow.notify.port import Notification, Notifier
from ironflow.storage.migrate import migrate
from ironflow.storage.port import (
    WAIT_MS,
    Batch,
    CannotOpen,
    CommitFailed,
    CommitHook,
    Item,
    Load,
    OutcomeUnknown,
    Overloaded,
    StorageFailed,
    Tx,
    bearable,
)
from ironflow.storage.postgres_commit import Connection, commit, configure
from ironflow.storage.postgres_pipeline import Pipeline
from ironflow.storage.postgres_tx import PostgresRead, PostgresSnapshot, PostgresTx, PostgresWrite
from ironflow.storage.turns import Bounded, Turns

T = TypeVar("T")
logger = logging.getLogger(__name__)

POOL_SIZE = 8
# Connections that new work leaves to work under way.
RESERVED = 2
BATCH_MAX = 512
TRIES = 8
# Before the second attempt a transaction waits up to twice as long, then four times, and so on.
CONFLICT_PAUSE_S = 0.005
# Serialises migrations of nodes that start together. Any number will do that no other program uses.
MIGRATION_LOCK = 0x1F10
# A server that does not answer within this time counts as unreachable.
CONNECT_S = 10


class _Waiting:
    """An item that waits for its batch, for a bounded time."""

    __slots__ = ("_bound", "_future", "_item")

    def __init__(self, item: Any, future: asyncio.Future[Any], bound: Bounded) -> None:
        self._item, self._future, self._bound = item, future, bound
        bound.__enter__()

    @property
    def is_refused(self) -> bool:
        return self._future.done() and not self._future.cancelled()

    def begin(self) -> tuple[Any, asyncio.Future[Any]]:
        """The item and the future of its answer, for a batch that runs now."""
        self._bound.__exit__()
        return self._item, self._future


class PostgresDatabase:
    """The `Database` port on PostgreSQL. Open it with `open_postgres`."""

    name = "postgres"

    def __init__(self, url: str, pool: ConnectionPool[Connection], notifier: Notifier, wait_ms: int) -> None:
        self._url = url
        self._pool = pool
        self._wait_ms = wait_ms
        self.turns = Turns(POOL_SIZE, RESERVED, wait_ms / 1000)
        self._notifier = notifier
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="postgres")
        self._waiting: dict[Any, list[_Waiting]] = {}
        self._in_flight: set[Any] = set()
        self._hooks: dict[str, CommitHook] = {}
        self._running_hooks: set[str] = set()
        self._hook_keys: dict[str, set[str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._listeners: list[Callable[[Notices], None]] = []

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        # A caller that is cancelled leaves the transaction to itself: what it commits has to notify.
        return await asyncio.shield(self._spawn(self._write(fn, urgency.get())))

    async def write_many(self, fn: Batch[Item, T], item: Item) -> T:
        self._check_open()
        future: asyncio.Future[T] = self._loop.create_future()
        waiting = urgency.get()
        self._waiting.setdefault(fn, []).append(_Waiting(item, future, self.turns.bounded(future, waiting)))
        if fn not in self._in_flight:
            self._in_flight.add(fn)
            self._spawn(self._drain(fn, waiting))
        return await future

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        result, _ = await self._in_turn(lambda: self._transact(fn, reads=True), urgency.get())
        return result

    async def peek(self, fn: Callable[[Tx], T]) -> T:
        return await self.read(fn)

    async def peek_once(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        return await self._in_turn(lambda: self._look(fn), urgency.get())

    def run_in_commit(self, topic: str, hook: CommitHook, wanted: Callable[[], bool] = lambda: True) -> None:
        if topic in self._hooks:
            raise ValueError(f"The topic {topic!r} has a commit hook already.")
        self._hooks[topic] = hook
        self._notifier.listen(topic, lambda keys: self._run_hook_soon(topic, keys) if wanted() else None)

    def notify(self, topic: str, key: str = "", *, local: bool = False) -> None:
        self._notifier.notify([(topic, key)], local=local)

    def issue(self) -> str | None:
        return None

    def load(self) -> Load:
        return Load(dict(self.turns.waiting), dict(self.turns.refused))

    def on_published(self, listener: Callable[[Notices], None]) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        self._closed = True
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # Not on the loop, which delivers the answers of the last readers.
        await self._loop.run_in_executor(None, self._threads.shutdown)
        await self._loop.run_in_executor(None, self._pool.close)

    def _check_open(self) -> None:
        if self._closed:
            raise ServerStopping

    async def _write(self, fn: Callable[[Tx], T], waiting: Urgency) -> T:
        result, tx = await self._in_turn(lambda: self._transact(fn), waiting)
        self._pass_on(tx)
        return result

    async def _in_turn(self, fn: Callable[[], T], waiting: Urgency) -> T:
        """Runs `fn` on a thread when one is free. Raises Overloaded."""
        await self.turns.take(waiting)
        return await self._in_thread(fn, waiting)

    async def _in_thread(self, fn: Callable[[], T], waiting: Urgency) -> T:
        """Runs `fn` on a thread, in a turn that was taken; gives the turn back."""
        running = self._loop.run_in_executor(self._threads, fn)
        # A caller that leaves does not end what runs, so the thread is not free before.
        running.add_done_callback(lambda _: self.turns.give(waiting))
        return await asyncio.shield(running)

    def _look(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn`, of one statement, without a transaction."""
        try:
            with self._pool.connection() as connection:
                return fn(PostgresRead(connection.pipeline_of_transactions))
        except (psycopg.Error, PoolTimeout) as fault:
            raise _as_storage_error(fault) from fault
        except StopIteration as fault:
            raise bearable(fault) from fault

    def _transact(self, fn: Callable[[Tx], T], *, reads: bool = False) -> tuple[T, PostgresTx]:
        """Runs `fn` in a transaction, again when PostgreSQL chose it to lose a conflict; never after its commit."""
        for attempt in range(1, TRIES + 1):
            try:
                with self._pool.connection() as connection:
                    if reads:
                        tx = PostgresSnapshot(connection.pipeline_of_transactions)
                        result = fn(tx)
                        tx.commit()
                    else:
                        tx = PostgresWrite(connection.pipeline_of_transactions, self._wait_ms)
                        result = fn(tx)
                        transaction = tx.identify()
                        if transaction is not None:
                            commit(connection, transaction, self._url, tx.commit)
                return result, tx
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as fault:
                if attempt == TRIES:
                    raise _as_storage_error(fault) from fault
                # Run again at once, it would take the locks that the winner still needs.
                time.sleep(random.uniform(0.5, 1) * CONFLICT_PAUSE_S * 2**attempt)
            except psycopg.errors.LockNotAvailable as fault:
                raise Overloaded from fault
            except (psycopg.Error, PoolTimeout) as fault:
                raise _as_storage_error(fault) from fault
            except StopIteration as fault:
                raise bearable(fault) from fault
        raise AssertionError("unreachable")

    async def _drain(self, fn: Batch[Any, Any], waiting: Urgency) -> None:
        try:
            while self._waiting.get(fn):
                # What arrives until it is its turn is in the batch. Each item has a bound of its own.
                await self.turns.take(waiting, bounded=False)
                members = self._waiting.pop(fn)
                if len(members) > BATCH_MAX:
                    self._waiting[fn] = members[BATCH_MAX:]
                begun = [each.begin() for each in members[:BATCH_MAX] if not each.is_refused]
                if begun:
                    await self._run_group(fn, begun, waiting)
                else:
                    self.turns.give(waiting)
        finally:
            self._in_flight.discard(fn)

    async def _run_group(
        self, fn: Batch[Any, Any], members: list[tuple[Any, asyncio.Future[Any]]], waiting: Urgency
    ) -> None:
        """Runs a batch in a turn that was taken; gives the turn back."""
        items = [item for item, _ in members]

        def answer_all(tx: Tx) -> list[tuple[asyncio.Future[Any], Any]]:
            return list(zip((future for _, future in members), fn(tx, items), strict=True))

        try:
            answers, tx = await self._in_thread(lambda: self._transact(answer_all), waiting)
        except BaseException as fault:  # noqa: BLE001 - passed on to the caller
            if len(members) == 1 or isinstance(fault, CommitFailed | OutcomeUnknown | Overloaded):
                for _, future in members:
                    if not future.done():
                        future.set_exception(bearable(fault))
                return
            # One item broke the function for all. Each runs alone, so that only that item fails.
            for member in members:
                await self.turns.take(waiting, bounded=False)
                await self._run_group(fn, [member], waiting)
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
        """What the transaction notified and published, after its commit."""
        self._notify(tx.notifications)
        for notices in tx.published:
            for listener in self._listeners:
                listener(notices)

    def _notify(self, notifications: list[Notification]) -> None:
        if notifications:
            # The notifier's listeners start the hooks, here as on the other nodes.
            self._notifier.notify(dict.fromkeys(notifications))

    def _run_hook_soon(self, topic: str, keys: set[str]) -> None:
        if self._closed:
            return
        self._hook_keys.setdefault(topic, set()).update(keys)
        if topic not in self._running_hooks:
            self._running_hooks.add(topic)
            self._spawn(self._run_hook(topic))

    async def _run_hook(self, topic: str) -> None:
        try:
            while keys := self._hook_keys.pop(topic, None):
                await self._run_hook_once(topic, keys)
        finally:
            self._running_hooks.discard(topic)

    async def _run_hook_once(self, topic: str, keys: set[str]) -> None:
        """No caller waits for it: where it fails, it runs again with the keys of the next notification."""
        hook = self._hooks[topic]
        try:
            after = await self._write(lambda tx: hook(tx, keys), "background")
            if after is not None:
                after()
        except asyncio.CancelledError:
            raise
        except BaseException as fault:
            logger.warning("commit hook failed", extra={"topic": topic}, exc_info=fault)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _as_storage_error(fault: BaseException) -> StorageFailed:
    text = " ".join(str(fault).split())
    return StorageFailed(f"The database could not do this: {text}. Nothing was changed; try again.")


async def open_postgres(url: str, notifier: Notifier, now: Millis, wait_ms: int = WAIT_MS) -> PostgresDatabase:
    """Connects and brings the schema up to date. wait_ms: how long a request may wait for its turn, and for a lock.

    Raises CannotOpen when the server cannot be reached, DatabaseTooNew when a newer program wrote the database.
    """
    options: dict[str, Any] = {}
    pool: ConnectionPool[Connection] = ConnectionPool(
        url,
        connection_class=Connection,
        configure=configure,
        min_size=2,
        max_size=POOL_SIZE,
        open=False,
        timeout=CONNECT_S,
        kwargs=options,
    )
    try:
        await asyncio.get_running_loop().run_in_executor(None, _migrate_and_open, url, pool, options, now)
    except (psycopg.Error, PoolTimeout) as fault:
        await asyncio.get_running_loop().run_in_executor(None, pool.close)
        raise CannotOpen(
            f"PostgreSQL cannot be used: {' '.join(str(fault).split())}. Check --db and that it is running."
        ) from None
    return PostgresDatabase(url, pool, notifier, wait_ms)


def _migrate_and_open(url: str, pool: ConnectionPool[Connection], options: dict[str, Any], now: Millis) -> None:
    # Not from the pool, which would try again and again without reporting the error.
    with psycopg.connect(url, connect_timeout=CONNECT_S) as connection:

        def transaction(fn: Callable[[Tx], int]) -> int:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                tx = PostgresTx(Pipeline(connection, prepares=False))
                result = fn(tx)
                tx.flush()
                return result

        migrate(transaction, now)
        if is_pooled(connection, connection.execute(SESSION).fetchone()):
            options["prepare_threshold"] = None
    pool.open(wait=True, timeout=CONNECT_S)
