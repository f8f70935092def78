"""What the engine must know to decide a report, looked up in its transaction.

A wait gets the value it compares with and the first matching event since the execution began; an invoked function is
found or refused; a missing function is known elsewhere or not.
"""

from msgspec.structs import replace

from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.model import Lease, Run
from ironflow.engine.report import NO_SUCH_FUNCTION, decide_divergence
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.jobs import rules, store
from ironflow.features.jobs.rules import Timing
from ironflow.features.runs.ledger import Ledger, event_text
from ironflow.features.runs.waits import Wait, matches
from ironflow.log.matching import Wanted, positions_after, records_at
from ironflow.log.read import lock_head, records
from ironflow.storage.port import Tx

PAGE = 500
# Of how many events of its name a wait that looks back to the start of its run is told; nothing is appended meanwhile.
LOOK_BACK_MAX = 10_000
# How much of a history the error of a divergence can show.
HISTORY_MAX = 100


class Informer:
    """Completes reports with what only the database knows."""

    def __init__(self, index: FunctionIndex, ids: Ids, timing: Timing) -> None:
        self._index = index
        self._ids = ids
        self._timing = timing

    def with_history(self, tx: Tx, run: Run, command: commands.Report | commands.Ack) -> Run:
        """The run with all its steps where the report does not fit them, for the error to show; else the very same."""
        if isinstance(command, commands.Ack) or decide_divergence(run, command) is None:
            return run
        steps = {step.step_id: step for step in Ledger.steps_after(tx, run.id, 0, HISTORY_MAX)}
        return replace(run, steps=steps | run.steps)

    def informed(
        self, tx: Tx, run: Run, command: commands.Report | commands.Ack, now: Millis
    ) -> commands.Report | commands.Ack:
        """The command as the engine needs it; the very same when there is nothing to look up."""
        if isinstance(command, commands.Ack) or run.lease is None:
            return command
        match command.yielded:
            case commands.WaitForEvent() as wait:
                return replace(command, yielded=self._wait(tx, run, run.lease, wait))
            case commands.Invoke() as invoke:
                return replace(command, yielded=self._invoke(tx, run, invoke))
            case _:
                pass
        if command.error is not None and command.error.code == NO_SUCH_FUNCTION:
            oldest = now - self._timing.evict_ms
            elsewhere = store.is_served_elsewhere(tx, run.environment, run.function_id, run.lease.worker_id, oldest)
            return replace(command, elsewhere=elsewhere)
        return command

    def _wait(self, tx: Tx, run: Run, lease: Lease, wait: commands.WaitForEvent) -> commands.WaitForEvent:
        if wait.path and not wait.value:
            event = records(tx, [run.event_id]).get(run.event_id)
            wait = rules.with_trigger_value(wait, read_json(event.data) if event else None)
        known = run.steps.get(wait.step_id)
        if known is not None and known.status == "completed":
            return wait
        # Nothing is appended between this look and our commit: an event comes before the look or finds the wait.
        last = lock_head(tx)
        found = _found_in_run(tx, run, last, wait) if wait.look_back == "run" else None
        return replace(wait, found=found or _found(tx, run, lease.log_position, last, wait, set()))

    def _invoke(self, tx: Tx, run: Run, invoke: commands.Invoke) -> commands.Invoke:
        self._index.refresh(tx)
        function = self._index.get(run.environment, invoke.function_id)
        refusal = ""
        if function is None:
            refusal = f"there is no function {invoke.function_id!r}"
        elif function.status != "active":
            refusal = f"function {invoke.function_id!r} is {function.status}"
        elif function.has_triggers:
            refusal = f"function {invoke.function_id!r} has triggers; only functions without any are invoked"
        return replace(invoke, child_run_id=self._ids.new("run"), refusal=refusal)


def _found_in_run(tx: Tx, run: Run, last: int, wait: commands.WaitForEvent) -> str | None:
    """The first event after the one that started the run that no earlier wait of the run has taken."""
    started_by = records(tx, [run.event_id]).get(run.event_id)
    if started_by is None:
        # Not kept any more, so nobody knows where the run began; the execution's start is known.
        return None
    return _found(tx, run, started_by.position, last, wait, _taken(tx, run), LOOK_BACK_MAX)


def _taken(tx: Tx, run: Run) -> set[str]:
    """Ids of the events that earlier waits of the run have taken."""
    events = [read_json(text) for text in Ledger.awaited(tx, run.id)]
    return {str(event["id"]) for event in events if isinstance(event, dict) and "id" in event}


def _found(
    tx: Tx,
    run: Run,
    position: int,
    last: int,
    wait: commands.WaitForEvent,
    taken: set[str],
    events_max: int | None = None,
) -> str | None:
    """The first event after `position` and up to `last` that the wait is for, as the step returns it.

    taken: ids of events that do not count. events_max: how many events of that name are looked at, None for all.
    """
    looked_for = Wait(run.id, "wait", wait.step_id, run.environment, wait.event, wait.path, wait.value, wait.expression)
    wanted = Wanted(run.environment, (wait.event,))
    seen = 0
    while position < last and (events_max is None or seen < events_max):
        found = positions_after(tx, wanted, position, last, PAGE)
        for record in records_at(tx, found.positions):
            if record.id not in taken and matches(looked_for, record):
                return event_text(record)
        seen += len(found.positions)
        position = found.searched
    return None
