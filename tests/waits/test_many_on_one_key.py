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
from tests.support.house import open_house
from tests.support.work import LEASE_MS, Work

LIMIT = 5
WORKERS = ("w1", "w2")
BATCH = 1_000
TAKEN = """SELECT count(*) FROM jobs WHERE environment = 'default' AND function_id = 'charge' AND slot_key = 'key:1'
 AND state IN ('ready', 'reserved', 'held')"""
# Rows of one statement are looked at one by one on SQLite: stricter than each commit.
SQLITE_WATCH = """CREATE TRIGGER watch_{word} AFTER {word} ON jobs WHEN NEW.state <> 'queued'
BEGIN SELECT RAISE(ABORT, 'over the limit') WHERE ({taken}) > {limit}; END"""
POSTGRES_WATCH = """CREATE FUNCTION watch_slots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF ({taken}) > {limit} THEN RAISE EXCEPTION 'over the limit'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER watch AFTER INSERT OR UPDATE ON jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.state <> 'queued') EXECUTE FUNCTION watch_slots()"""


async def watch(house: Work) -> None:
    """From now on no commit may leave more runs with a slot than the limit."""
    about = {"taken": TAKEN, "limit": LIMIT}
    if house.db.name == "postgres":
        await house.db.write(lambda tx: tx.run(POSTGRES_WATCH.format(**about)))
        return

    def add(tx: Tx) -> None:
        for word in ("INSERT", "UPDATE"):
            tx.run(SQLITE_WATCH.format(word=word, **about))
        # A transaction is kept only if it changed rows, and a trigger is none.
        assert tx.run("UPDATE log_head SET position = position") == 1

    await house.db.write(add)


async def register_workers(house: Work) -> None:
    for worker in WORKERS:
        await house.a_worker(worker, jobs_max=100)


async def play(house: Work, count: int, limit: int = LIMIT) -> None:
    """Every tenth time the worker that took the jobs dies with them, sometimes before it began."""
    await house.a_function(concurrency={"limit": limit, "key": "k"})
    await register_workers(house)
    for _ in range(count // BATCH):
        await house.call(events.emit_batch, events=[{"event": "order.placed", "data": {"k": 1}}] * BATCH)
    rounds = done = deaths = 0
    while done < count:
        rounds += 1
        worker = WORKERS[rounds % 2]
        taken = await house.poll(worker, available=100, acked=rounds % 20 != 0)
        assert len(taken) == min(LIMIT, count - done)
        if rounds % 10 == 0:
            deaths += 1
            house.move(LEASE_MS)
            await house.loop("leases")
            await register_workers(house)
            continue
        verdicts = await house.call(jobs.report, worker=worker, reports=[completed(job) for job in taken])
        assert {each.status for each in verdicts.results} == {"ok"}
        done += len(taken)
    assert deaths >= count // LIMIT // 10
    assert (await house.call(runs.list_, status="completed", limit=1)).total_count == count
    assert await house.db.read(lambda tx: tx.row("SELECT count(*) FROM jobs")) == (0,)


def completed(job: Assignment) -> dict[str, object]:
    fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
    return {"job": job.job_id, "status": "completed", **fence}


async def test_the_watch_refuses_a_commit_over_the_limit(house: Work):
    await watch(house)
    with pytest.raises(Exception, match="over the limit"):
        await play(house, BATCH, limit=LIMIT + 1)


async def test_a_thousand_runs_on_one_key_of_limit_five_all_end(house: Work):
    await watch(house)
    await play(house, 1_000)


async def test_ten_thousand_runs_on_one_key_of_limit_five_all_end_though_workers_die():
    # In memory where the machine has it: thousands of commits, and nothing here is about the disk.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        async with open_house(Work, str(Path(folder) / "ironflow.db")) as house:
            await watch(house)
            await play(house, 10_000)
