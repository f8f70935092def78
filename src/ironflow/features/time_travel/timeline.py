"""The timeline of a run, made from its facts with the event types of the audit trail; pure.

Source of the event types: behaviour.md 5 "Run audit event types"; `run.started` is protocol/connectrpc.md 5.6.
Ours besides: run.admitted, run.cancel_requested, run.pause_requested, run.pause_withdrawn, steps.dropped.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from ironflow.base.duration import duration_text
from ironflow.base.json import Json, read_json, to_json
from ironflow.base.message_waits import awaited_text, message_name
from ironflow.base.time import Millis, to_datetime
from ironflow.engine import facts
from ironflow.engine.evolve import evolve
from ironflow.engine.model import NotBegun, Run, Step
from ironflow.features.time_travel.rules import Kept

# The facts whose entry is a change of the run's status.
StatusFact = (
    facts.Leased
    | facts.LeaseLost
    | facts.JobReturned
    | facts.Waiting
    | facts.Woken
    | facts.AttemptFailed
    | facts.RetryStarted
    | facts.CompensationStarted
    | facts.RunCompleted
    | facts.RunFailed
    | facts.RunCancelled
)

# From the type of an entry to the kinds of facts that it may come from.
KINDS: dict[str, frozenset[str]] = {
    "run.created": frozenset({"run.created"}),
    "run.steps_unasked": frozenset({"steps.unasked"}),
    "run.values_set": frozenset({"values.set"}),
    "run.state_changed": frozenset({"entity.state_changed"}),
    "run.started": frozenset({"execution.leased"}),
    "run.status_changed": frozenset(
        {
            "execution.leased", "execution.lost", "execution.returned", "run.waiting", "run.woken", "attempt.failed",
            "attempt.started", "run.completed", "run.failed", "run.cancelled", "run.compensating",
        }
    ),
    "run.admitted": frozenset({"run.admitted"}),
    "run.cancel_requested": frozenset({"run.cancel_requested"}),
    "run.pause_requested": frozenset({"run.pause_requested"}),
    "run.pause_withdrawn": frozenset({"run.pause_withdrawn"}),
    "run.paused": frozenset({"run.paused"}),
    "run.resumed": frozenset({"run.resumed"}),
    "step.started": frozenset({"steps.recorded"}),
    "step.completed": frozenset({"steps.recorded"}),
    "step.failed": frozenset({"steps.recorded"}),
    "step.injected": frozenset({"step.injected"}),
    "step.patched": frozenset({"step.patched"}),
    "steps.dropped": frozenset({"steps.dropped"}),
    "saga.compensation.started": frozenset({"steps.recorded"}),
    "saga.compensation.completed": frozenset({"steps.recorded"}),
    "saga.compensation.failed": frozenset({"steps.recorded"}),
}  # fmt: skip

_RESTING = ("sleeping", "waiting")
_UNDER_WAY = ("running", *_RESTING)
_PAUSED = {"injection": "by hand", "exhausted": "all attempts failed", "diverged": "its code is not what it was"}


class Entry(NamedTuple):
    """One thing that happened. version, place: of its fact, and among the entries of that fact, from 0.

    at: when it was recorded, so that the run's state at that moment shows it; the step's own times from the worker
    are in data. data: for the audit trail; payloads are JSON as recorded, None is left out.
    actor: the person who did it, if any.
    """

    run_id: str
    version: int
    place: int
    type: str
    at: Millis
    summary: str
    significant: bool
    data: dict[str, Any]
    step: Step | None = None
    actor: str | None = None

    @property
    def id(self) -> str:
        return f"aud_{self.run_id.removeprefix('run_')}_{self.version}_{self.place}"

    @staticmethod
    def version_in(entry_id: str, run_id: str) -> int | None:
        """The version in the id of an entry of that run; None for any other text."""
        start, _, rest = entry_id.partition(f"aud_{run_id.removeprefix('run_')}_")
        version, _, place = rest.partition("_")
        numbers = version + place
        # More digits than a version has are none.
        known = not start and version and place and numbers.isascii() and numbers.isdigit() and len(numbers) < 24
        return int(version) if known else None


class _Untimed(NamedTuple):
    """An entry before it has its run, version, number and time."""

    type: str
    summary: str
    data: dict[str, Any]
    significant: bool = True
    step: Step | None = None
    actor: str | None = None


def entries(past: Sequence[Kept]) -> Iterator[Entry]:
    """Everything that happened, in order. past: all kept facts of one run, from the first."""
    run: Run | None = None
    for version, at, fact in past:
        before, run = run, evolve(run, fact)
        for place, untimed in enumerate(_untimed(before, fact, run)):
            yield Entry(
                run.id,
                version,
                place,
                untimed.type,
                at,
                untimed.summary,
                untimed.significant,
                untimed.data,
                untimed.step,
                untimed.actor,
            )


def moments(timeline: Sequence[Entry]) -> list[Millis]:
    """When each entry happened: what began, when its body began, and never before the entry that precedes it.

    A step of code is recorded when it has ended. Source: protocol/connectrpc.md 5.6, "GetRunTimeline".
    """
    found: list[Millis] = []
    for entry in timeline:
        at = entry.at
        if entry.type.endswith(".started") and entry.step is not None and entry.step.started_at is not None:
            at = min(at, max(entry.step.started_at, found[-1] if found else 0))
        found.append(at)
    return found


def _untimed(before: Run | None, fact: facts.Fact, after: Run) -> Iterator[_Untimed]:
    if before is None:
        yield _created(fact, after)
        return
    match fact:
        case facts.StepsRecorded(steps=steps):
            for step in steps:
                yield from _step(before.steps.get(step.step_id), step)
        case facts.StepInjected(step=step, reason=reason):
            yield _replaced("step.injected", "injected", before, step, reason)
        case facts.StepPatched(step=step, reason=reason):
            yield _replaced("step.patched", "patched", before, step, reason)
        case facts.StepsDropped(from_sequence=first):
            dropped = [step.name for step in before.steps.values() if step.sequence >= first]
            names = ", ".join(f"'{name}'" for name in dropped) or "none"
            yield _Untimed("steps.dropped", f"Steps to run again: {names}", {"from_sequence": first, "steps": dropped})
        case facts.RunPaused(reason=reason, by=by, note=note):
            why = _PAUSED.get(reason, reason)
            data = _change(before, after) | _error(fact.error) | _given(note)
            yield _Untimed("run.paused", f"Paused: {why}{_asked(by, note)}", data, actor=by or None)
        case facts.RunResumed(attempt=attempt, from_step=from_step, by=by, note=note):
            origin = f" from step '{from_step}'" if from_step else ""
            data = _change(before, after) | {"attempt": attempt, "from_step": from_step or None} | _given(note)
            yield _Untimed("run.resumed", f"Resumed{origin}{_asked(by, note)}", data, actor=by or None)
        case facts.CancelRequested(cause=cause):
            data = {"reason": cause}
            yield _Untimed("run.cancel_requested", f"To be cancelled, after its compensations: {cause}", data)
        case facts.PauseRequested(by=by, note=note):
            text = f"To be paused at the next step boundary{_asked(by, note)}"
            yield _Untimed("run.pause_requested", text, _given(note), actor=by or None)
        case facts.PauseWithdrawn(by=by, note=note):
            text = f"The requested pause is withdrawn{_asked(by, note)}"
            yield _Untimed("run.pause_withdrawn", text, _given(note), actor=by or None)
        case facts.Admitted():
            slots = {"slot_key": after.slot_key, "limit_key": after.limit_key}
            yield _Untimed("run.admitted", "Got a concurrency slot", slots, significant=False)
        case facts.StepsUnasked(names=names):
            text = f"The handler did not ask for recorded steps: {', '.join(names)}"
            yield _Untimed("run.steps_unasked", text, {"names": list(names)})
        case facts.ValuesSet(values=values):
            text = f"Set {', '.join(value.name for value in values)}"
            shown = {value.name: Json(value.value.encode()) for value in values}
            yield _Untimed("run.values_set", text, {"values": shown}, significant=False)
        case facts.StateChanged(state=state):
            text = f"Changed the state of entity {after.entity}"
            yield _Untimed("run.state_changed", text, {"state": Json(state.value.encode())}, significant=False)
        case facts.LeaseRenewed() | facts.StepsReleased() | facts.StepsProgressed() | facts.WakeScheduled():
            # A renewal only shows that the worker is alive; a failed attempt and a wake have entries of their own.
            return
        case (
            facts.Leased()
            | facts.LeaseLost()
            | facts.JobReturned()
            | facts.Waiting()
            | facts.Woken()
            | facts.AttemptFailed()
            | facts.RetryStarted()
            | facts.CompensationStarted()
            | facts.RunCompleted()
            | facts.RunFailed()
            | facts.RunCancelled()
        ):
            yield _status_changed(before, fact, after)
        case facts.RunCreated():
            raise ValueError(f"run {after.id} is created twice")
        case _:
            assert_never(fact)


def _created(fact: facts.Fact, run: Run) -> _Untimed:
    data: dict[str, Any] = {
        "status": run.status,
        "function_id": run.function_id,
        "function_version": run.function_version,
        "event_id": run.event_id,
        "event_name": run.event_name,
    }
    start = ""
    if isinstance(fact, facts.RunCreated) and fact.start_at is not None:
        data["start_at"] = to_datetime(fact.start_at)
        start = f", to start at {_time(fact.start_at)}"
    if run.parent_run_id is not None:
        data |= {"parent_run_id": run.parent_run_id, "parent_step_id": run.parent_step_id}
    if run.restarted_from is not None:
        data |= {"restarted_from": run.restarted_from, "first_run_id": run.first_run_id, "link": run.link}
        start += f", as run {run.restarted_from} restarted"
    return _Untimed("run.created", f"Created for {run.function_id} by {run.event_name}{start}", data)


def _status_changed(before: Run, fact: StatusFact, after: Run) -> _Untimed:
    """A change of the run's status that has no type of its own, or `run.started`."""
    data = _change(before, after)
    type_, significant = "run.status_changed", True
    match fact:
        case facts.Leased(lease=lease):
            data |= {"worker_id": lease.worker_id, "execution_seq": lease.execution_seq, "attempt": after.attempt}
            if before.started_at is None:
                type_, summary = "run.started", f"Worker {lease.worker_id} began"
            else:
                significant, summary = False, f"Worker {lease.worker_id} went on, execution {lease.execution_seq}"
        case facts.LeaseLost(losses=losses):
            data["losses"] = losses
            summary = f"Worker {before.worker_id} fell silent; back in the queue"
        case facts.JobReturned():
            significant, summary = False, f"Worker {before.worker_id} gave the job back"
        case facts.Waiting(until=until):
            data |= {"step_id": fact.step_id, "until": _at(until)}
            significant, summary = False, _waiting_text(after, fact)
        case facts.Woken():
            significant, summary = False, "Back in the queue"
        case facts.AttemptFailed(error=error, retry_at=retry_at):
            data |= {"attempt": before.attempt, "retry_at": to_datetime(retry_at)} | _error(error)
            summary = f"Attempt {before.attempt} failed: {_message(error)}; the next one at {_time(retry_at)}"
        case facts.RetryStarted(attempt=attempt):
            data["attempt"] = attempt
            significant, summary = False, f"Attempt {attempt} is in the queue"
        case facts.CompensationStarted(error=error, retry_at=retry_at, not_begun=not_begun):
            data |= _error(error)
            begun = "Being cancelled" if before.cancelling is not None else f"Failed: {_message(error)}"
            summary = f"{begun}; its compensations are to run"
            if retry_at is not None:
                data["retry_at"] = to_datetime(retry_at)
                summary += f" again at {_time(retry_at)}"
            if not_begun is not None:
                summary += f", since they could not begin: {not_begun.message}"
        case facts.RunCompleted(restarted_as=successor) if successor is not None:
            data["restarted_as"] = successor
            summary = f"Restarted as run {successor}, {_span(after.updated_at - after.created_at)} after its creation"
        case facts.RunCompleted(output=output):
            data["output"] = _json(output)
            summary = f"Completed, {_span(after.updated_at - after.created_at)} after its creation"
        case facts.RunFailed(error=error):
            data |= _error(error)
            summary = f"Failed: {_message(error)}{_undone(fact.not_begun)}"
        case facts.RunCancelled(cause=cause):
            data["reason"] = cause
            summary = f"Cancelled: {cause}{_undone(fact.not_begun)}"
        case _:
            assert_never(fact)
    return _Untimed(type_, summary, data, significant)


