"""Migrations: numbered, applied in order, each whole, once, on either database and by however many nodes."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage import migrate
from ironflow.storage.migrate import Migration, migrations
from ironflow.storage.open import open_database
from ironflow.storage.port import CannotOpen, Database, DatabaseTooNew, Tx

APPLIED = "SELECT number, name, applied_at FROM schema_migrations ORDER BY number"
ALL = [(each.number, each.name) for each in migrations()]


async def opened(url: str, now: int = 0) -> Database:
    return await open_database(url, LocalNotifier(), now)


def applied(tx: Tx) -> list[tuple[int, str, int]]:
    return [(number, name, at) for number, name, at in tx.rows(APPLIED)]


def use(monkeypatch: pytest.MonkeyPatch, *known: Migration) -> None:
    """As a program that knows these migrations."""
    monkeypatch.setattr(migrate, "migrations", lambda: known)


def test_the_migrations_are_numbered_from_one_each_once_and_named() -> None:
    numbers = [each.number for each in migrations()]
    assert (numbers[0], sorted(set(numbers))) == (1, numbers)
    assert all(each.name and each.statements for each in migrations())


async def test_a_new_database_gets_all_of_them_in_order(empty_database_url: str) -> None:
    db = await opened(empty_database_url, now=5)

    assert await db.read(applied) == [(number, name, 5) for number, name in ALL]
    await db.close()


async def test_opening_again_applies_nothing(empty_database_url: str) -> None:
    await (await opened(empty_database_url, now=5)).close()

    db = await opened(empty_database_url, now=9)

    assert {at for _, _, at in await db.read(applied)} == {5}
    await db.close()


async def test_an_older_database_gets_what_it_lacks_and_keeps_what_it_has(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Migration(1, "shelves", ("CREATE TABLE shelves (name {text} PRIMARY KEY)",))
    second = Migration(2, "boards", ("ALTER TABLE shelves ADD COLUMN boards BIGINT NOT NULL DEFAULT 3",))
    use(monkeypatch, first)
    db = await opened(empty_database_url, now=1)
    await db.write(lambda tx: tx.run("INSERT INTO shelves (name) VALUES ('pine')"))
    await db.close()

    use(monkeypatch, first, second)
    db = await opened(empty_database_url, now=2)

    assert await db.read(applied) == [(1, "shelves", 1), (2, "boards", 2)]
    assert await db.read(lambda tx: tx.rows("SELECT name, boards FROM shelves")) == [("pine", 3)]
    await db.close()


async def test_a_migration_that_fails_is_undone_whole_and_those_before_it_stand(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Migration(1, "shelves", ("CREATE TABLE shelves (name {text})",))
    broken = Migration(2, "boards", ("CREATE TABLE boards (name {text})", "CREATE TABLE boards (name {text})"))
    mended = Migration(2, "boards", ("CREATE TABLE boards (name {text})",))
    use(monkeypatch, first, broken)

    with pytest.raises(CannotOpen, match="boards"):
        await opened(empty_database_url)

    use(monkeypatch, first, mended)
    db = await opened(empty_database_url, now=7)
    assert await db.read(applied) == [(1, "shelves", 0), (2, "boards", 7)]
    await db.close()


async def test_a_newer_database_is_refused_and_not_touched(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Migration(1, "shelves", ("CREATE TABLE shelves (name {text})",))
    second = Migration(2, "boards", ("CREATE TABLE boards (name {text})",))
    use(monkeypatch, first, second)
    await (await opened(empty_database_url)).close()

    use(monkeypatch, first)
    with pytest.raises(DatabaseTooNew, match="is at schema 2, this program knows up to 1") as refused:
        await opened(empty_database_url)

    assert refused.value.exit_code == 78
    use(monkeypatch, first, second)
    db = await opened(empty_database_url)
    assert len(await db.read(applied)) == 2
    await db.close()


async def test_nodes_that_start_together_on_an_empty_postgresql_all_start(empty_postgres_url: str) -> None:
    nodes = await asyncio.gather(*(opened(empty_postgres_url, now=node) for node in range(4)))

    assert [(number, name) for number, name, _ in await nodes[0].read(applied)] == ALL
    for node in nodes:
        await node.close()


async def test_both_databases_get_the_same_tables_and_columns(tmp_path: Path, empty_postgres_url: str) -> None:
    sqlite = await opened(str(tmp_path / "ironflow.db"))
    tables = [
        row[0] for row in await sqlite.read(lambda tx: tx.rows("SELECT name FROM sqlite_master WHERE type = 'table'"))
    ]
    columns = {
        table: [row[1] for row in await sqlite.read(lambda tx, table=table: tx.rows(f"PRAGMA table_info({table})"))]
        for table in tables
        if not table.startswith("sqlite_")
    }
    await sqlite.close()
    await (await opened(empty_postgres_url)).close()

    with psycopg.connect(empty_postgres_url) as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
        ).fetchall()
    other: dict[str, list[str]] = {}
    for table, column in found:
        other.setdefault(table, []).append(column)

    assert other == columns
