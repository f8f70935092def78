"""What goes on by itself: the oldest bulk job reaches its next runs, with its progress in the same transaction."""

from dataclasses import dataclass

from ironflow.base.errors import IronflowError
from ironflow.base.time import Millis
from ironflow.engine.decide import decide
from ironflow.features.bulk import rules, store
from ironflow.features.bulk.store import Job
from ironflow.features.runs import queries
from ironflow.features.runs.ledger import Change, Ledger
from ironflow.storage.port import Database, Tx

# Small, so that workers' reports get their turn in between.
BATCH = 50


@dataclass(frozen=True, slots=True)
class Advanced:
    """What one round did. more: a job is not done yet."""

    reached: int
    more: bool


class AdvanceBulk:
    """Works through bulk jobs one after another; after a crash it goes on where the last commit left it."""

    name = "bulk"
    topic = "bulk"
    every_ms = 5_000

    def __init__(self, db: Database, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger

    async def run_once(self, now: Millis) -> Advanced:
        def advance(tx: Tx) -> Advanced:
            job = store.next_running(tx)
            return Advanced(0, more=False) if job is None else self._advance(tx, job, now)

        return await self._db.write(advance)

    def _advance(self, tx: Tx, job: Job, now: Millis) -> Advanced:
        # Runs created after the job are none of its business, also when its own retries come by again.
        found = queries.page(tx, job.wanted, job.cursor, BATCH, 0)
        reached = [run for run in found if run.created_at <= job.created_at]
        # In one save, so that slots are locked after all runs, as everywhere.
        changes = self._changes(tx, job, [run.id for run in reached], now)
        self._ledger.save(tx, changes, now)
        done = len(found) < BATCH
        store.save(
            tx,
            job._replace(
                status="done" if done else "running",
                cursor=found[-1].id if found else job.cursor,
                changed=job.changed + len(changes),
                refused=job.refused + len(reached) - len(changes),
                updated_at=now,
            ),
        )
        return Advanced(len(reached), more=True)

    def _changes(self, tx: Tx, job: Job, run_ids: list[str], now: Millis) -> list[Change]:
        """What the job does to these runs; those whose state does not allow the action any more are left out."""
        command = rules.command_for(job.action, job.reason)
        changes: list[Change] = []
        for run in self._ledger.load(tx, run_ids).values():
            if job.action == "retry" and run.status != "failed":
                continue
            whole = self._ledger.load_whole(tx, run)
            try:
                changes.append((whole, decide(whole, command, now)))
            except IronflowError:
                continue
        return changes
