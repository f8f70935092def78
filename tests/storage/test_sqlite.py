"""SQLite: group commit, answers after the fsync, and what a full disk does."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage.port import StorageFailed, Tx
from ironflow.storage.sqlite import SqliteDatabase, open_sqlite
from tests.storage.disk import Disk, watched_disk
from tests.storage.notes import adding, names

pytestmark = pytest.mark.usefixtures("only_notes")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with watched_disk() as disk:
        yield disk


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await open_sqlite(tmp_path / "ironflow.db", LocalNotifier(), now=0)
    yield opened
    await opened.close()


class Gate:
    """Holds COMMIT open until released. commits: how many were begun."""

    def __init__(self, db: SqliteDatabase, *, shut: bool) -> None:
        self.commits = 0
        self.reached = threading.Event()
        self._open = threading.Event()
        if not shut:
            self._open.set()
        db._writer.set_commit_hook(self._commit)

    def _commit(self) -> bool:
        self.commits += 1
        self.reached.set()
        self._open.wait(10)
        return False

    def let_go(self) -> None:
        self._open.set()


async def reached(gate: Gate) -> None:
    await asyncio.to_thread(gate.reached.wait, 10)


async def turns(count: int = 50) -> None:
    """Lets everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_is_answered_before_commit_has_returned(db: SqliteDatabase) -> None:
    gate = Gate(db, shut=True)
    answered: list[str] = []
    one = asyncio.ensure_future(db.write(adding("one")))
    many = asyncio.ensure_future(db.write_many(lambda tx, items: [adding(each)(tx) for each in items], "many"))
    for task in (one, many):
        task.add_done_callback(lambda done: answered.append(done.result()))

    await reached(gate)
    await turns()
    assert answered == []
    assert await db.peek(names) == []

    gate.let_go()
    await asyncio.gather(one, many)
    assert sorted(answered) == ["many", "one"]


async def test_commit_returns_after_the_write_ahead_log_was_synced(disk: Disk, db: SqliteDatabase) -> None:
    disk.events.clear()

    await db.write(adding("a"))

    assert disk.events[-1] == "sync"
    assert "write" in disk.events


async def test_a_refusal_or_a_look_costs_no_commit(disk: Disk, db: SqliteDatabase) -> None:
    disk.events.clear()

    await db.write(names)
    await db.write(lambda tx: tx.run("DELETE FROM notes WHERE name = 'absent'"))

    assert disk.events == []


async def test_many_writers_share_commits(db: SqliteDatabase) -> None:
    gate = Gate(db, shut=False)

    async def write_ten(writer: int) -> None:
        for number in range(10):
            await db.write(adding(f"{writer}-{number}"))

    await asyncio.gather(*(write_ten(writer) for writer in range(64)))

    assert len(await db.read(names)) == 640
    assert gate.commits <= 20


async def test_what_arrives_during_a_commit_is_the_next_batch(db: SqliteDatabase) -> None:
    gate = Gate(db, shut=True)
    first = asyncio.ensure_future(db.write(adding("first")))
    await reached(gate)
    rest = [asyncio.ensure_future(db.write(adding(f"{number}"))) for number in range(100)]
    await turns()

    gate.let_go()
    await asyncio.gather(first, *rest)

    assert gate.commits == 2


async def test_reading_goes_on_during_a_commit(db: SqliteDatabase) -> None:
    await db.write(adding("before"))
    gate = Gate(db, shut=True)
    writing = asyncio.ensure_future(db.write(adding("after")))
    await reached(gate)

    assert await db.peek(names) == await db.read(names) == ["before"]

    gate.let_go()
    await writing


async def test_a_commit_hook_writes_in_the_commit_that_notified(db: SqliteDatabase) -> None:
    gate = Gate(db, shut=False)

    def hook(tx: Tx, keys: set[str]) -> None:
        adding("joined")(tx)

    def change(tx: Tx) -> None:
        adding("a")(tx)
        tx.notify("notes")

    db.run_in_commit("notes", hook)
    await db.write(change)

    assert await db.peek(names) == ["a", "joined"]
    assert gate.commits == 1


