"""The file of a SQLite database: opened, locked, and known as ours."""

import fcntl
import os
from pathlib import Path

import apsw

from ironflow.storage.port import CannotOpen, DatabaseLocked, NotADatabase

APPLICATION_ID = 0x1F10


def connect(path: Path, readonly: bool) -> apsw.Connection:
    """Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=512)
    # Plans do not depend on what is bound; else statements on tables with partial indexes are prepared anew each time.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(5000)
    connection.pragma("cache_size", -32_000)
    connection.pragma("temp_store", "memory")
    return connection


def lock(path: Path) -> int:
    """The descriptor that keeps the file for this process until it is closed. Raises CannotOpen, DatabaseLocked."""
    try:
        lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise CannotOpen(f"{path} cannot be opened: {fault.strerror}. Check the path and its permissions.") from None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock_fd)
        raise DatabaseLocked(f"{path} is in use by another server. Stop that one, or give --db another path.") from None
    return lock_fd


def is_ours(connection: apsw.Connection, path: Path) -> bool:
    """Whether the database is one of ours already; False when it is empty. Raises NotADatabase for another's."""
    application_id = connection.pragma("application_id")
    if application_id == APPLICATION_ID:
        return True
    if application_id or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise NotADatabase(f"{path} is a SQLite database of another program. Give --db another path.")
    return False
