"""SQLite: one writer with group commit, readers beside it.

Statements of a batch run on the event loop, only COMMIT (with its fsync) runs in a thread: a writer thread would
retake the GIL after every statement and starve under load. Whatever arrives during a commit is the next batch.
Measured in benchmarks/storage.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ironflow.base.errors import IronflowError
from ironflow.base.notice import Notices
from ironflow.base.time import Millis
from ironflow.broker.port import Broker, Ring
from ironflow.storage.migrate import migrate
from ironflow.storage.port import (
    Batch,
    CannotOpen,
    Item,
    Joiner,
    NotADatabase,
    StorageFailed,
    Tx,
    bearable,
)
from ironflow.storage.sqlite_file import APPLICATION_ID, connect, is_ours, lock
from ironflow.storage.sqlite_tx import SqliteTx, as_read_error, as_storage_error, snapshot

T = TypeVar("T")
logger = logging.getLogger(__name__)

# More than this in one batch would keep the loop from answering; the rest goes into the next.
BATCH_MAX = 512
# After a failed commit, rings from outside of it are rung again this much later.
RING_AGAIN_S = 0.5

Done = Callable[[], None]


class _TransactionGone(Exception):
    """SQLite gave up the whole transaction (disk full, I/O error); `__cause__` is what it said."""


class SqliteDatabase:
    """The `Database` port on one SQLite file. Open it with `open_sqlite`."""

    name = "sqlite"

    def __init__(self, path: Path, lock_fd: int, writer: apsw.Connection, broker: Broker) -> None:
        self._path = path
        self._lock_fd = lock_fd
        self._writer = writer
        self._broker = broker
        self._peeker = connect(path, readonly=True)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="sqlite-read")
        self._reader = threading.local()
        self._reader_connections: list[apsw.Connection] = []
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Callable[[Tx], Any], asyncio.Future[Any]]] = []
        self._waiting_many: dict[Any, list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._joiners: dict[str, Joiner] = {}
        self._rings: list[Ring] = []
        self._heard: Callable[[Notices], None] | None = None
        self._busy = False
        self._closed = False
        # Set while closing: done when the last batch has been answered.
        self._idle: asyncio.Future[None] | None = None

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((fn, future))
        self._kick()
        return await future

    async def write_many(self, fn: Batch[Item, T], item: Item) -> T:
        self._check_open()
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting_many.setdefault(fn, []).append((item, future))
        self._kick()
        return await future

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        return await self._loop.run_in_executor(self._readers, self._read_in_thread, fn)

    async def peek(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        return snapshot(self._peeker, fn)

    def join(self, topic: str, joiner: Joiner) -> None:
        self._joiners[topic] = joiner

    def ring(self, topic: str, key: str = "") -> None:
        self._check_open()
        self._rings.append((topic, key))
        self._kick()

    def hear(self, heard: Callable[[Notices], None]) -> None:
        self._heard = heard

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._busy:
            self._idle = self._loop.create_future()
            await self._idle
        self._committer.shutdown()
        # Not on the loop: it has the answers of the last readers to bring.
        await self._loop.run_in_executor(None, self._readers.shutdown)
        for connection in (*self._reader_connections, self._peeker, self._writer):
            connection.close()
        os.close(self._lock_fd)

    # One batch: run on the loop, commit in the thread, answer on the loop.

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFailed("The server is shutting down.")

    def _kick(self) -> None:
        if not self._busy:
            self._start_batch()

    def _start_batch(self) -> None:
        self._busy = True
        # Soon, not now: everything this turn of the loop brings shares the commit.
        self._loop.call_soon(self._run_batch)

    def _run_batch(self) -> None:
        singles, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        groups: dict[Any, list[tuple[Any, asyncio.Future[Any]]]] = {}
        for fn, members in list(self._waiting_many.items()):
            groups[fn] = members[:BATCH_MAX]
            if len(members) > BATCH_MAX:
                self._waiting_many[fn] = members[BATCH_MAX:]
            else:
                del self._waiting_many[fn]
        outside, self._rings = self._rings, []
        rings = list(outside)
        done: list[Done] = []
        waiting = [future for _, future in singles]
        waiting += [future for members in groups.values() for _, future in members]
        changes = self._writer.total_changes()
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for fn, future in singles:
                rings += self._run_single(fn, future, done)
            for fn, members in groups.items():
                rings += self._run_group(fn, members, done)
            rings += self._run_joiners(rings, done)
        except (apsw.Error, _TransactionGone) as fault:
            self._undo(fault.__cause__ or fault, waiting, outside)
            return
        if self._writer.total_changes() == changes:
            # Nothing to make durable: refusals, repetitions, polls that found nothing.
            self._writer.execute("ROLLBACK")
            self._finish(done, rings)
            return
        committing = self._loop.run_in_executor(self._committer, self._commit)
        committing.add_done_callback(lambda outcome: self._answer(outcome, waiting, done, rings, outside))

    def _run_single(self, fn: Callable[[Tx], Any], future: asyncio.Future[Any], done: list[Done]) -> list[Ring]:
        tx = SqliteTx(self._writer)
        try:
            result = self._in_savepoint(lambda: fn(tx))
        except BaseException as fault:  # noqa: BLE001 - it is the caller's, who gets it
            done.append(_rejecter(future, self._own_fault(fault)))
            return []
        done.append(_resolver(future, result))
        self._pass_on(tx, done)
        return tx.rings

    def _run_group(
        self, fn: Batch[Any, Any], members: list[tuple[Any, asyncio.Future[Any]]], done: list[Done]
    ) -> list[Ring]:
        tx = SqliteTx(self._writer)
        try:
            answers = self._in_savepoint(lambda: _paired(members, fn(tx, [item for item, _ in members])))
        except BaseException as fault:  # noqa: BLE001 - it is the caller's, who gets it
            own = self._own_fault(fault)
            if len(members) == 1:
                done.append(_rejecter(members[0][1], own))
                return []
            # One of them broke the function for all: each alone, so that the failure is its own.
            return [ring for member in members for ring in self._run_group(fn, [member], done)]
        for future, result in answers:
            done.append(_rejecter(future, result) if isinstance(result, IronflowError) else _resolver(future, result))
        self._pass_on(tx, done)
        return tx.rings

    def _run_joiners(self, rung: list[Ring], done: list[Done]) -> list[Ring]:
        rings: list[Ring] = []
        for topic, joiner in self._joiners.items():
            keys = {key for name, key in rung if name == topic}
            if not keys:
                continue
            tx = SqliteTx(self._writer)
            try:
                after = self._in_savepoint(lambda joiner=joiner, tx=tx, keys=keys: joiner(tx, keys))
            except BaseException as fault:
                logger.warning("joiner failed", extra={"topic": topic}, exc_info=self._own_fault(fault))
                continue
            if after is not None:
                done.append(after)
            self._pass_on(tx, done)
            rings += tx.rings
        return rings

    def _pass_on(self, tx: SqliteTx, done: list[Done]) -> None:
        heard = self._heard
        if heard is not None:
            done += [partial(heard, notices) for notices in tx.told]

    def _in_savepoint(self, work: Callable[[], T]) -> T:
        """Undoes what `work` did when it raises."""
        connection = self._writer
        connection.execute("SAVEPOINT one")
        try:
            result = work()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")
            raise
        connection.execute("RELEASE one")
        return result

    def _own_fault(self, fault: BaseException) -> BaseException:
        """What the caller is told. Raises _TransactionGone when all the others of the batch are concerned."""
        if not self._writer.in_transaction:
            raise _TransactionGone from fault
        return as_storage_error(fault) if isinstance(fault, apsw.Error) else fault

    def _commit(self) -> None:
        self._writer.execute("COMMIT")

    def _answer(
        self,
        outcome: asyncio.Future[None],
        waiting: list[asyncio.Future[Any]],
        done: list[Done],
        rings: list[Ring],
        outside: list[Ring],
    ) -> None:
        fault = outcome.exception()
        if fault is not None:
            self._undo(fault, waiting, outside)
            return
        self._finish(done, rings)

    def _undo(self, fault: BaseException, waiting: list[asyncio.Future[Any]], outside: list[Ring]) -> None:
        logger.error("commit failed", extra={"error": str(fault), "transactions": len(waiting)})
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        error = as_storage_error(fault)
        for future in waiting:
            _rejecter(future, error)()
        if outside:
            # They tell of no change, so what undid the others does not undo them; a moment later, lest it spins.
            self._loop.call_later(RING_AGAIN_S, self._ring_again, outside)
        self._finish([], [])

    def _ring_again(self, rings: list[Ring]) -> None:
        if not self._closed:
            self._rings += rings
            self._kick()

    def _finish(self, done: list[Done], rings: list[Ring]) -> None:
        for each in done:
            each()
        self._busy = False
        if rings:
            self._broker.ring(dict.fromkeys(rings))
        if self._waiting or self._waiting_many or self._rings:
            self._start_batch()
        elif self._idle is not None:
            self._idle.set_result(None)

    # Reading

    def _read_in_thread(self, fn: Callable[[Tx], T]) -> T:
        return snapshot(self._connection_of_thread(), fn)

    def _connection_of_thread(self) -> apsw.Connection:
        if not hasattr(self._reader, "connection"):
            try:
                self._reader.connection = connect(self._path, readonly=True)
            except apsw.Error as fault:
                raise as_read_error(fault) from fault
            self._reader_connections.append(self._reader.connection)
        return self._reader.connection


def _paired(members: list[tuple[Any, asyncio.Future[Any]]], results: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Who waits, with what is answered. Raises ValueError when there is not one answer for each."""
    return list(zip((future for _, future in members), results, strict=True))


