"""Opening: a foreign file is refused with a clear message and an exit code, and nothing in it is changed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage.migrate import migrations
from ironflow.storage.open import open_database
from ironflow.storage.port import CannotOpen, Database, DatabaseLocked, DatabaseTooNew, NotADatabase, StorageFailed, Tx
from tests.storage.disk import watched_disk
from tests.storage.notes import NOTES, adding, names

UNPRIVILEGED = 65534


async def opened(path: Path) -> Database:
    return await open_database(str(path), LocalNotifier(), now=0)


def make_table(tx: Tx) -> None:
    for statement in NOTES.statements:
        tx.run(statement)
    # SQLite keeps a transaction for its rows; tables are usually made by migrations.
    adding("")(tx)
    tx.run("DELETE FROM notes")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file of a folder with its bytes; folders with None.

    Without the log and the index of SQLite where they hold nothing: a damaged file leaves them behind.
    """
    found = {each.name: None if each.is_dir() else each.read_bytes() for each in folder.iterdir()}
    if not found.get("ironflow.db-wal", b"something"):
        del found["ironflow.db-wal"], found["ironflow.db-shm"]
    return found


def not_a_database(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7 " + b"a letter to my aunt " * 500)


def short_text(path: Path) -> None:
    path.write_text("hello")


def of_another_program(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')")
    other.close()


def of_another_program_with_an_application_id(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.pragma("journal_mode", "wal")
    other.pragma("application_id", 252006674)
    other.close()


def a_folder(path: Path) -> None:
    path.mkdir()


def ours(path: Path) -> None:
    """A database as we make it, without a server in sight."""
    subprocess.run(
        [sys.executable, "-c", MAKE, str(path)], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


MAKE = """
import asyncio, sys
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database

async def make():
    await (await open_database(sys.argv[1], LocalNotifier(), now=0)).close()

asyncio.run(make())
"""


def of_a_newer_version(path: Path) -> None:
    ours(path)
    newer = apsw.Connection(str(path))
    newer.execute(
        "INSERT INTO schema_migrations VALUES (:number, 'tomorrow', 0)", {"number": migrations()[-1].number + 1}
    )
    newer.close()


def damaged(path: Path) -> None:
    ours(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2000)


@pytest.mark.parametrize(
    ("make", "kind", "exit_code", "expected"),
    [
        (not_a_database, NotADatabase, 65, "is not a SQLite database"),
        (short_text, NotADatabase, 65, "is not a SQLite database"),
        (of_another_program, NotADatabase, 65, "of another program"),
        (of_another_program_with_an_application_id, NotADatabase, 65, "of another program"),
        (of_a_newer_version, DatabaseTooNew, 78, "written by a newer version"),
        (a_folder, CannotOpen, 74, "Is a directory"),
        (damaged, CannotOpen, 74, "cannot be opened"),
    ],
    ids=lambda given: given.__name__ if callable(given) and not isinstance(given, type) else None,
)
async def test_what_is_not_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], kind: type[CannotOpen], exit_code: int, expected: str
) -> None:
    path = tmp_path / "ironflow.db"
    make(path)
    before = contents(tmp_path)

    with pytest.raises(CannotOpen) as refused:
        await opened(path)

    assert (type(refused.value), refused.value.exit_code) == (kind, exit_code)
    assert expected in refused.value.message
    assert contents(tmp_path) == before


async def test_a_path_into_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="No such file or directory"):
        await opened(tmp_path / "no" / "such" / "folder" / "ironflow.db")

    assert contents(tmp_path) == {}


async def test_a_database_in_memory_is_refused_for_it_would_forget_everything(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CannotOpen, match="a file"):
        await opened(Path(":memory:"))

    assert contents(tmp_path) == {}


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user without rights, for root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ironflow.db"
    ours(path)
    path.chmod(0)
    before = path.stat()

    with unprivileged(), pytest.raises(CannotOpen, match="Permission denied") as refused:
        await opened(path)

    assert type(refused.value) is CannotOpen
    assert path.stat().st_mtime_ns == before.st_mtime_ns


async def test_a_full_disk_is_reported_and_a_new_file_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "ironflow.db"
    with watched_disk() as disk:
        disk.full = True
        with pytest.raises(CannotOpen, match="full") as refused:
            await opened(path)

        assert type(refused.value) is CannotOpen
        assert path.read_bytes() == b""

        disk.full = False
        db = await opened(path)
        await db.write(make_table)
        await db.close()


async def test_an_existing_database_on_a_full_disk_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ironflow.db"
    with watched_disk() as disk:
        db = await opened(path)
        await db.write(make_table)
        await db.write(adding("a"))
        await db.close()
        disk.full = True

        db = await opened(path)

        assert await db.read(names) == ["a"]
        with pytest.raises(StorageFailed):
            await db.write(adding("b"))
        disk.full = False
        assert await db.write(adding("c")) == "c"
        await db.close()


async def test_a_database_in_use_is_refused_by_every_name_of_it_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "ironflow.db"
    first = await opened(path)
    await first.write(make_table)
    (tmp_path / "alias.db").symlink_to(path)

    for name in ("ironflow.db", "alias.db"):
        with pytest.raises(DatabaseLocked, match="in use by another server") as refused:
            await opened(tmp_path / name)
        assert refused.value.exit_code == 75

    assert await first.write(adding("a")) == "a"
    await first.close()
    second = await opened(tmp_path / "alias.db")
    assert await second.read(names) == ["a"]
    await second.close()


async def test_a_refused_file_can_be_opened_once_the_reason_is_removed(tmp_path: Path) -> None:
    """A refusal leaves no lock behind."""
    path = tmp_path / "ironflow.db"
    not_a_database(path)
    with pytest.raises(NotADatabase):
        await opened(path)
    path.write_bytes(b"")

    await (await opened(path)).close()


async def test_an_unreachable_postgresql_server_is_reported_at_once_without_the_password() -> None:
    with pytest.raises(CannotOpen, match=r"refused|failed") as refused:
        await open_database("postgresql://me:hush@127.0.0.1:1/db", LocalNotifier(), now=0)

    assert type(refused.value) is CannotOpen
    assert "hush" not in refused.value.message


async def test_a_postgresql_address_that_is_none_is_refused() -> None:
    with pytest.raises(CannotOpen):
        await open_database("postgresql://[", LocalNotifier(), now=0)


async def test_a_postgresql_database_that_is_not_there_is_named(empty_postgres_url: str) -> None:
    missing = empty_postgres_url.partition("?")[0] + "_no"
    with pytest.raises(CannotOpen, match="does not exist"):
        await open_database(missing, LocalNotifier(), now=0)


SERVE = [sys.executable, "-m", "ironflow", "serve", "--port", "0", "--db"]
# Files cannot grow at all: what a full disk is to a process.
WITHOUT_SPACE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
os.execv(sys.executable, sys.argv[1:])
"""


async def served(name: str, path: Path) -> tuple[int | None, str, str]:
    """Exit code, output and error output of a server that ends by itself."""
    command = [*SERVE, str(path)]
    if name == "full":
        command = [sys.executable, "-c", WITHOUT_SPACE, *command]
    child = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(60):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    return child.returncode, out.decode(), err.decode()


@pytest.mark.processes
async def test_a_server_that_cannot_open_its_database_logs_one_line_and_exits_with_the_code(
    tmp_path: Path,
) -> None:
    folders = {name: tmp_path / name for name in ("text", "newer", "locked", "full")}
    for folder in folders.values():
        folder.mkdir()
    paths = {name: folder / "ironflow.db" for name, folder in folders.items()}
    not_a_database(paths["text"])
    of_a_newer_version(paths["newer"])
    holder = await opened(paths["locked"])
    await holder.write(make_table)
    before = {name: contents(folder) for name, folder in folders.items() if name != "full"}

    ended = dict(zip(paths, await asyncio.gather(*(served(name, path) for name, path in paths.items())), strict=True))

    assert {name: code for name, (code, _, _) in ended.items()} == {
        "text": 65, "newer": 78, "locked": 75, "full": 74
    }  # fmt: skip
    for _, out, err in ended.values():
        assert out == ""
        assert "Traceback" not in err
        assert 0 < len(err) < 500
    assert {name: contents(folder) for name, folder in folders.items() if name != "full"} == before
    assert await holder.write(adding("a")) == "a"
    await holder.close()
