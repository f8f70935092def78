"""Completes a report with what the engine must know to decide it, read in the same transaction.

A wait gets the value it compares with and the first matching event since the execution began; an invoked function is
found or refused, and its run is cancelled where an event asked for that before; a missing function is known elsewhere
or not; values and states that a replay sets again are left out. The run that goes on in place of one that restarts gets
its id.
"""

from collections.abc import Collection

from msgspec.structs import replace

from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.message_waits import message_name
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.failure import NO_SUCH_FUNCTION
from ironflow.engine.lease import check_fence
from ironflow.engine.model import EntityState, Lease, Run
from ironflow.engine.report import decide_divergence, report_id
from ironflow.engine.yields import has_ended
from ironflow.features.entities.in_tx import StateWriter, invoke_refusal
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs import report_rules, store
from ironflow.features.jobs.rules import Timing
from ironflow.features.messages import in_tx as messages
from ironflow.features.runs.in_tx import RunRepository, event_text, new_values, taken, watches_of
from ironflow.features.waits.in_tx import LookBack, Looked, LookFurther, Wait
from ironflow.log.read import lock_head_and_find
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# The most events that waits look at within the transaction, which locks the log's head. For more, and so often, they
# look before it.
LOOK_BACK_MAX = 1_000
LOOK_BEFORE_MAX = 3
# The most steps that the error of a divergence shows.
HISTORY_MAX = 100


