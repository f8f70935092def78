"""SQL projections among all projections: the operations of the feature `projections` answer for them too.

Each handler of that feature is asked as before, unless the name is a SQL projection's.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from ironflow.base.call import Call
from ironflow.base.operation import Operation
from ironflow.base.progress import share
from ironflow.features.projections import contract as projections
from ironflow.features.sql_projections import contract, store
from ironflow.features.sql_projections.service import SqlProjections
from ironflow.storage.port import Database

Handler = Callable[[Call, Any], Awaitable[Any]]
# SQL projections of one environment that a list shows.
LISTED_MAX = 1000
# Clients know managed and external, and the server keeps what these are made of. `type` says that they are of SQL.
MODE = "managed"


class Adapter:
    """inner: the handlers of the feature `projections`."""

    def __init__(self, db: Database, sql: SqlProjections, inner: Mapping[Any, Any]) -> None:
        self._db = db
        self._sql = sql
        self._inner = inner

    def handlers(self) -> dict[Any, Any]:
        """The operations that have an answer for SQL projections."""
        return {
            projections.list_: self.list_,
            projections.statuses: self.statuses,
            **{
                operation: self._either(operation, own, acts_as)
                for operation, (own, acts_as) in {
                    projections.register: (self._refuse, None),
                    projections.get: (self._get, contract.get),
                    projections.envelope: (self._envelope, contract.get),
                    projections.status: (self._status, contract.get),
                    projections.pause: (self._pause, contract.pause),
                    projections.resume: (self._resume, contract.resume),
                    projections.delete: (self._delete, contract.delete),
                    projections.unregister: (self._unregister, contract.delete),
                    projections.rebuild: (self._rebuild, contract.rebuild),
                    projections.start_rebuild: (self._start_rebuild, contract.rebuild),
                    projections.rebuild_job: (self._rebuild_job, contract.get),
                    projections.get_rebuild: (self._get_rebuild, contract.get),
                    projections.cancel_rebuild: (self._cancel, contract.cancel_rebuild),
                }.items()
            },
        }

    def _either(self, operation: Any, own: Handler, acts_as: Operation[Any, Any] | None) -> Handler:
        """acts_as: the operation on SQL projections that `own` performs; its scope is required too."""
        inner: Handler = self._inner[operation]

        async def answer(call: Call, request: Any) -> Any:
            found = await self._db.peek(lambda tx: store.projection(tx, call.environment, request.name))
            if found is None:
                return await inner(call, request)
            if acts_as is not None:
                call.require(acts_as.scope)
            return await own(call, request)

        return answer

    # Lists

    async def list_(self, call: Call, request: projections.ListProjections) -> projections.Projections:
        limit = request.limit or 100
        whole = projections.ListProjections(
            status=request.status, mode=request.mode, limit=min(request.offset + limit, 10_000)
        )
        others: projections.Projections = await self._inner[projections.list_](call, whole)
        ours = [
            _info(each, call)
            for each in await self._all(call)
            if request.mode in ("", "sql", MODE) and request.status in ("", each.status)
        ]
        together = sorted([*others.projections, *ours], key=lambda each: each.name)
        return projections.Projections(
            projections=together[request.offset : request.offset + limit], total_count=others.total_count + len(ours)
        )

    async def statuses(self, call: Call, request: projections.ListStatuses) -> projections.Statuses:
        others: projections.Statuses = await self._inner[projections.statuses](call, request)
        ours = [_status(each) for each in await self._all(call, request.cursor)]
        together = sorted([*others.projections, *ours], key=lambda each: each.name)
        page = together[: request.limit]
        more = len(together) > request.limit or others.next_cursor is not None
        return projections.Statuses(projections=page, next_cursor=page[-1].name if more and page else None)

    async def _all(self, call: Call, cursor: str = "") -> list[contract.SqlProjection]:
        call.require(contract.list_.scope)
        found = await self._sql.list_(call, contract.ListSqlProjections(limit=LISTED_MAX, cursor=cursor))
        return found.projections

    # One of them

    async def _found(self, call: Call, name: str) -> contract.SqlProjectionDetails:
        return await self._sql.get(call, contract.NamedSqlProjection(name=name))

    async def _refuse(self, _call: Call, request: projections.Register) -> projections.Registered:
        raise contract.ProjectionNameTaken(f"{request.name!r} is a SQL projection, which the server applies by itself.")

    async def _get(self, call: Call, request: projections.GetProjection) -> projections.Projection:
        info = _info(await self._found(call, request.name), call)
        return projections.Projection(name=info.name, partition="", mode=MODE, registry=info)

    async def _envelope(self, call: Call, request: projections.GetProjection) -> projections.Envelope:
        found = await self._found(call, request.name)
        if request.as_of is not None:
            raise projections.NotRecorded(
                f"{found.name!r} is a SQL projection: its tables hold what is so now, and no earlier states are kept. "
                "Read the events of that time instead, or keep the times in its rows."
            )
        return projections.Envelope(
            name=found.name,
            version=1,
            mode=MODE,
            type="sql",
            status=found.status,
            last_event_seq=found.last_event_seq,
            updated_at=found.updated_at,
            error_message=found.error_message,
        )

    async def _status(self, call: Call, request: projections.Named) -> projections.Status:
        return _status(await self._found(call, request.name))

    async def _pause(self, call: Call, request: projections.Named) -> projections.StatusChanged:
        return await self._changed(self._sql.pause, call, request.name)

    async def _resume(self, call: Call, request: projections.Named) -> projections.StatusChanged:
        return await self._changed(self._sql.resume, call, request.name)

    async def _delete(self, call: Call, request: projections.Named) -> projections.StatusChanged:
        return await self._changed(self._sql.delete, call, request.name)

    async def _unregister(self, call: Call, request: projections.Named) -> None:
        await self._changed(self._sql.delete, call, request.name)

    async def _cancel(self, call: Call, request: projections.Named) -> projections.StatusChanged:
        try:
            return await self._changed(self._sql.cancel_rebuild, call, request.name)
        except contract.NoRebuild as fault:
            raise projections.RebuildNotFound(fault.message) from None

    async def _changed(self, change: Handler, call: Call, name: str) -> projections.StatusChanged:
        return projections.StatusChanged(status=(await change(call, contract.NamedSqlProjection(name=name))).status)

    # Rebuilds

    async def _rebuild(self, call: Call, request: projections.Rebuild) -> projections.RebuildAnswer:
        return projections.RebuildAnswer(job=await self._start(call, request))

    async def _start_rebuild(self, call: Call, request: projections.Rebuild) -> projections.RebuildShown:
        return projections.RebuildShown.of(await self._start(call, request))

    async def _rebuild_job(self, call: Call, request: projections.Named) -> projections.RebuildAnswer:
        return projections.RebuildAnswer(job=await self._job(call, request.name))

    async def _get_rebuild(self, call: Call, request: projections.Named) -> projections.RebuildShown:
        return projections.RebuildShown.of(await self._job(call, request.name))

    async def _start(self, call: Call, request: projections.Rebuild) -> projections.RebuildJob:
        if request.partition or request.from_event_id or request.to_event_id:
            raise projections.InvalidProjection(
                f"{request.name!r} is a SQL projection, which is rebuilt as a whole: leave out partition and events."
            )
        begun = await self._sql.rebuild(call, contract.RebuildSqlProjection(name=request.name, dry_run=request.dry_run))
        if request.dry_run:
            return _job(await self._found(call, request.name), call, "dry_run_ok", 0, begun.target)
        return await self._job(call, request.name)

    async def _job(self, call: Call, name: str) -> projections.RebuildJob:
        found = await self._found(call, name)
        if found.rebuild is not None:
            return _job(found, call, "running", found.rebuild.position, found.rebuild.target)
        if found.generation == 1:
            raise projections.RebuildNotFound(f"{name!r} was never rebuilt.")
        return _job(found, call, "completed", found.last_event_seq, found.last_event_seq)


def _info(found: contract.SqlProjection, call: Call) -> projections.ProjectionInfo:
    rebuild = found.rebuild
    return projections.ProjectionInfo(
        name=found.name,
        mode=MODE,
        status=found.status,
        events=found.events,
        last_event_seq=found.last_event_seq,
        created_at=found.created_at,
        updated_at=found.updated_at,
        environment_id=call.environment,
        error_message=found.error_message or "",
        type="sql",
        description=found.description or "",
        rebuild_target_seq=rebuild.target if rebuild else None,
        rebuild_start_cursor=0 if rebuild else None,
        rebuild_started_at=rebuild.started_at if rebuild else None,
    )


def _status(found: contract.SqlProjection) -> projections.Status:
    rebuild = found.rebuild
    return projections.Status(
        name=found.name,
        status=found.status,
        mode=MODE,
        type="sql",
        last_event_seq=found.last_event_seq,
        lag=found.lag,
        error_message=found.error_message,
        updated_at=found.updated_at,
        rebuild_target_seq=rebuild.target if rebuild else None,
        rebuild_start_cursor=0 if rebuild else None,
        rebuild_started_at=rebuild.started_at if rebuild else None,
    )


def _job(found: contract.SqlProjection, call: Call, status: str, done: int, total: int) -> projections.RebuildJob:
    """A rebuild, counted in positions of the log."""
    rebuild = found.rebuild
    left = rebuild.eta_ms if rebuild else None
    return projections.RebuildJob(
        job_id=f"rebuild_{call.environment}_{found.name}_{found.generation}",
        projection_name=found.name,
        status=status,
        events_processed=done,
        total_events=total,
        progress=1.0 if status == "completed" else share(done, total) if total else 0.0,
        started_at=rebuild.started_at if rebuild else found.updated_at,
        estimated_remaining=None if left is None else timedelta(milliseconds=left),
        error=found.error_message or "" if status == "running" else "",
        dry_run=status == "dry_run_ok",
    )
