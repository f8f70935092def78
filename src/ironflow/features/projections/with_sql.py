"""SQL projections among the others: lists, status, pause, resume, rebuild, cancel, delete and waits reach them too.

The room of SQL projections does the work; here its answers take the shapes of this room. To clients they are `managed`,
of type `sql`. A name belongs to one of the two rooms.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.features.projections import contract
from ironflow.features.projections.contract import ProjectionNotFound, Waited, WaitItem
from ironflow.features.projections.rebuilds import Rebuilds
from ironflow.features.projections.service import LIMIT_DEFAULT, Projections
from ironflow.features.sql_projections import contract as sql
from ironflow.features.sql_projections.contract import SqlProjection, SqlProjectionNotFound
from ironflow.features.sql_projections.service import SqlProjections

MODE, TYPE = "managed", "sql"
# In a cursor it stands before the names of SQL projections; no name has it.
MARK = "/"
PAGE = 1000
# The follower of SQL projections rings nobody.
LOOK_AGAIN_S = 0.1


class AllProjections:
    """The operations that both kinds have; a name that this room does not know is asked of the other."""

    def __init__(self, projections: Projections, rebuilds: Rebuilds, sql_projections: SqlProjections) -> None:
        self._projections = projections
        self._rebuilds = rebuilds
        self._sql = sql_projections

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        sql_rebuild, sql_cancel = self._sql.rebuild, self._sql.cancel_rebuild
        return {
            contract.register: self.register,
            contract.list_: self.list_,
            contract.statuses: self.statuses,
            contract.status: self._either(self._projections.status, self._status),
            contract.envelope: self._either(self._projections.envelope, self._envelope),
            contract.pause: self._either(self._projections.pause, self._said(self._sql.pause)),
            contract.resume: self._either(self._projections.resume, self._said(self._sql.resume)),
            contract.delete: self._either(self._projections.delete, self._said(self._sql.delete)),
            contract.unregister: self._either(self._projections.unregister, self._unregister),
            contract.cancel_rebuild: self._either(self._rebuilds.cancel, self._said(sql_cancel)),
            contract.rebuild: self._either(self._rebuilds.rebuild, self._rebuild(sql_rebuild, _answer)),
            contract.start_rebuild: self._either(self._rebuilds.start_rebuild, self._rebuild(sql_rebuild, _shown)),
            contract.rebuild_job: self._either(self._rebuilds.rebuild_job, self._job(_answer)),
            contract.get_rebuild: self._either(self._rebuilds.get_rebuild, self._job(_shown)),
        }

    async def register(self, call: Call, request: contract.Register) -> contract.Registered:
        if await self._found(call, request.name) is not None:
            raise contract.ProjectionNameTaken(f"{request.name!r} is a SQL projection. Take another name.")
        return await self._projections.register(call, request)

    async def list_(self, call: Call, request: contract.ListProjections) -> contract.Projections:
        """Those of runners by name, then those of SQL by name."""
        page = await self._projections.list_(call, request)
        others = [] if request.mode not in ("", MODE) else await self._every(call)
        others = [each for each in others if request.status in ("", each.status)]
        room = (request.limit or LIMIT_DEFAULT) - len(page.projections)
        start = max(request.offset - page.total_count, 0)
        page.projections += [_info(each, call.environment) for each in others[start : start + room]]
        page.total_count += len(others)
        return page

    async def statuses(self, call: Call, request: contract.ListStatuses) -> contract.Statuses:
        """As in list_; the cursor of an SQL projection has a mark before the name."""
        if request.cursor.startswith(MARK):
            page = contract.Statuses(projections=[])
        else:
            page = await self._projections.statuses(call, request)
            if page.next_cursor is not None:
                return page
        room, cursor = request.limit - len(page.projections), request.cursor.partition(MARK)[2]
        while room > 0:
            asked = sql.ListSqlProjections(limit=min(room, PAGE), cursor=cursor)
            found = await self._sql.list_(call, asked)
            page.projections += [_status(each) for each in found.projections]
            room -= len(found.projections)
            if found.next_cursor is None:
                return page
            cursor = found.next_cursor
        page.next_cursor = MARK + cursor
        return page

    async def waited(self, call: Call, item: WaitItem, deadline: float) -> Waited | None:
        """How a wait for an SQL projection ended; None when there is none of that name. Raises NotWaitable."""
        target = item.min_seq
        while True:
            found = await self._found(call, item.name)
            if found is None:
                return None
            # Without a position: all that is in the log when the wait begins.
            target = target or found.last_event_seq + found.lag
            caught_up = found.last_event_seq >= target
            over = asyncio.get_running_loop().time() >= deadline
            if caught_up or over:
                return Waited(
                    caught_up=caught_up,
                    timed_out=not caught_up,
                    current_seq=found.last_event_seq,
                    target_seq=target,
                    behind_by_events=max(target - found.last_event_seq, 0),
                    rebuilding=found.status == "rebuilding",
                    mode=MODE,
                )
            if found.status == "paused":
                raise contract.NotWaitable(f"{item.name!r} is paused and does not move. Resume it first.")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _found(self, call: Call, name: str) -> sql.SqlProjectionDetails | None:
        try:
            return await self._sql.get(call, sql.NamedSqlProjection(name=name))
        except SqlProjectionNotFound:
            return None

    async def _every(self, call: Call) -> list[SqlProjection]:
        found: list[SqlProjection] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._sql.list_(call, sql.ListSqlProjections(limit=PAGE, cursor=cursor))
            found += page.projections
            cursor = page.next_cursor
        return found

    def _either(
        self, ours: Callable[[Call, Any], Awaitable[Any]], theirs: Callable[[Call, Any], Awaitable[Any]]
    ) -> Callable[[Call, Any], Awaitable[Any]]:
        async def handle(call: Call, request: Any) -> Any:
            try:
                return await ours(call, request)
            except ProjectionNotFound:
                if await self._found(call, request.name) is None:
                    raise
                return await theirs(call, request)

        return handle

    def _said(self, ask: Callable[[Call, Any], Awaitable[Any]]) -> Callable[[Call, Any], Awaitable[contract.Said]]:
        async def handle(call: Call, request: contract.Named) -> contract.Said:
            return contract.Said(status=(await ask(call, sql.NamedSqlProjection(name=request.name))).status)

        return handle

    def _rebuild(self, ask: Any, shape: Callable[[contract.RebuildJob], Any]) -> Callable[[Call, Any], Awaitable[Any]]:
        async def handle(call: Call, request: contract.Rebuild) -> Any:
            if request.partition or request.from_event_id or request.to_event_id:
                raise contract.InvalidProjection("An SQL projection is rebuilt whole: leave partition and events out.")
            started = await ask(call, sql.RebuildSqlProjection(name=request.name, dry_run=request.dry_run))
            found = await self._sql.get(call, sql.NamedSqlProjection(name=request.name))
            job = _job(found)
            job.status, job.total_events, job.dry_run = started.status, started.target, request.dry_run
            return shape(job)

        return handle

    def _job(self, shape: Callable[[contract.RebuildJob], Any]) -> Callable[[Call, Any], Awaitable[Any]]:
        async def handle(call: Call, request: contract.Named) -> Any:
            found = await self._sql.get(call, sql.NamedSqlProjection(name=request.name))
            if found.rebuild is None:
                raise contract.RebuildNotFound(f"{request.name!r} is not being rebuilt.")
            return shape(_job(found))

        return handle

    async def _status(self, call: Call, request: contract.Named) -> contract.Status:
        return _status(await self._sql.get(call, sql.NamedSqlProjection(name=request.name)))

    async def _envelope(self, call: Call, request: contract.GetProjection) -> contract.Envelope:
        found = await self._sql.get(call, sql.NamedSqlProjection(name=request.name))
        return contract.Envelope(
            name=found.name,
            version=1,
            mode=MODE,
            status=found.status,
            last_event_seq=found.last_event_seq,
            updated_at=found.updated_at,
            error_message=found.error_message,
        )

    async def _unregister(self, call: Call, request: contract.Named) -> None:
        await self._sql.delete(call, sql.NamedSqlProjection(name=request.name))


def _status(found: SqlProjection) -> contract.Status:
    return contract.Status(
        name=found.name,
        status=found.status,
        mode=MODE,
        last_event_seq=found.last_event_seq,
        lag=found.lag,
        error_message=found.error_message,
        updated_at=found.updated_at,
        rebuild_target_seq=found.rebuild.target if found.rebuild else None,
        rebuild_start_cursor=0 if found.rebuild else None,
        rebuild_started_at=found.rebuild.started_at if found.rebuild else None,
        type=TYPE,
    )


def _info(found: SqlProjection, environment: str) -> contract.ProjectionInfo:
    return contract.ProjectionInfo(
        name=found.name,
        mode=MODE,
        status=found.status,
        events=found.events,
        last_event_seq=found.last_event_seq,
        created_at=found.created_at,
        updated_at=found.updated_at,
        environment_id=environment,
        error_message=found.error_message or "",
        type=TYPE,
        description=found.description or "",
        rebuild_target_seq=found.rebuild.target if found.rebuild else None,
        rebuild_started_at=found.rebuild.started_at if found.rebuild else None,
    )


def _job(found: SqlProjection) -> contract.RebuildJob:
    """Its rebuilds have no ids of their own: the name stands for them."""
    going = found.rebuild
    return contract.RebuildJob(
        job_id=f"rebuild_{found.name}",
        projection_name=found.name,
        status="rebuilding",
        events_processed=going.position if going else 0,
        total_events=going.target if going else 0,
        progress=going.progress if going else 0.0,
        started_at=going.started_at if going else found.updated_at,
        error=found.error_message or "",
    )


def _answer(job: contract.RebuildJob) -> contract.RebuildAnswer:
    return contract.RebuildAnswer(job=job)


def _shown(job: contract.RebuildJob) -> contract.RebuildShown:
    return contract.RebuildShown(
        **{"name": job.projection_name, **{name: getattr(job, name) for name in job.__struct_fields__}}
    )