def _undone(not_begun: NotBegun | None) -> str:
    return "" if not_begun is None else f"; its compensations have not run: {not_begun.message}"


def _step(known: Step | None, step: Step) -> Iterator[_Untimed]:
    """A step that began, ended, or both since it was last recorded."""
    if step.status == "pending":
        # It has rested; its next attempt has entries of its own.
        return
    saga = step.type == "compensate"
    prefix, name = ("saga.compensation", step.compensation_for or step.name) if saga else ("step", step.name)
    undo = "Undoing " if saga else ""
    under_way = step.status in _UNDER_WAY
    # A step that has only shown progress has no entry so far.
    if under_way or known is None or known.status not in _RESTING:
        summary = f"{undo}'{name}' {_opening(step)}"
        yield _Untimed(f"{prefix}.started", summary, _step_data(step, {}), significant=False, step=step)
    if under_way:
        return
    data: dict[str, Any] = {"duration_ms": step.duration_ms, "ended_at": _at(step.ended_at)}
    if step.status == "completed":
        took = f" in {_span(step.duration_ms)}" if step.duration_ms is not None else ""
        data["output"] = _json(step.output)
        kind, summary = f"{prefix}.completed", f"{undo}'{name}' completed{took}"
    else:
        data |= _error(step.error)
        how = "timed out" if step.status == "timed_out" else f"failed: {_message(step.error)}"
        if step.attempts_max:
            data["max_attempts"] = step.attempts_max
            how = f"attempt {step.attempt} of {step.attempts_max} {how}"
        if step.status == "retrying":
            data["retry_at"] = _at(step.sleep_until)
            how += f"; the next one at {_time(step.sleep_until)}"
        kind, summary = f"{prefix}.failed", f"{undo}'{name}' {how}"
    yield _Untimed(kind, summary, _step_data(step, data), step=step)


