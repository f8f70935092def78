"""Very many runs share one key of a limit of five while workers die: never more than five, no slot leaks, all end.

The database itself looks at every commit: a trigger refuses one that leaves more than five runs with a slot.
"""

import tempfile
from pathlib import Path

import pytest

from ironflow.features.events import contract as events
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.runs import contract as runs
from ironflow.storage.port import Tx
from tests.support.server import open_server
from tests.support.work import LEASE_MS, Work

LIMIT = 5
WORKERS = ("w1", "w2")
BATCH = 1_000
TAKEN = """SELECT count(*) FROM jobs WHERE environment = 'default' AND function_id = 'charge' AND slot_key = 'key:1'
 AND state IN ('ready', 'reserved', 'held')"""
# Rows of one statement are looked at one by one on SQLite: stricter than each commit.
SQLITE_WATCH = """CREATE TRIGGER watch_{verb} AFTER {verb} ON jobs WHEN NEW.state <> 'queued'
BEGIN SELECT RAISE(ABORT, 'over the limit') WHERE ({taken}) > {limit}; END"""
POSTGRES_FUNCTION = """CREATE FUNCTION watch_slots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF ({taken}) > {limit} THEN RAISE EXCEPTION 'over the limit'; END IF; RETURN NULL; END $$"""
POSTGRES_WATCH = """CREATE CONSTRAINT TRIGGER watch AFTER INSERT OR UPDATE ON jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.state <> 'queued') EXECUTE FUNCTION watch_slots()"""


async def watch(server: Work) -> None:
    """From now on no commit may leave more runs with a slot than the limit."""
    about = {"taken": TAKEN, "limit": LIMIT}
    if server.db.name == "postgres":
        await server.db.write(lambda tx: tx.run(POSTGRES_FUNCTION.format(**about)))
        await server.db.write(lambda tx: tx.run(POSTGRES_WATCH))
        return

    def add(tx: Tx) -> None:
        for verb in ("INSERT", "UPDATE"):
            tx.run(SQLITE_WATCH.format(verb=verb, **about))
        # A transaction is kept only if it changed rows, and a trigger is none.
        assert tx.run("UPDATE log_head SET position = position") == 1

    await server.db.write(add)


async def register_workers(server: Work) -> None:
    for worker in WORKERS:
        await server.a_worker(worker, jobs_max=100)


async def play(server: Work, count: int, limit: int = LIMIT) -> None:
    """Every tenth time the worker that took the jobs dies with them, sometimes before it began."""
    await server.a_function(concurrency={"limit": limit, "key": "k"})
    await register_workers(server)
    for _ in range(count // BATCH):
        await server.call(events.emit_batch, events=[{"event": "order.placed", "data": {"k": 1}}] * BATCH)
    rounds = done = deaths = 0
    while done < count:
        rounds += 1
        worker = WORKERS[rounds % 2]
        taken = await server.poll(worker, available=100, acked=rounds % 20 != 0)
        assert len(taken) == min(LIMIT, count - done)
        if rounds % 10 == 0:
            deaths += 1
            server.move(LEASE_MS)
            await server.loop("leases")
            await register_workers(server)
            continue
        verdicts = await server.call(jobs.report, worker=worker, reports=[completed(job) for job in taken])
        assert {each.status for each in verdicts.results} == {"ok"}
        done += len(taken)
    assert deaths >= count // LIMIT // 10
    assert (await server.call(runs.list_, status="completed", limit=1)).total_count == count
    assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM jobs")) == (0,)


def completed(job: Assignment) -> dict[str, object]:
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    return {"job": job.job_id, "status": "completed", **fence}


async def test_the_watch_refuses_a_commit_over_the_limit(server: Work):
    await watch(server)
    with pytest.raises(Exception, match="over the limit"):
        await play(server, BATCH, limit=LIMIT + 1)


async def test_a_thousand_runs_on_one_key_of_limit_five_all_end(server: Work):
    await watch(server)
    await play(server, 1_000)


async def test_ten_thousand_runs_on_one_key_of_limit_five_all_end_though_workers_die():
    # In memory where the machine has it: thousands of commits, and nothing here is about the disk.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        async with open_server(Work, str(Path(folder) / "ironflow.db")) as server:
            await watch(server)
            await play(server, 10_000)
