"""What happens: reading, waiting for and cancelling runs."""

import asyncio
from dataclasses import replace
from typing import Any

from ironflow.base.call import CALLER_LEFT, Call
from ironflow.base.json import Json
from ironflow.base.paging import number_of
from ironflow.base.time import to_datetime, to_millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import RunEnded
from ironflow.engine.model import Run
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs import chains, contract, queries, rules, store, values
from ironflow.features.runs.deleting import RunDeletion
from ironflow.features.runs.live import LiveStep as LiveStep
from ironflow.features.runs.live import LiveSteps as LiveSteps
from ironflow.features.runs.looks import Looks
from ironflow.features.runs.messages import result_message, run_message, step_message, with_live_steps
from ironflow.features.runs.repository import RunRepository
from ironflow.log.read import records
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

LIMIT_DEFAULT = 50
STEPS_MAX = 10_000
# Notifications come at once on this node; a lost one costs at most this much.
LOOK_AGAIN_S = 1.0
# A run that was just created is looked at after this time, unless its end is notified before.
FIRST_LOOK_S = 0.25
# The names that a run may set.
VALUES_SHOWN_MAX = 100
# Values with more bytes are not read on the event loop.
VALUES_AT_ONCE_BYTES = 256 * 1024


class Runs:
    """The runs feature. live: the steps that run at this moment."""

    def __init__(
        self, db: Database, notifier: Notifier, repository: RunRepository, live: LiveSteps, deletion: RunDeletion
    ) -> None:
        self._live = live
        self._deletion = deletion
        self._db = db
        self._repository = repository
        self._notifier = notifier
        self._looks = Looks(db)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.get: self.get,
            contract.list_: self.list_,
            contract.steps: self.steps,
            contract.chain: self.chain,
            contract.cancel: self.cancel,
            contract.delete: self.delete,
        }

    async def get(self, call: Call, request: contract.GetRun) -> contract.Run:
        def look(tx: Tx) -> tuple[contract.Run, bool]:
            found = (_last if request.last else _run)(tx, call.environment, request.id)
            (message,) = shown(tx, [found])
            is_small = values.bytes_of(tx, found.id) <= VALUES_AT_ONCE_BYTES
            if is_small:
                message.values = _values(tx, found.id)
            return message, is_small

        message, is_small = await self._db.peek(look)
        if not is_small:
            message.values = await self._db.read(lambda tx: _values(tx, message.id))
        return message

    async def list_(self, call: Call, request: contract.ListRuns) -> contract.Runs:
        rules.check_cursor(request.cursor, "run_")
        statuses = [*request.statuses, *([request.status] if request.status else [])]
        asked = queries.Filter(
            environment=call.environment,
            function_id=request.function_id,
            event_id=request.event_id,
            parent_run_id=request.parent_run_id,
            key=request.key,
            search=request.search,
            error=request.error,
            output=rules.output_filter(request.output),
            failed_step=request.failed_step,
            since=to_millis(request.since) if request.since else 0,
            until=to_millis(request.until) if request.until else 0,
            states=tuple(rules.status_filter(statuses)),
        )
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.Runs:
            parent = keys.run_id_of(tx, call.environment, request.parent_run_id)
            wanted = replace(asked, parent_run_id=parent)
            if request.offset:
                found = queries.page(tx, wanted, request.cursor, limit + 1, request.offset)
                page = found[:limit]
                searched = queries.Searched(page, cursor=page[-1].id if len(found) > limit else "")
            else:
                searched = queries.search(tx, wanted, request.cursor, limit, request.scan_max)
            return contract.Runs(
                runs=shown(tx, searched.runs),
                next_cursor=searched.cursor or None,
                searched_back_to=to_datetime(searched.back_to) if searched.back_to is not None else None,
                total_count=queries.count(tx, wanted) if request.count else None,
            )

        return await self._db.read(look)

    async def steps(self, call: Call, request: contract.GetRunSteps) -> contract.RunSteps:
        offset = rules.offset_of(request.cursor)
        limit = request.limit or STEPS_MAX

        def look(tx: Tx) -> contract.RunSteps:
            run = _run(tx, call.environment, request.run_id)
            found = store.steps_after(tx, run.id, offset, limit + 1)
            steps = [step_message(run, step) for step in found[:limit]]
            if len(found) <= limit and not run.ended:
                steps = with_live_steps(run, steps, self._live.of(run))
            return contract.RunSteps(
                steps=steps,
                next_cursor=str(offset + limit) if len(found) > limit else None,
            )

        return await self._db.read(look)

    async def chain(self, call: Call, request: contract.GetRunChain) -> contract.RunChain:
        after = number_of(request.cursor, default=-1)
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.RunChain:
            run_id = keys.run_id_of(tx, call.environment, request.id)
            run = store.look(tx, [run_id]).get(run_id)
            # The first link may be purged; its id still names the chain.
            chain_id = run.chain_id if run is not None else run_id
            found = chains.page(tx, call.environment, chain_id, after, limit + 1)
            if not found and not request.cursor:
                raise _not_found(request.id, call.environment)
            more = str(found[limit - 1].link) if len(found) > limit else None
            return contract.RunChain(runs=shown(tx, found[:limit]), next_cursor=more)

        return await self._db.read(look)

    async def cancel(self, call: Call, request: contract.CancelRun) -> contract.Run:
        def change(tx: Tx) -> contract.Run:
            run_id = keys.run_id_of(tx, call.environment, request.id)
            run = self._repository.load(tx, [run_id]).get(run_id)
            if run is None or run.environment != call.environment:
                raise _not_found(request.id, call.environment)
            if run.restarted_as is not None:
                raise RunEnded(chains.restarted_text(tx, run))
            run = self._repository.with_open_steps(tx, run)
            cause = request.reason or "cancelled by request"
            decision = decide(run, commands.Cancel(cause, request.force, by_request=True), call.now)
            audit_notes.record(
                tx,
                call,
                contract.cancel,
                request,
                "run_control.cancel",
                f"run {run.id}: cancel",
                function_id=run.function_id,
                run_id=run.id,
                reason=request.reason or None,
            )
            self._repository.save(tx, [(run, decision)], call.now)
            return shown(tx, [decision.run])[0]

        return await self._db.write(change)

    async def delete(self, call: Call, request: contract.DeleteRun) -> contract.RunDeleted:
        def change(tx: Tx) -> None:
            run_id = keys.run_id_of(tx, call.environment, request.id)
            run = self._repository.load(tx, [run_id]).get(run_id)
            if run is None or run.environment != call.environment:
                raise _not_found(request.id, call.environment)
            rules.check_ended([run])
            about = {"run_id": run.id, "reason": request.reason or None}
            summary = f"run {run.id}: delete"
            audit_notes.record(
                tx, call, contract.delete, request, "run_control.delete", summary, function_id=run.function_id, **about
            )
            self._deletion.delete_ended(tx, [(run.id, run.environment)], call.now)

        await self._db.write(change)
        return contract.RunDeleted(id=request.id)

    async def wait(self, run_ids: list[str], timeout_ms: int, *, fresh: bool = False) -> list[contract.RunResult]:
        """Waits until all runs have ended or the time is over; a result for each, in order.

        fresh: they were created by the commit before this call, and nothing was awaited since.
        """
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        # While the first is waited for, others may end.
        return [await self._wait_one(run_id, deadline, fresh and not number) for number, run_id in enumerate(run_ids)]

    async def wait_or_cancel(self, run_ids: list[str], timeout_ms: int, call: Call) -> list[contract.RunResult]:
        """As `wait`; when the caller disconnects the runs are cancelled. Source: behaviour.md 3."""
        try:
            return await self.wait(run_ids, timeout_ms)
        except asyncio.CancelledError as cancelled:
            # A server that stops also cancels; its runs go on.
            if cancelled.args[:1] == (CALLER_LEFT,):
                await asyncio.shield(self._db.write(lambda tx: self._cancel_abandoned(tx, run_ids, call)))
            raise

    async def _wait_one(self, run_id: str, deadline: float, fresh: bool = False) -> contract.RunResult:
        """The result of the last link of the run's chain."""
        while True:
            run = await self._wait_link(run_id, deadline, fresh)
            if run.restarted_as is None:
                return result_message(run, timed_out=not run.ended)
            chain_id, fresh = run.chain_id, False
            run_id = await self._db.peek(lambda tx, chain_id=chain_id: chains.last_id(tx, chain_id))
            if run_id == run.id:
                # The one that it restarted as was deleted.
                return result_message(run, timed_out=False)

    async def _wait_link(self, run_id: str, deadline: float, fresh: bool) -> Run:
        """The run when it has ended or restarted, or at the deadline.

        Where it is the first of a chain and not kept any more, the last link. Raises RunNotFound.
        """
        with self._notifier.waiter("run_ended", run_id) as waiter:
            if fresh and not self._notifier.spans_nodes:
                # Saves a read of each new run. Only an event of the same commit can have ended it already.
                left = deadline - asyncio.get_running_loop().time()
                await waiter.wait(max(min(left, FIRST_LOOK_S), 0))
            while True:
                run = await self._looks.at(run_id)
                if run is None:
                    break
                left = deadline - asyncio.get_running_loop().time()
                if run.ended or left <= 0:
                    return run
                await waiter.wait(min(left, LOOK_AGAIN_S))
        last_id = await self._db.peek(lambda tx: chains.last_id(tx, run_id))
        if last_id == run_id:
            raise contract.RunNotFound(f"Run {run_id} is not kept any more; its retention is over.", run_id=run_id)
        return await self._wait_link(last_id, deadline, fresh=False)

    def _cancel_abandoned(self, tx: Tx, run_ids: list[str], call: Call) -> None:
        command = commands.Cancel(cause="the caller that waited for it disconnected")
        for run_id in run_ids:
            run = chains.load_named(tx, run_id)
            if run is not None and not run.ended:
                whole = self._repository.with_open_steps(tx, run)
                self._repository.save(tx, [(whole, decide(whole, command, call.now))], call.now)