def _opening(step: Step) -> str:
    match step.status, step.type:
        case "sleeping", _:
            return f"sleeps until {_time(step.sleep_until)}"
        case "waiting", "wait_for_event":
            return f"waits for {awaited_text(step.wait_event or 'an event')}"
        case "waiting", _:
            return f"waits for run {step.child_run_id}"
        case _:
            return "began"


def _step_data(step: Step, more: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "step_name": step.name,
        "step_type": step.type,
        "status": step.status,
        "sequence": step.sequence,
        "attempt": step.attempt,
        "started_at": _at(step.started_at),
    }
    if step.compensation_for is not None:
        data["compensation_for"] = step.compensation_for
    return data | more


def _replaced(type_: str, verb: str, before: Run, step: Step, reason: str) -> _Untimed:
    """A person's change of a step's output."""
    known = before.steps.get(step.step_id)
    data = {
        "previous_output": _json(known.output if known is not None else step.original_output),
        "new_output": _json(step.output),
        "original_output": _json(step.original_output),
        "reason": reason or None,
    }
    # An injection does not change `patched_by`.
    actor = step.patched_by if type_ == "step.patched" else None
    author = f" by {actor}" if actor else ""
    why = f": {reason}" if reason else ""
    return _Untimed(type_, f"'{step.name}' {verb}{author}{why}", _step_data(step, data), step=step, actor=actor)


