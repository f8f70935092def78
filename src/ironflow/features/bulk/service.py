"""What happens: starting, watching and stopping bulk jobs."""

from dataclasses import replace
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.bulk import contract, rules, store
from ironflow.features.bulk.store import Job
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs import contract as runs
from ironflow.features.runs.in_tx import Filter, count_some
from ironflow.storage.port import Database, Tx

# What an action needs besides the scope of bulk.start.
_SCOPES = {"cancel": runs.cancel.scope, rules.DELETE: runs.delete.scope}


class BulkJobs:
    """The bulk feature."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.start: self.start,
            contract.get: self.get,
            contract.list_: self.list_,
            contract.stop: self.stop,
            contract.undo: self.undo,
        }

    async def start(self, call: Call, request: contract.StartBulk) -> contract.Bulk:
        rules.check_bulk(request)
        if request.action in _SCOPES:
            call.require(_SCOPES[request.action])
        asked = rules.filter_of(request, call.environment)

        def look(tx: Tx) -> tuple[Filter, int, bool]:
            # The parent's id is kept: another run may have its key later.
            parent = keys.run_id_of(tx, call.environment, request.parent_run_id)
            wanted = replace(asked, parent_run_id=parent)
            return wanted, *count_some(tx, wanted, rules.COUNT_MAX, rules.SCAN_MAX)

        wanted, matched, more = await self._db.read(look)
        job = Job(
            id=self._ids.new("bulk"),
            environment=call.environment,
            action=request.action,
            wanted=wanted,
            reason=request.reason,
            force=request.force,
            status="dry_run" if request.dry_run else "running",
            cursor="",
            matched=matched,
            more=more,
            changed=0,
            refused=0,
            created_at=call.now,
            updated_at=call.now,
        )
        if not request.dry_run:
            await self._db.write(lambda tx: _start(tx, call, request, job))
        return _message(job)

    async def get(self, call: Call, request: contract.NamedBulk) -> contract.Bulk:
        return _message(await self._db.read(lambda tx: _job(tx, call, request.id)))

    async def list_(self, call: Call, request: contract.ListBulks) -> contract.Bulks:
        found = await self._db.read(lambda tx: store.jobs_before(tx, call.environment, request.cursor, request.limit))
        more = found[-1].id if len(found) == request.limit else None
        return contract.Bulks(jobs=[_message(job) for job in found], count=len(found), next_cursor=more)

    async def stop(self, call: Call, request: contract.NamedBulk) -> contract.Bulk:
        def change(tx: Tx) -> Job:
            job = _job(tx, call, request.id, to_change=True)
            if job.status != "running":
                raise contract.BulkEnded(f"Bulk job {job.id} has ended already: it is {job.status}.")
            stopped = job._replace(status="stopped", updated_at=call.now)
            store.save(tx, stopped)
            return stopped

        return _message(await self._db.write(change))

    async def undo(self, call: Call, request: contract.NamedBulk) -> contract.Bulk:
        def change(tx: Tx) -> Job:
            job = _job(tx, call, request.id, to_change=True)
            rules.check_undo(job.action, job.status, job.undoes, call.now - job.created_at)
            undo = Job(
                id=self._ids.new("bulk"),
                environment=call.environment,
                action=rules.UNDO[job.action],
                wanted=job.wanted,
                reason="",
                status="running",
                cursor="",
                matched=store.count_changes(tx, job.id),
                changed=0,
                refused=0,
                created_at=call.now,
                updated_at=call.now,
                undoes=job.id,
            )
            store.insert(tx, undo)
            about = {"bulk_id": undo.id, "undoes": job.id, "action": undo.action, "matched": undo.matched}
            summary = f"undo of the {job.action} of {undo.matched} runs"
            audit_notes.record(tx, call, contract.undo, request, "bulk.started", summary, **about)
            return undo

        return _message(await self._db.write(change))


def _start(tx: Tx, call: Call, request: contract.StartBulk, job: Job) -> None:
    store.insert(tx, job)
    about = {"bulk_id": job.id, "action": job.action, "matched": job.matched, "reason": job.reason or None}
    if job.force:
        about["force"] = True
    if job.more:
        about["more"] = True
    summary = f"{job.action} of {'at least ' if job.more else ''}{job.matched} runs"
    audit_notes.record(tx, call, contract.start, request, "bulk.started", summary, **about)


def _job(tx: Tx, call: Call, job_id: str, *, to_change: bool = False) -> Job:
    job = store.job(tx, call.environment, job_id, to_change=to_change)
    if job is None:
        raise contract.BulkNotFound(f"There is no bulk job {job_id[:80]!r} in environment {call.environment!r}.")
    return job


def _message(job: Job) -> contract.Bulk:
    return contract.Bulk(
        id=job.id,
        action=job.action,
        status=job.status,
        matched=job.matched,
        more=job.more,
        changed=job.changed,
        refused=job.refused,
        created_at=to_datetime(job.created_at),
        updated_at=to_datetime(job.updated_at),
        undoes=job.undoes,
    )
