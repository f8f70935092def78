"""What a start, a look-up and a replacement by key read does not depend on how many keys there are."""

import os
from typing import Any

import pytest

from ironflow.base.run_keys import RunKeyHeld
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from tests.keys.test_keys import a_chat, invoke
from tests.support.rows_read import FEW, Reads, reads_of
from tests.support.work import Work

# How many keys are held, and how many were held by runs that have ended; of one key there are as many of the latter.
KEYS = int(os.environ.get("IRONFLOW_KEYS", "20000"))
NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
# Ids that sort before all that the server makes.
HOLDING, ENDED, OF_ONE_KEY = "run_0000000000000H", "run_0000000000000E", "run_0000000000000O"


async def filled(server: Work, pattern: str, count: int) -> None:
    """Copies of the run `pattern`, as if they had begun before it."""

    def fill(tx: Any) -> None:
        if server.db.name == "sqlite":
            columns = [str(row[1]) for row in tx.rows("PRAGMA table_info(runs)")]
        else:
            names = "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
            columns = [str(row[0]) for row in tx.rows(f"{names} AND table_name = 'runs'")]
        for prefix, key, status in (
            (HOLDING, "'held-' || n", "pending"),
            (ENDED, "'ended-' || n", "completed"),
            (OF_ONE_KEY, "'often'", "completed"),
        ):
            values = {"id": f"'{prefix}' || (1000000000 + n)", "key": key, "status": f"'{status}'"}
            picked = ", ".join(values.get(each, each) for each in columns)
            tx.run(
                f"INSERT INTO runs ({', '.join(columns)}) {NUMBERS} SELECT {picked} FROM runs, numbers WHERE id = :id",
                {"count": count, "id": pattern},
            )
        tx.run(
            f"INSERT INTO run_keys (environment, function_id, key, run_id) {NUMBERS} "
            f"SELECT 'default', 'chat', 'held-' || n, '{HOLDING}' || (1000000000 + n) FROM numbers",
            {"count": count},
        )

    await server.db.write(fill)
    if server.db.name == "postgres":
        await server.db.write(lambda tx: tx.run("ANALYZE"))


async def requests(server: Work, suffix: str) -> dict[str, Reads]:
    """What each request about keys reads. suffix: of keys that no request has named yet."""
    found: dict[str, Reads] = {}
    with reads_of(server.db) as found["start"]:
        new = (await invoke(server, f"new-{suffix}")).run_id
        assert new is not None
    with reads_of(server.db) as found["use"]:
        assert (await invoke(server, f"new-{suffix}")).run_id == new
    with reads_of(server.db) as found["refuse"], pytest.raises(RunKeyHeld):
        await invoke(server, f"new-{suffix}", if_running="refuse")
    with reads_of(server.db) as found["look-up"]:
        assert (await server.call(runs.get, id=f"chat:new-{suffix}")).id == new
    with reads_of(server.db) as found["replace"]:
        other = await invoke(server, f"new-{suffix}", if_running="replace")
    with reads_of(server.db) as found["cancel"]:
        await server.call(runs.cancel, id=f"chat:new-{suffix}")
    with reads_of(server.db) as found["look-up of an ended one"]:
        assert (await server.call(runs.get, id=f"chat:new-{suffix}")).id == other.run_id
    with reads_of(server.db) as found["why"]:
        await server.call(controls.why, id=f"chat:new-{suffix}")
    return found


async def test_what_a_key_costs_is_the_same_among_many_keys(server: Work):
    await a_chat(server)
    first = (await invoke(server, "often")).run_id
    assert first is not None
    before = await requests(server, "before")
    await filled(server, first, KEYS)

    after = await requests(server, "after")

    for name, reads in after.items():
        assert reads.statements <= before[name].statements, name
        assert reads.most < FEW, (name, reads.each)
    with reads_of(server.db) as reads:
        assert (await invoke(server, f"held-{KEYS}")).existing
        assert (await invoke(server, f"ended-{KEYS}")).existing is None
        # Of many runs that had the key, the newest.
        await server.call(runs.cancel, id=first)
        assert (await server.call(runs.get, id="chat:often")).id == first
    assert reads.most < FEW, reads.each