def _asked(by: str, note: str) -> str:
    """Who asked for it and why, as the end of a line."""
    found = ": ".join(each for each in (by, note) if each)
    return f" ({found})" if found else ""


def _given(note: str) -> dict[str, Any]:
    """The reason that was given. `reason` is the engine's own there."""
    return {"note": note} if note else {}


def _change(before: Run, after: Run) -> dict[str, Any]:
    return {"old_status": before.status, "new_status": after.status, "reason": after.reason or None}


def _waiting_text(run: Run, fact: facts.Waiting) -> str:
    step = run.steps.get(fact.step_id)
    name = f" in '{step.name}'" if step is not None else ""
    match fact.reason:
        case "sleep":
            return f"Sleeps{name}"
        case "wait_event":
            is_message = step is not None and step.wait_event and message_name(step.wait_event) is not None
            return f"Waits{name} for {'a message' if is_message else 'an event'}"
        case "retry":
            return f"Rests{name} before its next attempt"
        case _:
            return f"Waits{name} for another run"


def _error(text: str | None) -> dict[str, Any]:
    return {} if text is None else {"error": _json(text)}


def _json(text: str | None) -> Json | None:
    return to_json(text)


def _message(error: str | None) -> str:
    """The message in a recorded error; a worker may have sent an object of its own shape, or a text."""
    value = None if error is None else read_json(error)
    if isinstance(value, dict):
        return str(value.get("message") or value.get("code") or "no message")
    return str(value)


def _at(at: Millis | None) -> datetime | None:
    return None if at is None else to_datetime(at)


def _time(at: Millis | None) -> str:
    """RFC 3339 in UTC to the millisecond."""
    return "" if at is None else to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span(span_ms: int) -> str:
    """A span for people, to the second from ten seconds on and to the minute from an hour on."""
    unit = 1 if span_ms < 10_000 else 1_000 if span_ms < 3_600_000 else 60_000
    return duration_text(round(span_ms / unit) * unit)
