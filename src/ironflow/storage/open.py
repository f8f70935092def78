"""Opens the database that a `--db` value names."""

from pathlib import Path

from ironflow.base.target import is_postgres
from ironflow.base.time import Millis
from ironflow.notify.port import Notifier
from ironflow.storage.port import WAIT_MS, Database
from ironflow.storage.sandbox import Sandbox


async def open_database(target: str, notifier: Notifier, now: Millis, wait_ms: int = WAIT_MS) -> Database:
    """`postgresql://…` or a path to a SQLite file. Raises CannotOpen and its subclasses.

    wait_ms: how long a request may wait for its turn, on PostgreSQL.
    """
    if is_postgres(target):
        from ironflow.storage.postgres import open_postgres

        return await open_postgres(target, notifier, now, wait_ms)
    from ironflow.storage.sqlite import open_sqlite

    return await open_sqlite(Path(target).expanduser(), notifier, now)


async def open_sandbox(target: str, role: str = "") -> Sandbox:
    """Where users' SQL runs, beside the database that was opened with the same `target`.

    role: on PostgreSQL, what users' statements run as; empty for the server's own.
    """
    if is_postgres(target):
        from ironflow.storage.sandbox_postgres import PostgresSandbox

        sandbox = PostgresSandbox(target, role)
        await sandbox.open()
        return sandbox
    from ironflow.storage.sandbox_sqlite import SqliteSandbox

    return SqliteSandbox(Path(target).expanduser())
