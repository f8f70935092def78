"""Commits on PostgreSQL that a test delays, so that transactions overlap which cannot see each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

WITHIN_S = 10
HOLD = 4711
WAITERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
LATE_COMMITS = """
CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({hold}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hold AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hold_commit()"""


@asynccontextmanager
async def late_commits(url: str, table: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Transactions that write a row of `table` reach their commit and stop there until the block is left."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(LATE_COMMITS.format(hold=HOLD, table=table).encode())
        await connection.execute(f"SELECT pg_advisory_lock({HOLD})".encode())
        try:
            yield connection
        finally:
            await connection.execute(f"SELECT pg_advisory_unlock({HOLD})".encode())


async def waiters(connection: psycopg.AsyncConnection, expected: int) -> None:
    """Returns when `expected` transactions wait for a lock."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            row = await (await connection.execute(WAITERS)).fetchone()
            if row == (expected,):
                return
            # Only the database knows; it is asked until the deadline above.
            await asyncio.sleep(0.005)