def _values(tx: Tx, run_id: str) -> dict[str, Json] | None:
    found = values.of_run(tx, run_id, "", VALUES_SHOWN_MAX)
    return {each.name: Json(each.value.encode()) for each in found} or None


def _run(tx: Tx, environment: str, run_id: str) -> Run:
    run_id = keys.run_id_of(tx, environment, run_id)
    run = store.look(tx, [run_id]).get(run_id)
    if run is None or run.environment != environment:
        raise _not_found(run_id, environment)
    return run


def _last(tx: Tx, environment: str, run_id: str) -> Run:
    """The last link of the run's chain, also where the first one, which names it, is not kept any more."""
    found = chains.look_named(tx, keys.run_id_of(tx, environment, run_id))
    if found is None or found.environment != environment:
        raise _not_found(run_id, environment)
    return chains.look_last(tx, found)


def _not_found(run_id: str, environment: str) -> contract.RunNotFound:
    return contract.RunNotFound(f"There is no run {run_id[:140]!r} in environment {environment!r}.", run_id=run_id)


def shown(tx: Tx, runs: list[Run]) -> list[contract.Run]:
    """Runs as clients see them, with their events' data."""
    events = records(tx, [run.event_id for run in runs])
    return [run_message(run, events[run.event_id].data if run.event_id in events else None) for run in runs]
