"""What happens: reading, waiting for and cancelling runs."""

import asyncio
from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import to_millis
from ironflow.broker.port import Broker
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.runs import contract, queries, rules, store
from ironflow.features.runs.ledger import Ledger
from ironflow.features.runs.live import LiveSteps
from ironflow.features.runs.looks import Looks
from ironflow.features.runs.messages import live_step_message, result_message, run_message, step_message
from ironflow.log.read import records
from ironflow.storage.port import Database, Tx

LIMIT_DEFAULT = 50
STEPS_MAX = 10_000
# Rings come at once on this node; this is how long a lost one can cost.
LOOK_AGAIN_S = 1.0


class Runs:
    """The runs room. live: the steps that run at this moment."""

    def __init__(self, db: Database, broker: Broker, ledger: Ledger, live: LiveSteps) -> None:
        self._live = live
        self._db = db
        self._ledger = ledger
        self._broker = broker
        self._looks = Looks(db)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.get: self.get,
            contract.list_: self.list_,
            contract.steps: self.steps,
            contract.cancel: self.cancel,
        }

    async def get(self, call: Call, request: contract.GetRun) -> contract.Run:
        def look(tx: Tx) -> contract.Run:
            return shown(tx, [_run(tx, call.environment, request.id)])[0]

        return await self._db.peek(look)

    async def list_(self, call: Call, request: contract.ListRuns) -> contract.Runs:
        rules.check_cursor(request.cursor, "run_")
        statuses = [*request.statuses, *([request.status] if request.status else [])]
        wanted = queries.Filter(
            environment=call.environment,
            function_id=request.function_id,
            event_id=request.event_id,
            parent_run_id=request.parent_run_id,
            search=request.search,
            since=to_millis(request.since) if request.since else 0,
            until=to_millis(request.until) if request.until else 0,
            states=tuple(rules.status_filter(statuses)),
        )
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.Runs:
            found = queries.page(tx, wanted, request.cursor, limit + 1, request.offset)
            page = found[:limit]
            return contract.Runs(
                runs=shown(tx, page),
                next_cursor=page[-1].id if len(found) > limit else None,
                total_count=queries.count(tx, wanted),
            )

        return await self._db.read(look)

    async def steps(self, call: Call, request: contract.GetRunSteps) -> contract.RunSteps:
        offset = rules.offset_of(request.cursor)
        limit = request.limit or STEPS_MAX
        live = self._live.of(request.run_id)

        def look(tx: Tx) -> contract.RunSteps:
            run = _run(tx, call.environment, request.run_id)
            found = store.steps_after(tx, run.id, offset, limit + 1)
            steps = [step_message(run, step) for step in found[:limit]]
            if len(found) <= limit and not run.ended:
                recorded = {step.step_id for step in found if step.status == "completed"}
                steps += [live_step_message(run, each) for each in live if each.step_id not in recorded]
            return contract.RunSteps(
                steps=steps,
                next_cursor=str(offset + limit) if len(found) > limit else None,
            )

        return await self._db.read(look)

    async def cancel(self, call: Call, request: contract.CancelRun) -> contract.Run:
        def change(tx: Tx) -> contract.Run:
            run = self._ledger.load(tx, [request.id]).get(request.id)
            if run is None or run.environment != call.environment:
                raise _not_found(request.id, call.environment)
            run = self._ledger.load_whole(tx, run)
            decision = decide(run, commands.Cancel(cause=request.reason or "cancelled by request"), call.now)
            self._ledger.save(tx, [(run, decision)], call.now)
            return shown(tx, [decision.run])[0]

        return await self._db.write(change)

    async def wait(self, run_ids: list[str], timeout_ms: int) -> list[contract.RunResult]:
        """Waits until all runs have ended or the time is over; a result for each, in order."""
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        return [await self._wait_one(run_id, deadline) for run_id in run_ids]

    async def wait_or_cancel(self, run_ids: list[str], timeout_ms: int, call: Call) -> list[contract.RunResult]:
        """As `wait`; when the caller goes away the runs are cancelled. Source: behaviour.md 3."""
        try:
            return await self.wait(run_ids, timeout_ms)
        except asyncio.CancelledError:
            await asyncio.shield(self._db.write(lambda tx: self._cancel_abandoned(tx, run_ids, call)))
            raise

    async def _wait_one(self, run_id: str, deadline: float) -> contract.RunResult:
        with self._broker.bell("run_ended", run_id) as bell:
            while True:
                run = await self._looks.at(run_id)
                if run is None:
                    raise contract.RunNotFound(f"Run {run_id} is not kept any more; its retention is over.")
                left = deadline - asyncio.get_running_loop().time()
                if run.ended or left <= 0:
                    return result_message(run, timed_out=not run.ended)
                await bell.wait(min(left, LOOK_AGAIN_S))

    def _cancel_abandoned(self, tx: Tx, run_ids: list[str], call: Call) -> None:
        command = commands.Cancel(cause="the caller that waited for it went away")
        for run in self._ledger.load(tx, run_ids).values():
            if not run.ended:
                whole = self._ledger.load_whole(tx, run)
                self._ledger.save(tx, [(whole, decide(whole, command, call.now))], call.now)


def _run(tx: Tx, environment: str, run_id: str) -> Run:
    run = store.look(tx, [run_id]).get(run_id)
    if run is None or run.environment != environment:
        raise _not_found(run_id, environment)
    return run


def _not_found(run_id: str, environment: str) -> contract.RunNotFound:
    return contract.RunNotFound(f"There is no run {run_id[:140]!r} in environment {environment!r}.")


def shown(tx: Tx, runs: list[Run]) -> list[contract.Run]:
    """Runs as clients see them, with their events' data."""
    events = records(tx, [run.event_id for run in runs])
    return [run_message(run, events[run.event_id].data if run.event_id in events else None) for run in runs]