class ReportEnricher:
    """Completes reports with what only the database knows."""

    def __init__(self, index: FunctionIndex, ids: Ids, timing: Timing, states: StateWriter) -> None:
        self._index = index
        self._ids = ids
        self._timing = timing
        self._states = states

    def with_history(self, tx: Tx, run: Run, command: commands.Report | commands.Ack) -> Run:
        """The run with all its steps when the report diverges from them, for the error; otherwise the run itself."""
        if isinstance(command, commands.Ack) or decide_divergence(run, command) is None:
            return run
        steps = {step.step_id: step for step in RunRepository.steps_after(tx, run.id, 0, HISTORY_MAX)}
        return replace(run, steps=steps | run.steps)

    def enriched(
        self, tx: Tx, run: Run, command: commands.Report | commands.Ack, now: Millis, looked: Looked | None = None
    ) -> commands.Report | commands.Ack:
        """The command as the engine needs it; the command itself when there is nothing to look up.

        looked: for events of its waits, after it raised LookFurther. Nothing is written where it raises. The index of
        functions is as of this transaction where the command invokes one.
        """
        if isinstance(command, commands.Ack) or run.lease is None:
            return command
        if command.values:
            values = new_values(tx, run.id, command.values)
            if values is not command.values:
                command = replace(command, values=values)
        if command.state is not None:
            command = replace(command, state=self._state(tx, run, command, now))
        if command.restart is not None:
            command = replace(command, restart=replace(command.restart, run_id=self._ids.new("run")))
        if command.yields:
            # Before a message is taken for an execution that is over.
            if command.kind == "progress" or run.last_report != report_id(command):
                check_fence(run, command.fence)
            if run.winding_down:
                # Nothing is waited for any more, and no message is taken.
                return replace(command, yields=())
            return replace(command, yields=self._yields(tx, run, run.lease, command.yields, now, looked))
        if command.error is not None and command.error.code == NO_SUCH_FUNCTION:
            oldest = now - self._timing.evict_ms
            elsewhere = store.is_served_elsewhere(tx, run.environment, run.function_id, run.lease.worker_id, oldest)
            return replace(command, elsewhere=elsewhere)
        return command

    def _state(self, tx: Tx, run: Run, report: commands.Report, now: Millis) -> EntityState | None:
        """The state that the report changes. Raises StaleExecution, and what the writer of states does."""
        if report.state is None or (report.kind != "progress" and run.last_report == report_id(report)):
            return None
        check_fence(run, report.fence)
        return self._states.admitted(tx, run, report.state, now)

    def _yields(
        self,
        tx: Tx,
        run: Run,
        lease: Lease,
        yields: tuple[commands.YieldFor, ...],
        now: Millis,
        looked: Looked | None,
    ) -> tuple[commands.YieldFor, ...]:
        found: dict[str, commands.YieldFor] = {}
        for each in yields:
            found.setdefault(each.step_id, each)
        waits = [each for each in found.values() if isinstance(each, commands.WaitForEvent)]
        invokes = [each for each in found.values() if isinstance(each, commands.Invoke)]
        if invokes:
            invokes = [self._invoke(run, each) for each in invokes]
            found |= {each.step_id: each for each in invokes}
        watches = {each.step_id: watches for each in invokes if (watches := self._watches(run, each))}
        of_events = [each for each in waits if message_name(each.event) is None]
        # Before a message is taken, which is done once: it may ask for another look.
        if of_events or watches:
            found |= self._looked(tx, run, lease, found, of_events, watches, looked)
        for each in waits:
            if name := message_name(each.event):
                found[each.step_id] = self._receive(tx, run, each, name, now)
        return tuple(found.values())

    def _receive(self, tx: Tx, run: Run, wait: commands.WaitForEvent, name: str, now: Millis) -> commands.WaitForEvent:
        """The wait with the next unread message, which is its own from now on. The run is locked.

        A step that was cancelled waits anew, as after a resume.
        """
        known = run.steps.get(wait.step_id)
        if known is not None and (known.open or has_ended(known)):
            return wait
        message = messages.take(tx, run, name, wait.step_id, now)
        return wait if message is None else replace(wait, found=messages.message_text(message))

    def _looked(
        self,
        tx: Tx,
        run: Run,
        lease: Lease,
        yields: dict[str, commands.YieldFor],
        waits: list[commands.WaitForEvent],
        watches: dict[str, list[Wait]],
        looked: Looked | None,
    ) -> dict[str, commands.YieldFor]:
        """The waits with their values and with the first event since the run or the execution began; the children
        for which one has come that cancels them, since the event that started the run: those that waits of the run
        have taken do not count. watches: by the step of the child. Raises LookFurther.
        """
        # Nothing is appended between this look and our commit: an event comes before the look or finds the wait.
        last, began = lock_head_and_find(tx, run.event_id)
        data = read_json(began.data) if began else None
        waits = [report_rules.with_trigger_value(wait, data) for wait in waits]
        new = [wait for wait in waits if not _is_known(run, wait)]
        known = taken(tx, run.id) if (new or watches) and run.step_count else set[str]()
        # Where the event that started the run is not kept any more, the start of the execution is known.
        of_run = [_looked_for(run, wait) for wait in new if wait.look_back == "run" and began is not None]
        of_run += [each for of_child in watches.values() for each in of_child if began is not None]
        of_execution = [_looked_for(run, wait) for wait in new if wait.look_back != "run" or began is None]
        began_at = began.position if began is not None else last
        found = _first_matches(tx, (of_run, began_at), (of_execution, lease.log_position), last, known, looked)
        changed: dict[str, commands.YieldFor] = {
            wait.step_id: replace(wait, found=event_text(found[wait.step_id])) if wait.step_id in found else wait
            for wait in waits
        }
        for step_id, of_child in watches.items():
            invoke = yields[step_id]
            if isinstance(invoke, commands.Invoke) and any(each.step_id in found for each in of_child):
                changed[step_id] = replace(invoke, cancelled=True)
        return changed

    def _watches(self, run: Run, invoke: commands.Invoke) -> list[Wait]:
        """What cancels the child that is created for the step, each under an id that no step has."""
        function = self._index.get(run.environment, invoke.function_id)
        known = run.steps.get(invoke.step_id)
        exists = known is not None and (known.open or has_ended(known))
        if function is None or not function.cancel_on or invoke.refusal or exists:
            return []
        watches = watches_of(invoke.child_run_id, function, run.environment, read_json(invoke.input))
        return [each._replace(step_id=f"{invoke.step_id}\n{each.step_id}") for each in watches]

    def _invoke(self, run: Run, invoke: commands.Invoke) -> commands.Invoke:
        function = self._index.get(run.environment, invoke.function_id)
        refusal = ""
        if function is None:
            refusal = f"there is no function {invoke.function_id!r}"
        elif function.status != "active":
            refusal = f"function {invoke.function_id!r} is {function.status}"
        elif function.has_triggers and not invoke.with_triggers:
            refusal = f"function {invoke.function_id!r} has triggers; only functions without any are invoked"
        elif invoke.entity_key:
            refusal = invoke_refusal(function.id, invoke.entity_key, is_handler=function.entity is not None)
        return replace(invoke, child_run_id=self._ids.new("run"), refusal=refusal)


def _first_matches(
    tx: Tx,
    of_run: tuple[list[Wait], int],
    of_execution: tuple[list[Wait], int],
    last: int,
    taken: Collection[str],
    looked: Looked | None,
) -> dict[str, Record]:
    """By step id, the first event of each wait, of those with their positions. Raises LookFurther."""
    found = dict(looked.found) if looked is not None else {}
    seen = 0
    for waits, position in (of_run, of_execution):
        missing = [wait for wait in waits if wait.step_id not in found]
        look = LookBack(missing, max(position, looked.position if looked is not None else 0), last, taken)
        while not look.is_over:
            if seen + look.seen >= LOOK_BACK_MAX and (looked is None or looked.tries < LOOK_BEFORE_MAX):
                raise LookFurther(of_run, of_execution, last, taken, looked)
            look.read(tx)
        seen += look.seen
        found |= look.found
    return found


def _is_known(run: Run, wait: commands.WaitForEvent) -> bool:
    """Whether the step has ended, or waits for this event already: what came before it is not looked at again."""
    known = run.steps.get(wait.step_id)
    return known is not None and (known.status == "completed" or (known.open and known.wait_event == wait.event))


def _looked_for(run: Run, wait: commands.WaitForEvent) -> Wait:
    return Wait(run.id, "wait", wait.step_id, run.environment, wait.event, wait.path, wait.value, wait.expression)