async def test_close_waits_for_a_commit_that_is_under_way(tmp_path: Path) -> None:
    db = await open_sqlite(tmp_path / "other.db", LocalNotifier(), now=0)
    gate = Gate(db, shut=True)
    writing = asyncio.ensure_future(db.write(adding("a")))
    await reached(gate)
    closing = asyncio.ensure_future(db.close())
    await turns()
    assert not closing.done()

    gate.let_go()

    assert await writing == "a"
    await closing


async def test_a_full_disk_at_commit_fails_all_of_its_writes_and_later_writes_work(
    disk: Disk, db: SqliteDatabase
) -> None:
    await db.write(adding("before"))
    received: list[set[str]] = []
    db._notifier.listen("notes", received.append)

    def notify_too(tx: Tx) -> None:
        adding("c")(tx)
        tx.notify("notes")

    disk.full = True
    failures = await asyncio.gather(
        db.write(adding("a")),
        db.write_many(lambda tx, items: [adding(each)(tx) for each in items], "b"),
        db.write(notify_too),
        return_exceptions=True,
    )
    assert [type(each) for each in failures] == [StorageFailed] * 3
    assert "full" in str(failures[0])
    assert await db.peek(names) == ["before"]
    assert received == []

    disk.full = False
    assert await db.write(adding("after")) == "after"
    assert await db.read(names) == ["after", "before"]


async def test_a_database_that_may_not_grow_fails_the_writes_and_takes_them_when_it_may(db: SqliteDatabase) -> None:
    pages = db._writer.pragma("page_count")
    db._writer.pragma("max_page_count", pages)

    failures = await asyncio.gather(
        *(db.write(adding(f"{number}", "x" * 100_000)) for number in range(5)), return_exceptions=True
    )
    assert [type(each) for each in failures] == [StorageFailed] * 5
    assert await db.read(names) == []

    db._writer.pragma("max_page_count", pages + 1000)
    await asyncio.gather(*(db.write(adding(f"{number}", "x" * 100_000)) for number in range(5)))
    assert await db.read(names) == ["0", "1", "2", "3", "4"]


async def test_a_write_that_does_not_fit_leaves_those_that_do(db: SqliteDatabase) -> None:
    db._writer.pragma("max_page_count", db._writer.pragma("page_count") + 3)

    answers = await asyncio.gather(
        db.write(adding("small")), db.write(adding("large", "x" * 1_000_000)), return_exceptions=True
    )

    # SQLite may give up the whole transaction or only the statement; what was refused is never there.
    assert isinstance(answers[1], StorageFailed)
    assert await db.read(names) == [each for each in answers if each == "small"]
    assert await db.write(adding("later")) == "later"


async def test_a_notification_outside_of_a_transaction_survives_a_failed_commit(disk: Disk, db: SqliteDatabase) -> None:
    """A poll that does not wait has nothing else that wakes it."""
    given: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
    db.run_in_commit("notes", lambda tx, keys: lambda: given.set_result(keys))
    disk.full = True
    writing = asyncio.ensure_future(db.write(adding("a")))
    db.notify("notes", "?")
    with pytest.raises(StorageFailed):
        await writing
    disk.full = False

    assert await asyncio.wait_for(given, 10) == {"?"}


async def test_a_lost_transaction_inside_a_batch_fails_all_of_it(db: SqliteDatabase) -> None:
    """As SQLite does by itself at some I/O errors: the transaction is gone after a statement."""

    def lose(tx: Tx) -> None:
        adding("b")(tx)
        db._writer.execute("ROLLBACK")
        raise apsw.IOError("the disk is gone")

    answers = await asyncio.gather(db.write(adding("a")), db.write(lose), db.write(adding("c")), return_exceptions=True)

    assert [type(each) for each in answers] == [StorageFailed] * 3
    assert await db.read(names) == []
    assert await db.write(adding("d")) == "d"
