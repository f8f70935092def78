"""SQLite: one writer with group commit, readers beside it.

Statements of a batch run on the event loop, only COMMIT (with its fsync) runs in a thread: a writer thread would
retake the GIL after every statement and starve under load. What arrives during a commit forms the next batch.
Measured in benchmarks/storage.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ironflow.base.errors import IronflowError, ServerStopping
from ironflow.base.notice import Notices
from ironflow.base.time import Millis
from ironflow.notify.port import Notification, Notifier
from ironflow.storage.migrate import migrate
from ironflow.storage.port import (
    Batch,
    CannotOpen,
    CommitHook,
    Item,
    Load,
    NotADatabase,
    StorageFailed,
    Tx,
    bearable,
)
from ironflow.storage.sqlite_committer import Committer
from ironflow.storage.sqlite_file import APPLICATION_ID, connect, is_ours, lock
from ironflow.storage.sqlite_health import SqliteHealth, is_damage
from ironflow.storage.sqlite_tx import SqliteRead, SqliteTx, as_read_error, as_storage_error, snapshot

T = TypeVar("T")
logger = logging.getLogger(__name__)

# More than this in one batch would keep the loop from answering; the rest goes into the next.
BATCH_MAX = 512
# Another program that writes to the file is waited for so long, and looked at so often.
BUSY_S = 5.0
BUSY_EVERY_S = 0.02
PEEK_BUSY_MS = 20
# After a failed commit, notifications from outside of it are sent again after this time.
NOTIFY_AGAIN_S = 0.5

Done = Callable[[], None]


class _TransactionLost(Exception):
    """SQLite rolled back the whole transaction (disk full, I/O error); `__cause__` is its error."""


class SqliteDatabase:
    """The `Database` port on one SQLite file. Open it with `open_sqlite`."""

    name = "sqlite"

    def __init__(self, path: Path, lock_fd: int, writer: apsw.Connection, notifier: Notifier) -> None:
        self._path = path
        self._lock_fd = lock_fd
        self._writer = writer
        self._notifier = notifier
        self._peeker = connect(path, readonly=True)
        # Used on the event loop.
        self._peeker.set_busy_timeout(PEEK_BUSY_MS)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="sqlite-read")
        self._reader = threading.local()
        self._reader_connections: list[apsw.Connection] = []
        self._loop = asyncio.get_running_loop()
        self._committer = Committer(self._commit, self._loop)
        self._waiting: list[tuple[Callable[[Tx], Any], asyncio.Future[Any]]] = []
        self._waiting_many: dict[Any, list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._hooks: dict[str, CommitHook] = {}
        self._notifications: list[Notification] = []
        self._listeners: list[Callable[[Notices], None]] = []
        self._busy = False
        self._reading = 0
        self._closed = False
        # Set while closing: done when the last batch has been answered.
        self._idle: asyncio.Future[None] | None = None
        self._health = SqliteHealth(path, lock_fd)
        # Since when another program has kept the file from being written.
        self._busy_since: float | None = None

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        self._health.check()
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((fn, future))
        self._start_if_idle()
        return await future

    async def write_many(self, fn: Batch[Item, T], item: Item) -> T:
        self._check_open()
        self._health.check()
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting_many.setdefault(fn, []).append((item, future))
        self._start_if_idle()
        return await future

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        self._reading += 1
        try:
            return await self._loop.run_in_executor(self._readers, self._read_in_thread, fn)
        except StorageFailed as fault:
            self._health.note(fault.__cause__)
            raise
        finally:
            self._reading -= 1

    async def peek(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        try:
            return snapshot(self._peeker, fn)
        except StorageFailed as fault:
            self._health.note(fault.__cause__)
            raise

    async def peek_once(self, fn: Callable[[Tx], T]) -> T:
        self._check_open()
        try:
            return fn(SqliteRead(self._peeker))
        except apsw.Error as fault:
            self._health.note(fault)
            raise as_read_error(fault) from fault

    def run_in_commit(self, topic: str, hook: CommitHook, wanted: Callable[[], bool] = lambda: True) -> None:
        # It costs no transaction of its own here.
        if topic in self._hooks:
            raise ValueError(f"The topic {topic!r} has a commit hook already.")
        self._hooks[topic] = hook

    def notify(self, topic: str, key: str = "", *, local: bool = False) -> None:
        # There is one node.
        self._check_open()
        self._notifications.append((topic, key))
        self._start_if_idle()

    def issue(self) -> str | None:
        return self._health.issue()

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is under way or waits."""
        return not self._busy and not self._reading

    def load(self) -> Load:
        waiting = len(self._waiting) + sum(len(members) for members in self._waiting_many.values())
        return Load({"background": waiting}, {})

    def on_published(self, listener: Callable[[Notices], None]) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._busy:
            self._idle = self._loop.create_future()
            await self._idle
        self._committer.stop()
        # Not on the loop, which delivers the answers of the last readers.
        await self._loop.run_in_executor(None, self._readers.shutdown)
        for connection in (*self._reader_connections, self._peeker, self._writer):
            connection.close()
        os.close(self._lock_fd)

    # One batch: run on the loop, commit in the thread, answer on the loop.

    def _check_open(self) -> None:
        if self._closed:
            raise ServerStopping

    def _start_if_idle(self) -> None:
        if not self._busy:
            self._start_batch()

    def _start_batch(self) -> None:
        self._busy = True
        # At the next turn of the loop, so that all transactions of this turn share the commit.
        self._loop.call_soon(self._run_batch)

    def _run_batch(self) -> None:
        damage = self._health.damage()
        if damage is not None:
            self._undo(damage, *self._give_up())
            return
        # On the event loop, so another program that writes must not be waited for here.
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as fault:
            now = self._loop.time()
            self._busy_since = self._busy_since or now
            if now - self._busy_since < BUSY_S:
                self._loop.call_later(BUSY_EVERY_S, self._run_batch)
                return
            self._busy_since = None
            self._undo(fault, *self._give_up())
            return
        except apsw.Error as fault:
            self._undo(fault, *self._give_up())
            return
        self._busy_since = None
        self._run_begun()

    def _give_up(self) -> tuple[list[asyncio.Future[Any]], list[Notification]]:
        """Takes everything that waits, and what was notified from outside of a transaction."""
        waiting = [future for _, future in self._waiting]
        waiting += [future for members in self._waiting_many.values() for _, future in members]
        outside, self._notifications = self._notifications, []
        self._waiting, self._waiting_many = [], {}
        return waiting, outside

    def _run_begun(self) -> None:
        singles, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        groups: dict[Any, list[tuple[Any, asyncio.Future[Any]]]] = {}
        for fn, members in list(self._waiting_many.items()):
            groups[fn] = members[:BATCH_MAX]
            if len(members) > BATCH_MAX:
                self._waiting_many[fn] = members[BATCH_MAX:]
            else:
                del self._waiting_many[fn]
        outside, self._notifications = self._notifications, []
        notifications = list(outside)
        done: list[Done] = []
        waiting = [future for _, future in singles]
        waiting += [future for members in groups.values() for _, future in members]
        changes = self._writer.total_changes()
        try:
            for fn, future in singles:
                notifications += self._run_single(fn, future, done)
            for fn, members in groups.items():
                notifications += self._run_group(fn, members, done)
            notifications += self._run_hooks(notifications, done)
        except (apsw.Error, _TransactionLost) as fault:
            self._undo(fault.__cause__ or fault, waiting, outside)
            return
        if self._writer.total_changes() == changes:
            # Nothing to make durable: refusals, duplicates, polls without a result.
            self._writer.execute("ROLLBACK")
            self._finish(done, notifications)
            return
        self._committer.commit(lambda fault: self._answer(fault, waiting, done, notifications, outside))

    def _run_single(self, fn: Callable[[Tx], Any], future: asyncio.Future[Any], done: list[Done]) -> list[Notification]:
        tx = SqliteTx(self._writer)
        try:
            result = self._in_savepoint(lambda: fn(tx))
        except BaseException as fault:  # noqa: BLE001 - passed on to the caller
            done.append(_rejecter(future, self._own_fault(fault)))
            return []
        done.append(_resolver(future, result))
        self._pass_on(tx, done)
        return tx.notifications

    def _run_group(
        self, fn: Batch[Any, Any], members: list[tuple[Any, asyncio.Future[Any]]], done: list[Done]
    ) -> list[Notification]:
        tx = SqliteTx(self._writer)
        try:
            answers = self._in_savepoint(lambda: _paired(members, fn(tx, [item for item, _ in members])))
        except BaseException as fault:  # noqa: BLE001 - passed on to the caller
            own = self._own_fault(fault)
            if len(members) == 1:
                done.append(_rejecter(members[0][1], own))
                return []
            # One item broke the function for all. Each runs alone, so that only that item fails.
            return [each for member in members for each in self._run_group(fn, [member], done)]
        done.append(partial(_answer_all, answers))
        self._pass_on(tx, done)
        return tx.notifications

    def _run_hooks(self, notified: list[Notification], done: list[Done]) -> list[Notification]:
        notifications: list[Notification] = []
        for topic, hook in self._hooks.items():
            keys = {key for name, key in notified if name == topic}
            if not keys:
                continue
            tx = SqliteTx(self._writer)
            try:
                after = self._in_savepoint(lambda hook=hook, tx=tx, keys=keys: hook(tx, keys))
            except BaseException as fault:
                logger.warning("commit hook failed", extra={"topic": topic}, exc_info=self._own_fault(fault))
                continue
            if after is not None:
                done.append(after)
            self._pass_on(tx, done)
            notifications += tx.notifications
        return notifications

    def _pass_on(self, tx: SqliteTx, done: list[Done]) -> None:
        done += [partial(listener, notices) for notices in tx.published for listener in self._listeners]

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
        """The error for the caller. Raises _TransactionLost when the whole batch was rolled back."""
        if not self._writer.in_transaction or is_damage(fault):
            raise _TransactionLost from fault
        return as_storage_error(fault) if isinstance(fault, apsw.Error) else fault

    def _commit(self) -> None:
        self._health.check_files()
        self._writer.execute("COMMIT")

    def _answer(
        self,
        fault: BaseException | None,
        waiting: list[asyncio.Future[Any]],
        done: list[Done],
        notifications: list[Notification],
        outside: list[Notification],
    ) -> None:
        if fault is not None:
            self._undo(fault, waiting, outside)
            return
        self._health.written()
        self._finish(done, notifications)

    def _undo(self, fault: BaseException, waiting: list[asyncio.Future[Any]], outside: list[Notification]) -> None:
        logger.error("commit failed", extra={"error": str(fault), "transactions": len(waiting)})
        self._health.note(fault)
        if self._writer.in_transaction:
            # A damaged file may refuse that too; it is written no more.
            with contextlib.suppress(apsw.Error):
                self._writer.execute("ROLLBACK")
        damage = self._health.damage()
        error = damage or as_storage_error(fault)
        for future in waiting:
            _rejecter(future, error)()
        if outside and damage is None:
            # They belong to no change and stay valid. The pause keeps a failing disk from a busy loop.
            self._loop.call_later(NOTIFY_AGAIN_S, self._notify_again, outside)
        self._finish([], [])

    def _notify_again(self, notifications: list[Notification]) -> None:
        if not self._closed:
            self._notifications += notifications
            self._start_if_idle()

    def _finish(self, done: list[Done], notifications: list[Notification]) -> None:
        for each in done:
            each()
        self._busy = False
        if notifications:
            self._notifier.notify(dict.fromkeys(notifications))
        if self._waiting or self._waiting_many or self._notifications:
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
    """Each future with its result. Raises ValueError when the numbers differ."""
    return list(zip([future for _, future in members], results, strict=True))


def _answer_all(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, IronflowError):
            future.set_exception(bearable(result))
        else:
            future.set_result(result)


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


async def open_sqlite(path: Path, notifier: Notifier, now: Millis) -> SqliteDatabase:
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
        writer.set_busy_timeout(0)
        return SqliteDatabase(path, lock_fd, opened, notifier)
    except BaseException as fault:
        if writer is not None:
            writer.close()
        os.close(lock_fd)
        if isinstance(fault, apsw.NotADBError):
            raise NotADatabase(f"{path} is not a SQLite database. Give --db another path.") from None
        if isinstance(fault, apsw.Error):
            raise CannotOpen(f"{path} cannot be opened: {fault}. Check the disk and its permissions.") from None
        raise
