"""The run after a fact. Nothing else changes a run: its state at any moment is a fold of its facts."""

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from ironflow.engine import facts
from ironflow.engine.model import (
    POINT_MS,
    Family,
    Lease,
    NotBegun,
    Reason,
    Run,
    RunValue,
    Status,
    Step,
    family_text,
    read_family,
)


def evolve(run: Run | None, fact: facts.Fact) -> Run:
    """`run` after `fact`; None before the first, which is RunCreated."""
    if run is None:
        if not isinstance(fact, facts.RunCreated):
            raise ValueError(f"a run begins with RunCreated, not {type(fact).__name__}")
        return _created(fact)
    return replace(_changed(run, fact), updated_at=fact.at, version=run.version + 1)


def fold(run: Run | None, happened: Iterable[facts.Fact]) -> Run:
    """`run` after all of `happened`, in order. Raises ValueError when nothing ever happened."""
    for fact in happened:
        run = evolve(run, fact)
    if run is None:
        raise ValueError("no facts, no run")
    return run


def _created(fact: facts.RunCreated) -> Run:
    run = Run(
        id=fact.run_id,
        environment=fact.environment,
        function_id=fact.function_id,
        function_version=fact.function_version,
        event_id=fact.event_id,
        event_name=fact.event_name,
        status="waiting",
        reason="throttle",
        next_at=fact.start_at,
        policy=fact.policy,
        created_at=fact.at,
        updated_at=fact.at,
        actor_id=fact.actor_id,
        parent_run_id=fact.parent_run_id,
        parent_step_id=fact.parent_step_id,
        slot_key=fact.slot_key,
        limit_key=fact.limit_key,
        holds_slot=fact.holds_slot,
        watched=fact.watched,
        recorded=fact.recorded,
        key=fact.key,
        family=family_text(Family(parent_timeout_ms=fact.parent_timeout_ms)),
        hold=fact.hold,
        priority=fact.priority,
        entity=fact.entity,
        restarted_from=fact.restarted_from,
        first_run_id=fact.first_run_id,
        link=fact.link,
    )
    return run if fact.start_at is not None else _queued(run, fact)


