"""`kill -9` of a server while it starts: while it creates its tables, or just before it serves."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.crash.scene import Scene
from tests.crash.test_kill import SEED, integrity
from tests.crash.until import became

# The approximate time from opening the database to serving.
MIGRATING_S = 0.12
TRIES = 3

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


async def test_a_server_killed_while_it_creates_its_tables_leaves_a_database_that_opens(
    tmp_path: Path, empty_database_url: str
):
    print(f"IRONFLOW_CRASH_SEED={SEED}")
    with Scene(tmp_path, empty_database_url, seed=SEED) as scene:
        for number in range(TRIES):
            empty(empty_database_url)
            for _ in range(scene.chance.randint(1, 3)):
                starting = scene.begin_server()
                await became(lambda: is_opening(empty_database_url), within_s=10)
                # The moment of the kill is random on purpose.
                await became(lambda: False, scene.chance.uniform(0, MIGRATING_S))
                starting.kill()
            await scene.start_server()
            async with scene.client() as client:
                emitted = await client.emit("server.started", {"number": number}, idempotency_key="once")
                event = await client.events.get(emitted.event_id)
                assert (event.position, event.data) == (1, {"number": number})
            assert scene.stop_server() == 0
            if not empty_database_url.startswith("postgres"):
                assert integrity(empty_database_url) == "ok"


def is_opening(database: str) -> bool:
    """Whether a server has begun to use the database."""
    if not database.startswith("postgres"):
        return Path(database).exists()
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return row is not None and row[0] > 0


def empty(database: str) -> None:
    """Empties the database."""
    if database.startswith("postgres"):
        with psycopg.connect(database) as connection:
            (schema,) = connection.execute("SELECT current_schema()").fetchone() or ("public",)
            for statement in ("DROP SCHEMA {} CASCADE", "CREATE SCHEMA {}"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(schema)))
        return
    for suffix in ("", "-wal", "-shm"):
        Path(database + suffix).unlink(missing_ok=True)