def _resolver(future: asyncio.Future[Any], result: Any) -> Done:
    def resolve() -> None:
        if not future.done():
            future.set_result(result)

    return resolve


def _rejecter(future: asyncio.Future[Any], fault: BaseException) -> Done:
    def reject() -> None:
        if not future.done():
            future.set_exception(bearable(fault))

    return reject


async def open_sqlite(path: Path, broker: Broker, now: Millis) -> SqliteDatabase:
    """Opens (or makes) the file, brings its schema up to date and keeps it locked until closed.

    Raises CannotOpen, DatabaseLocked, NotADatabase or DatabaseTooNew; then nothing has been written.
    """
    if str(path) == ":memory:":
        raise CannotOpen("A server keeps what it acknowledged in a file. Give --db a path.")
    lock_fd = lock(path)
    writer: apsw.Connection | None = None
    try:
        writer = connect(path, readonly=False)
        if not is_ours(writer, path):
            writer.pragma("application_id", APPLICATION_ID)
        writer.pragma("journal_mode", "wal")
        writer.pragma("synchronous", "full")
        opened = writer

        def transaction(fn: Callable[[Tx], int]) -> int:
            opened.execute("BEGIN IMMEDIATE")
            try:
                result = fn(SqliteTx(opened))
            except BaseException:
                opened.execute("ROLLBACK")
                raise
            opened.execute("COMMIT")
            return result

        migrate(transaction, now)
        return SqliteDatabase(path, lock_fd, opened, broker)
    except BaseException as fault:
        if writer is not None:
            writer.close()
        os.close(lock_fd)
        if isinstance(fault, apsw.NotADBError):
            raise NotADatabase(f"{path} is not a SQLite database. Give --db another path.") from None
        if isinstance(fault, apsw.Error):
            raise CannotOpen(f"{path} cannot be opened: {fault}. Check the disk and its permissions.") from None
        raise