def _changed(run: Run, fact: facts.Fact) -> Run:
    match fact:
        case facts.StepsRecorded(steps=steps):
            # A new step is progress: lost leases are counted from here.
            known = run if not run.losses else replace(run, losses=0)
            return _with_steps(known, steps)
        case facts.StepsProgressed(steps=steps):
            # No step has ended: lost leases are counted on.
            return _with_steps(run, steps)
        case facts.StepsReleased(step_ids=step_ids):
            known = [run.steps[step_id] for step_id in step_ids if step_id in run.steps]
            return _with_steps(run, tuple(replace(s, failure="released", updated_at=fact.at) for s in known))
        case facts.StepsUnasked(names=names):
            return replace(run, unasked_steps=msgspec.json.encode(names).decode())
        case facts.ValuesSet(values=values):
            return replace(run, values=_newer(run.values, values))
        case facts.StateChanged():
            # The entity has it, not the run.
            return run
        case facts.Leased(lease=lease):
            return replace(
                run,
                status="running",
                reason="",
                lease=lease,
                execution_seq=lease.execution_seq,
                worker_id=lease.worker_id,
                started_at=fact.at if run.started_at is None else run.started_at,
                hold="kept" if run.hold else "",
                next_at=None,
            )
        case facts.RunCompleted(output=output, report=report, restarted_as=successor):
            return _ended(run, fact, "completed", output=output, error=None, last_report=report, restarted_as=successor)
        case facts.RunFailed(error=error, report=report, not_begun=not_begun):
            return _ended(run, fact, "failed", not_begun, error=error, last_report=report)
        case facts.RunCancelled(cause=cause, report=report, not_begun=not_begun):
            report = report or run.last_report
            return _ended(run, fact, "cancelled", not_begun, cancellation_cause=cause, last_report=report)
        case facts.CancelRequested(cause=cause):
            return replace(
                run,
                cancelling=cause,
                cancel_requested_at=fact.at,
                pause_requested=False,
                paused_by=None,
                pause_note=None,
            )
        case facts.LeaseRenewed(lease=lease):
            return replace(run, lease=lease)
        case facts.Admitted():
            return run if run.lease is None else replace(run, lease=replace(run.lease, state="ready"))
        case facts.Woken():
            return _queued(run, fact)
        case facts.RetryStarted(attempt=attempt):
            return replace(_queued(run, fact), attempt=attempt)
        case facts.LeaseLost(losses=losses):
            return replace(_queued(run, fact), losses=losses)
        case facts.JobReturned(avoid=avoid):
            # It keeps its slot: the execution has not begun.
            return replace(run, status="pending", lease=Lease(state="ready", ready_at=fact.at, avoid=avoid))
        case facts.StepInjected(step=step) | facts.StepPatched(step=step):
            return _with_steps(run, (step,))
        case facts.StepsDropped(from_sequence=first):
            kept = {name: step for name, step in run.steps.items() if step.sequence < first}
            values = {name: value for name, value in run.values.items() if value.sequence <= first}
            return replace(
                run,
                steps=kept,
                values=values,
                open_waits=run.open_waits + _open_in(kept) - _open_in(run.steps),
                family=_family_after(run, run.steps.values(), kept.values()),
            )
        case facts.WakeScheduled(wake_at=wake_at):
            return replace(run, wake_at=wake_at, next_at=wake_at if run.status == "waiting" else run.next_at)
        case facts.CompensationStarted(error=error, report=report, retry_at=retry_at, not_begun=not_begun):
            shown = error if run.cancelling is None else run.error
            known = replace(
                run,
                compensating=error,
                error=shown,
                losses=0,
                last_report=report,
                pause_requested=False,
                paused_by=None,
                pause_note=None,
                not_begun=_not_begun(not_begun),
            )
            if retry_at is None:
                return _queued(known, fact)
            return replace(known, status="waiting", reason="retry", next_at=retry_at, lease=None)
        case facts.RunCreated():
            raise ValueError("a run is created only once")
        case (
            facts.Waiting()
            | facts.AttemptFailed()
            | facts.PauseRequested()
            | facts.PauseWithdrawn()
            | facts.RunPaused()
            | facts.RunResumed()
        ):
            return _interrupted(run, fact)
        case _:
            assert_never(fact)


def _interrupted(run: Run, fact: facts.Interruption) -> Run:
    match fact:
        case facts.Waiting(reason=reason, until=until, step_id=step_id, report=report):
            return replace(
                run,
                status="waiting",
                reason=reason,
                next_at=until,
                open_step=step_id,
                wake_at=None,
                lease=None,
                last_report=report,
                family=_family_joining(run, fact.join),
            )
        case facts.AttemptFailed(error=error, retry_at=retry_at, report=report):
            return replace(
                run, status="waiting", reason="retry", next_at=retry_at, lease=None, error=error, last_report=report
            )
        case facts.PauseRequested(by=by, note=note):
            return replace(run, pause_requested=True, paused_by=by or None, pause_note=note or None)
        case facts.PauseWithdrawn():
            return replace(run, pause_requested=False, paused_by=None, pause_note=None)
        case facts.RunPaused(reason=reason, error=error, report=report):
            return replace(
                run,
                status="paused",
                reason=reason,
                paused_from=_waited_for(run),
                pause_requested=False,
                next_at=None,
                lease=None,
                error=run.error if error is None else error,
                last_report=report or run.last_report,
                # At a step boundary they are those of the request.
                paused_by=fact.by or run.paused_by,
                pause_note=fact.note or run.pause_note,
            )
        case facts.RunResumed(attempt=attempt):
            resumed = _requeued(run, fact)
            compensating = run.compensating if run.status == "paused" and not fact.from_step else None
            return replace(
                resumed,
                attempt=attempt,
                error=compensating if run.cancelling is None else run.error,
                compensating=compensating,
                not_begun=None if compensating is None else run.not_begun,
                ended_at=None,
                losses=0,
                pause_requested=False,
                paused_by=None,
                pause_note=None,
            )
        case _:
            assert_never(fact)


