"""What happens: reading the lines of a run, and following them while it goes on."""

import asyncio
from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import to_json
from ironflow.base.time import to_datetime
from ironflow.features.log_lines.in_tx import LineRow, Place, after
from ironflow.features.run_logs import contract, rules
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import look
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

LIMIT_DEFAULT = 1_000
HOLD_S_MAX = 25.0
# A notification from another node may be lost.
LOOK_AGAIN_S = 2.0


class RunLogs:
    """The run_logs feature."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._notifier = notifier

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.get: self.get}

    async def get(self, call: Call, request: contract.GetRunLogs) -> contract.RunLogs:
        place, level = rules.place_of(request.cursor), rules.level_weight(request.level)
        limit = request.limit or LIMIT_DEFAULT

        def read(tx: Tx) -> contract.RunLogs:
            run = look(tx, [request.run_id]).get(request.run_id)
            if run is None or run.environment != call.environment:
                raise RunNotFound(
                    f"There is no run {request.run_id[:140]!r} in environment {call.environment!r}.",
                    run_id=request.run_id,
                )
            return _answer(after(tx, run.id, place, level, request.step, limit + 1), place, limit, run.ended)

        deadline = asyncio.get_running_loop().time() + min(request.wait, HOLD_S_MAX)
        with (
            self._notifier.waiter("run_logs", request.run_id) as waiter,
            self._notifier.waiter("run_ended", request.run_id) as ended,
        ):
            while True:
                answer = await self._db.read(read)
                left = deadline - asyncio.get_running_loop().time()
                if answer.lines or answer.ended or left <= 0:
                    return answer
                await _first(waiter.wait(min(left, LOOK_AGAIN_S)), ended.wait(min(left, LOOK_AGAIN_S)))


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _answer(found: list[LineRow], place: Place, limit: int, ended: bool) -> contract.RunLogs:
    page = found[:limit]
    cursor = rules.cursor_of(Place(page[-1].execution_seq, page[-1].number) if page else place)
    return contract.RunLogs(
        lines=[_line(each) for each in page],
        cursor=cursor,
        next_cursor=cursor if len(found) > limit else None,
        ended=ended and len(found) <= limit,
    )


def _line(row: LineRow) -> contract.LogLine:
    return contract.LogLine(
        at=to_datetime(row.at),
        level=rules.level_name(row.level),
        message=row.message,
        execution_seq=row.execution_seq,
        number=row.number,
        attempt=row.attempt,
        data=to_json(row.data),
        step_id=row.step_id or None,
        step_name=row.step_name or None,
        truncated=True if row.truncated else None,
    )
