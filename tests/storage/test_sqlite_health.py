"""SQLite: what a damaged, replaced or locked file and a full disk do, and what is known of them afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage import sqlite
from ironflow.storage.port import DatabaseDamaged, StorageFailed, Tx
from ironflow.storage.sqlite import SqliteDatabase, open_sqlite
from tests.storage.disk import Disk, watched_disk
from tests.storage.notes import adding, names

pytestmark = pytest.mark.usefixtures("only_notes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ironflow.db"


@pytest.fixture
def disk() -> Iterator[Disk]:
    with watched_disk() as disk:
        yield disk


@pytest.fixture
async def db(path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await open_sqlite(path, LocalNotifier(), now=0)
    yield opened
    await opened.close()


def damaged(tx: Tx) -> None:
    raise apsw.CorruptError("database disk image is malformed")


async def test_after_a_damaged_page_was_met_in_a_write_nothing_is_written_any_more(db: SqliteDatabase):
    await db.write(adding("before"))
    answers = await asyncio.gather(db.write(adding("a")), db.write(damaged), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseDamaged] * 2
    for write in (db.write(adding("b")), db.write_many(lambda tx, items: items, "c")):
        with pytest.raises(DatabaseDamaged, match="backup"):
            await write
    assert await db.read(names) == ["before"]
    assert "damaged" in (db.issue() or "")


@pytest.mark.parametrize("way", ["read", "peek"])
async def test_a_damaged_page_that_a_reader_meets_ends_the_writing_too(db: SqliteDatabase, way: str):
    with pytest.raises(StorageFailed):
        await getattr(db, way)(damaged)
    with pytest.raises(DatabaseDamaged):
        await db.write(adding("a"))


@pytest.mark.parametrize("name", ["ironflow.db", "ironflow.db-wal"])
async def test_a_write_to_a_deleted_file_is_not_acknowledged(db: SqliteDatabase, path: Path, name: str):
    await db.write(adding("before"))
    assert db.issue() is None
    path.with_name(name).unlink()
    with pytest.raises(DatabaseDamaged, match="deleted or replaced"):
        await db.write(adding("a"))
    assert name in (db.issue() or "")


async def test_a_deleted_file_is_known_before_anything_is_written(db: SqliteDatabase, path: Path):
    await db.write(adding("before"))
    path.unlink()
    assert "deleted or replaced" in (db.issue() or "")


async def test_a_full_disk_is_an_issue_until_a_write_succeeds(disk: Disk, path: Path):
    db = await open_sqlite(path, LocalNotifier(), now=0)
    disk.full = True
    with pytest.raises(StorageFailed):
        await db.write(adding("a"))
    assert "full" in (db.issue() or "")
    disk.full = False
    await db.write(adding("b"))
    assert db.issue() is None
    await db.close()


async def test_while_another_program_writes_only_writers_wait(db: SqliteDatabase, path: Path):
    await db.write(adding("a"))
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(db.write(adding("b")))
    # The loop turns, and readers are answered.
    await asyncio.sleep(0)
    assert await db.peek(names) == ["a"]
    assert await db.read(names) == ["a"]
    assert not writing.done()

    other.execute("ROLLBACK")
    other.close()
    assert await writing == "b"


async def test_another_program_that_writes_for_too_long_fails_the_writers(
    db: SqliteDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    answers = await asyncio.gather(
        db.write(adding("a")), db.write_many(lambda tx, items: items, "b"), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StorageFailed] * 2
    assert "locked" in str(answers[0])
    other.execute("ROLLBACK")
    other.close()
    assert await db.write(adding("c")) == "c"
