"""What happens: looking at versions of code, and moving runs."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import Json
from ironflow.base.paging import number_of
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.deploys import contract
from ironflow.features.functions import in_tx as functions
from ironflow.features.functions.contract import FunctionNotFound
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.jobs.in_tx import serving
from ironflow.features.runs.in_tx import job_key, unfinished_by_version
from ironflow.storage.port import Database, Tx

# Runs that are moved in one transaction.
MOVED_AT_ONCE = 1_000
# Unfinished runs that are counted by version.
RUNS_MAX = 10_000
# Later than any version.
NO_VERSION = 2**31


class Deploys:
    """The deploys feature. evict_ms: how long a worker counts as alive after its last request."""

    def __init__(self, db: Database, index: FunctionIndex, evict_ms: int) -> None:
        self._db = db
        self._index = index
        self._evict_ms = evict_ms

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.versions: self.versions,
            contract.registrations: self.registrations,
            contract.move_runs: self.move_runs,
        }

    async def versions(self, call: Call, request: contract.ListCodeVersions) -> contract.CodeVersions:
        def look(tx: Tx) -> contract.CodeVersions:
            function = self._function(tx, call, request.function_id)
            workers = serving(tx, call.environment, function.id, call.now - self._evict_ms)
            serves = [worker.code_versions.get(function.id, "") for worker in workers]
            first_seen = code_versions.first_seen(tx, call.environment, function.id)
            in_flight = {each.version: each.runs for each in code_versions.in_flight(tx, call.environment, function.id)}
            newest = code_versions.newest_version(serves, first_seen) if serves else None
            found = sorted({*serves, *in_flight}, key=lambda each: (first_seen.get(each, 0), each), reverse=True)
            return contract.CodeVersions(
                function_id=function.id,
                on_code_change=function.on_code_change,
                versions=[
                    contract.CodeVersion(
                        version=each,
                        first_seen_at=to_datetime(first_seen[each]) if each in first_seen else None,
                        workers=serves.count(each),
                        runs=in_flight.get(each, 0),
                        newest=each == newest,
                        may_go=newest is not None and code_versions.may_go(each, in_flight.get(each, 0), newest),
                    )
                    for each in found
                ],
            )

        return await self._db.read(look)

    async def registrations(self, call: Call, request: contract.ListRegistrations) -> contract.Registrations:
        before = number_of(request.cursor, NO_VERSION)

        def look(tx: Tx) -> contract.Registrations:
            function = self._function(tx, call, request.function_id)
            found = functions.versions(tx, call.environment, function.id, before, request.limit)
            runs, truncated = unfinished_by_version(tx, call.environment, function.id, RUNS_MAX)
            return contract.Registrations(
                registrations=[
                    contract.Registration(
                        version=each.version,
                        config=Json(each.config.encode()),
                        code_hash=each.code_hash,
                        reason=each.reason,
                        actor=each.actor,
                        recorded_at=to_datetime(each.recorded_at),
                        runs=runs.get(each.version, 0),
                    )
                    for each in found
                ],
                truncated=truncated,
                next_cursor=str(found[-1].version) if len(found) == request.limit else None,
            )

        return await self._db.read(look)

    async def move_runs(self, call: Call, request: contract.MoveRuns) -> contract.Moved:
        def begin(tx: Tx) -> None:
            function = self._function(tx, call, request.function_id)
            if request.to_version == request.from_version:
                raise contract.InvalidMove("from_version and to_version are the same. Name another, or none.")
            known = code_versions.first_seen(tx, call.environment, function.id)
            if request.to_version and request.to_version not in known:
                raise contract.InvalidMove(
                    f"No worker has served version {request.to_version[:80]!r} of function {function.id!r}. Name one "
                    "that `ironflow function versions` shows, or none for the newest."
                )
            summary = f"function {function.id}: runs of version {request.from_version} moved"
            audit_notes.record(
                tx,
                call,
                contract.move_runs,
                request,
                "run_control.moved",
                summary,
                function_id=function.id,
                from_version=request.from_version,
                to_version=request.to_version or None,
                reason=request.reason or None,
            )

        await self._db.write(begin)
        after, moved = "", 0

        def change(tx: Tx) -> list[str]:
            asked = (request.function_id, request.from_version, request.to_version, after, MOVED_AT_ONCE)
            runs = code_versions.move(tx, call.environment, *asked)
            tx.notify("jobs", job_key(call.environment, request.function_id))
            return runs

        while found := await self._db.write(change):
            after, moved = found[-1], moved + len(found)
        return contract.Moved(runs=moved)

    def _function(self, tx: Tx, call: Call, function_id: str) -> Startable:
        """Raises FunctionNotFound."""
        self._index.refresh(tx)
        found = self._index.get(call.environment, function_id)
        if found is None or found.status == "deleted":
            raise FunctionNotFound(
                f"There is no function {function_id[:80]!r} in environment {call.environment!r}. `ironflow function "
                "list` shows those that there are.",
                function_id=function_id,
            )
        return found