def _waited_for(run: Run) -> Reason:
    """What the run waits for when it is paused; empty when it has the slots it needs."""
    if run.status == "waiting":
        return run.reason
    return "slot" if run.lease is not None and run.lease.state == "queued" else ""


def _with_steps(run: Run, changed: tuple[Step, ...]) -> Run:
    if not changed:
        return run
    steps = run.steps.copy()
    opened, step_count, next_sequence = 0, run.step_count, run.next_sequence
    handles: dict[str, Step] = {}
    for step in changed:
        known = steps.get(step.step_id)
        if known is not None or step.open:
            opened += _is_waited_for(step) - (known is not None and _is_waited_for(known))
        steps[step.step_id] = step
        step_count = max(step_count, step.number + 1)
        next_sequence = max(next_sequence, step.sequence + 1)
        if step.handle:
            handles[step.step_id] = step
    family = run.family
    if handles:
        before = [run.steps[step_id] for step_id in handles if step_id in run.steps]
        family = _family_after(run, before, handles.values())
    return replace(
        run,
        steps=steps,
        family=family,
        open_waits=max(run.open_waits + opened, 0),
        step_count=step_count,
        next_sequence=next_sequence,
    )


def _newer(known: dict[str, RunValue], values: tuple[RunValue, ...]) -> dict[str, RunValue]:
    """A replay sets values again that are older than those that are known: these stay."""
    newer = {
        value.name: value for value in values if value.name not in known or known[value.name].number <= value.number
    }
    return known | newer


def _open_in(steps: dict[str, Step]) -> int:
    return sum(_is_waited_for(step) for step in steps.values())


def _is_waited_for(step: Step) -> bool:
    """Whether its end lets a waiting run go on; handles are joined all together."""
    return step.open and not step.handle


def _family_after(run: Run, before: Iterable[Step], after: Iterable[Step]) -> str | None:
    """The family when these steps have become those; the handles among them are counted."""
    family = read_family(run.family)
    opened, failed = family.open, family.failed
    for sign, steps in ((-1, before), (1, after)):
        for step in steps:
            if step.handle:
                opened += sign * step.open
                failed += sign * (step.status == "failed" and step.failure != "released")
    if (opened, failed) == (family.open, family.failed):
        return run.family
    return family_text(replace(family, open=max(opened, 0), failed=max(failed, 0)))


def _family_joining(run: Run, join: facts.Join | None) -> str | None:
    if run.family is None and join is None:
        return None
    left, known_failed = (join.left, join.known_failed) if join is not None else (None, None)
    return family_text(replace(read_family(run.family), left=left, known_failed=known_failed))


def _queued(run: Run, fact: facts.Fact) -> Run:
    state = "ready" if run.slot_key is None or run.hold == "kept" else "queued"
    return replace(
        run,
        status="pending",
        reason="",
        paused_from="",
        open_step=None,
        wake_at=None,
        next_at=None,
        family=_family_joining(run, None),
        lease=Lease(state=state, ready_at=fact.at - run.priority * POINT_MS),
    )


def _requeued(run: Run, fact: facts.Fact) -> Run:
    """A resumed run in the queue. A run that held its slot while it was paused comes before all others."""
    queued = _queued(run, fact)
    if run.status != "paused" or run.paused_from or not run.holds_slot or queued.lease is None:
        return queued
    return replace(queued, lease=replace(queued.lease, ready_at=run.created_at))


def _ended(run: Run, fact: facts.Fact, status: Status, not_begun: NotBegun | None = None, **more: Any) -> Run:
    return replace(
        run,
        status=status,
        reason="",
        paused_from="",
        open_step=None,
        wake_at=None,
        pause_requested=False,
        paused_by=None,
        pause_note=None,
        next_at=None,
        lease=None,
        ended_at=fact.at,
        hold="run" if run.hold else "",
        not_begun=_not_begun(not_begun),
        **more,
    )


def _not_begun(value: NotBegun | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
