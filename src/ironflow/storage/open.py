"""Opens the database that a `--db` value names."""

from pathlib import Path

from ironflow.base.time import Millis
from ironflow.broker.port import Broker
from ironflow.storage.port import Database
from ironflow.storage.sandbox import Sandbox


def is_postgres(target: str) -> bool:
    return target.startswith(("postgres://", "postgresql://"))


async def open_database(target: str, broker: Broker, now: Millis) -> Database:
    """`postgresql://…` or a path to a SQLite file. Raises CannotOpen and its kinds."""
    if is_postgres(target):
        from ironflow.storage.postgres import open_postgres

        return await open_postgres(target, broker, now)
    from ironflow.storage.sqlite import open_sqlite

    return await open_sqlite(Path(target).expanduser(), broker, now)


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
