"""What happens: a bounded read of the newest runs, then numbers."""

from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.time import to_datetime, to_millis
from ironflow.features.events import contract as events
from ironflow.features.runs.in_tx import (
    RunNumbers,
    failed_runs,
    functions_of,
    newest_runs,
    started_before,
    unfinished_counts,
)
from ironflow.features.statistics import contract, rules
from ironflow.log.emitters import LOOK, emitted_before
from ironflow.log.read import head
from ironflow.storage.port import Database, Tx

RUNS_MAX = 10_000
FAILURES_MAX = 2_000
UNFINISHED_CAP = 1_000
HOUR_MS = 3_600_000
# Below all runs: a cursor where there were none.
FIRST_RUN = "run_0"


class _Error(msgspec.Struct):
    message: str = ""
    code: str | None = None
    stack: str | None = None


class Statistics:
    """The statistics feature."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.runs: self.runs, contract.failures: self.failures, contract.flows: self.flows}

    async def runs(self, call: Call, request: contract.GetRunStatistics) -> contract.RunStatistics:
        since = call.now - HOUR_MS if request.since is None else to_millis(request.since)

        def look(tx: Tx) -> contract.RunStatistics:
            found = [_line(each) for each in newest_runs(tx, call.environment, since, RUNS_MAX + 1)]
            runs = found[:RUNS_MAX]
            return contract.RunStatistics(
                since=to_datetime(since),
                until=to_datetime(call.now),
                slices=rules.run_slices(runs, since, call.now, request.slices),
                functions=rules.by_function(runs),
                unfinished=unfinished_counts(tx, call.environment, UNFINISHED_CAP),
                unfinished_cap=UNFINISHED_CAP,
                scanned=len(runs),
                truncated=len(found) > RUNS_MAX,
            )

        return await self._db.read(look)

    async def failures(self, call: Call, request: contract.ListFailures) -> contract.Failures:
        since = call.now - 24 * HOUR_MS if request.since is None else to_millis(request.since)

        def look(tx: Tx) -> contract.Failures:
            rows = failed_runs(tx, call.environment, request.function_id, since, FAILURES_MAX + 1)
            found = [_line(each) for each in rows]
            return contract.Failures(
                since=to_datetime(since),
                until=to_datetime(call.now),
                groups=rules.failure_groups(found[:FAILURES_MAX], since, call.now, request.slices),
                scanned=min(len(found), FAILURES_MAX),
                truncated=len(found) > FAILURES_MAX,
            )

        return await self._db.read(look)

    async def flows(self, call: Call, request: contract.ListFlows) -> contract.Flows:
        call.require(events.list_.scope)

        def look(tx: Tx) -> contract.Flows:
            run_id, position = rules.read_cursor(request.cursor, head(tx))
            started = started_before(tx, call.environment, run_id, request.limit)
            emitted = emitted_before(tx, call.environment, position, request.limit)
            emitters = sorted({each.emitter for each in emitted if each.emitter is not None})
            flows, names = rules.flows_of(started, emitted, functions_of(tx, call.environment, emitters))
            run_id = started[-1].id if started else run_id
            position = emitted[-1].position if len(emitted) == request.limit else max(0, position - LOOK)
            more = len(started) == request.limit or position > 1
            return contract.Flows(
                flows=flows,
                names=names,
                runs=len(started),
                records=len(emitted),
                next_cursor=rules.cursor_of(run_id or FIRST_RUN, position) if more else None,
            )

        return await self._db.read(look)


def _line(row: RunNumbers) -> rules.RunLine:
    error = msgspec.json.decode(row.error, type=_Error) if row.error else _Error()
    return rules.RunLine(
        id=row.id,
        function_id=row.function_id,
        version=row.version,
        status=row.status,
        created_at=row.created_at,
        ended_at=row.ended_at,
        message=error.message,
        code=error.code or "",
        stack=error.stack or "",
        step=row.step,
    )
