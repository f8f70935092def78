"""What goes on by itself: the oldest bulk job reaches its next runs, with its progress in the same transaction."""

from ironflow.base.errors import IronflowError
from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.engine.decide import decide
from ironflow.features.bulk import rules, store
from ironflow.features.bulk.store import Job
from ironflow.features.entities import in_tx as entities
from ironflow.features.keys import in_tx as keys
from ironflow.features.keys.in_tx import RunKey
from ironflow.features.runs import in_tx as runs
from ironflow.features.runs.in_tx import Change, RunDeletion, RunRepository
from ironflow.storage.port import Database, Tx

# Small, so that workers' reports get their turn in between.
BATCH = 50
FORGOTTEN_MAX = 500


class AdvanceBulk:
    """Works through bulk jobs one after another; after a crash it goes on where the last commit left it."""

    name = "bulk"
    topic = "bulk"
    every_ms = 5_000
    notable = ()

    def __init__(self, db: Database, repository: RunRepository, deletion: RunDeletion) -> None:
        self._db = db
        self._repository = repository
        self._deletion = deletion

    async def run_once(self, now: Millis) -> Ran:
        def advance(tx: Tx) -> Ran:
            job = store.next_running(tx)
            if job is None:
                forgotten = store.forget_changes(tx, now - rules.UNDO_WITHIN_MS, FORGOTTEN_MAX)
                return Ran({"forgotten": forgotten} if forgotten else {}, more=forgotten == FORGOTTEN_MAX)
            return self._undo(tx, job, now) if job.undoes else self._advance(tx, job, now)

        return await self._db.write(advance)

    def _advance(self, tx: Tx, job: Job, now: Millis) -> Ran:
        # Runs created after the job are none of its business, also when its own retries come by again.
        # A text that few runs have takes several turns, so that no transaction reads them all.
        searched = runs.search(tx, job.wanted, job.cursor, BATCH, rules.SCAN_MAX)
        reached = [run for run in searched.runs if run.created_at <= job.created_at]
        reached_ids = [run.id for run in reached]
        changed = self._delete(tx, reached_ids, now) if job.action == rules.DELETE else 0
        if job.action != rules.DELETE:
            # In one save, so that slots are locked after all runs, as everywhere.
            changes = self._changes(tx, job, reached_ids, now)
            self._repository.save(tx, changes, now)
            changed = len(changes)
            if job.action in rules.UNDO:
                store.keep_changes(tx, job, [run.id for run, _ in changes if run is not None], now)
        advanced = job._replace(
            cursor=searched.cursor or job.cursor,
            changed=job.changed + changed,
            refused=job.refused + len(reached) - changed,
            updated_at=now,
        )
        if not searched.cursor:
            all_reached = advanced.changed + advanced.refused
            advanced = advanced._replace(status="done", matched=all_reached if job.more else job.matched, more=False)
        store.save(tx, advanced)
        return Ran({"reached": len(reached)}, more=True)

    def _undo(self, tx: Tx, job: Job, now: Millis) -> Ran:
        """Changes the next runs back; each once, however often the job is undone."""
        run_ids = store.changes_after(tx, job.undoes, job.cursor, BATCH)
        changes = self._changes(tx, job, run_ids, now)
        self._repository.save(tx, changes, now)
        store.drop_changes(tx, job.undoes, run_ids)
        store.save(
            tx,
            job._replace(
                status="done" if len(run_ids) < BATCH else "running",
                cursor=run_ids[-1] if run_ids else job.cursor,
                changed=job.changed + len(changes),
                refused=job.refused + len(run_ids) - len(changes),
                updated_at=now,
            ),
        )
        return Ran({"reached": len(run_ids)}, more=True)

    def _delete(self, tx: Tx, run_ids: list[str], now: Millis) -> int:
        """Removes those that have ended; how many."""
        ended = [(run.id, run.environment) for run in self._repository.load(tx, run_ids).values() if run.ended]
        self._deletion.delete_ended(tx, ended, now)
        return len(ended)

    def _changes(self, tx: Tx, job: Job, run_ids: list[str], now: Millis) -> list[Change]:
        """What the job does to these runs; those whose state does not allow the action any more are left out."""
        command = rules.command_for(job.id, job.action, job.reason, job.force)
        changes: list[Change] = []
        for run in self._repository.load(tx, run_ids).values():
            if job.action == "retry" and run.status != "failed":
                continue
            if job.undoes and not rules.can_be_undone(job.action, run):
                continue
            whole = self._repository.with_open_steps(tx, run)
            try:
                decision = decide(whole, command, now)
                if run.ended and run.key is not None:
                    keys.take_again(tx, RunKey(run.environment, run.function_id, run.key), run.id)
            except IronflowError:
                continue
            if job.action == "retry":
                entities.begin_again(tx, run)
            if decision.facts:
                changes.append((whole, decision))
        return changes
