"""Counting slots and finding their holders costs what the key has: each statement goes by an index."""

import re
from typing import Any

import pytest

from ironflow.features.slots import store
from tests.support.server import Server, open_server

STATEMENTS = {
    name: getattr(store, name)
    for name in (
        "TAKEN", "TAKEN_SHARED", "QUEUED_ALONE", "QUEUED_SHARED", "QUEUED_BY_SLOT", "QUEUED_BY_LIMIT", "HOLDERS",
        "PAUSED_HOLDERS", "SHARED_HOLDERS",
    )
}  # fmt: skip
INDEXES = (
    "jobs_by_slot", "jobs_by_limit", "jobs_by_scope", "runs_holding_slots", "runs_holding_limits", "runs_keeping_slots",
    "runs_paused_in_scopes",
)  # fmt: skip
NUMBERS = ("limit", "ready_at")
LISTS = ("keys", "full")


def params_of(sql: str) -> dict[str, Any]:
    names = [*re.findall(r"(?<![:\w]):(\w+)", sql), *re.findall(r"\{each:(\w+)\}", sql)]
    return {name: 1 if name in NUMBERS else ["scope:a/b"] if name in LISTS else "scope:a/b" for name in names}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_about_slots_reads_all_runs_or_jobs(database_url: str, name: str):
    sql = STATEMENTS[name]
    async with open_server(Server, database_url) as server:

        def plan(tx: Any) -> str:
            if server.db.name == "sqlite":
                return "\n".join(row[3] for row in tx.rows(f"EXPLAIN QUERY PLAN {sql}", params_of(sql)))
            # The tables are empty, where reading them is cheaper than any index.
            tx.run("SET LOCAL enable_seqscan = off")
            return "\n".join(row[0] for row in tx.rows(f"EXPLAIN {sql}", params_of(sql)))

        text = await server.db.read(plan)
    if server.db.name == "sqlite":
        searches = re.findall(r"(?:SEARCH|SCAN) (?:jobs|runs)\b.*", text)
        # By the key of the slots, not by environment and function alone.
        assert searches, text
        assert all(re.search(r"slot_key=|limit_key=", each) for each in searches), text
    else:
        scans = re.findall(r"Scan.* on (?:jobs|runs)\b.*", text)
        assert scans, text
        assert all(re.search(rf"using ({'|'.join(INDEXES)}) on", each) for each in scans), text
