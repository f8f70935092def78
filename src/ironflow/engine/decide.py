"""The entry point of the engine: which `decide_` function handles each command."""

from typing import assert_never, cast

import msgspec

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.cancelling import decide_cancel
from ironflow.engine.control import decide_inject, decide_patch, decide_pause, decide_resume, paused_at_boundary
from ironflow.engine.effects import Effect, SetTimer
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, RunCancelled, RunCreated, RunFailed
from ironflow.engine.lease import (
    decide_ack,
    decide_admission,
    decide_claim,
    decide_give_back,
    decide_lease_expired,
    decide_renewal,
)
from ironflow.engine.model import Run, error_text
from ironflow.engine.outcome import Outcome
from ironflow.engine.report import decide_report
from ironflow.engine.wake import (
    decide_child_ended,
    decide_child_started,
    decide_event_received,
    decide_invoke_timed_out,
    decide_rest_due,
    decide_retry_start,
    decide_sleep_due,
    decide_start,
    decide_wait_timed_out,
    decide_wake_due,
    with_steps_closed,
)


class Decision(msgspec.Struct, frozen=True):
    """run: the run after all facts. effects: rows to write with it, in the same transaction."""

    run: Run
    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...] = ()


def decide(run: Run | None, command: commands.Command, now: Millis) -> Decision:
    """The facts and effects of `command` at `now`; `run` is None only for Create.

    Raises the errors of `ironflow.engine.errors`: StaleExecution for a report whose fence is not the run's, and others
    where the run's state does not allow the command.
    """
    outcome = with_steps_closed(run, _outcome(run, command, now), now)
    if not outcome.facts:
        # The same object, so that callers can compare by identity.
        return Decision(run=cast(Run, run), facts=(), effects=outcome.effects)
    after = fold(run, outcome.facts) if outcome.after is None else outcome.after
    return Decision(run=after, facts=outcome.facts, effects=outcome.effects)


def _outcome(run: Run | None, command: commands.Command, now: Millis) -> Outcome:
    if isinstance(command, commands.Create):
        return decide_creation(command, now)
    if run is None:
        raise ValueError(f"{type(command).__name__} needs a run")
    match command:
        case commands.Report():
            return decide_report(run, command, now)
        case commands.Claim():
            return decide_claim(run, command, now)
        case commands.Ack():
            return decide_ack(run, command, now)
        case commands.Renew():
            return decide_renewal(run, command, now)
        case commands.GiveBack():
            return decide_give_back(run, command, now)
        case commands.SleepDue():
            return decide_sleep_due(run, command, now)
        case commands.RestDue():
            return decide_rest_due(run, command, now)
        case commands.RetryDue():
            return decide_retry_start(run, now)
        case commands.LeaseExpired():
            return decide_lease_expired(run, command, now)
        case commands.WakeDue():
            return decide_wake_due(run, now)
        case commands.StartDue():
            return decide_start(run, now)
        case commands.EventReceived():
            return decide_event_received(run, command, now)
        case commands.WaitTimedOut():
            return decide_wait_timed_out(run, command, now)
        case commands.ChildEnded():
            return decide_child_ended(run, command, now)
        case commands.ChildStarted():
            return decide_child_started(run, command, now)
        case commands.InvokeTimedOut():
            return decide_invoke_timed_out(run, command, now)
        case commands.Admit():
            return decide_admission(run, now)
        case commands.Cancel() | commands.Pause() | commands.Resume() | commands.Inject() | commands.Patch():
            return _control(run, command, now)
        case _:
            assert_never(command)


def _control(run: Run, command: commands.Control, now: Millis) -> Outcome:
    match command:
        case commands.Cancel():
            return decide_cancel(run, command, now)
        case commands.Pause():
            return decide_pause(run, command, now)
        case commands.Resume():
            return decide_resume(run, command, now)
        case commands.Inject():
            return decide_inject(run, command, now)
        case commands.Patch():
            return decide_patch(run, command, now)
        case _:
            assert_never(command)


def decide_creation(command: commands.Create, now: Millis) -> Outcome:
    """A new run: ready for a worker, queued for a slot, or waiting for the time when it may start; failed; paused."""
    start_at = command.start_at if command.start_at is not None and command.start_at > now else None
    refused = command.refused
    more: tuple[Fact, ...] = ()
    if refused is not None:
        more = (RunFailed(at=now, error=error_text(refused), report=""),)
    if command.superseded_by is not None:
        more = (RunCancelled(at=now, cause=replaced_by(command.superseded_by)),)
    if command.paused:
        more = (paused_at_boundary(now, ""),)
    return Outcome(
        (
            RunCreated(
                at=now,
                run_id=command.run_id,
                environment=command.environment,
                function_id=command.function_id,
                function_version=command.function_version,
                event_id=command.event_id,
                event_name=command.event_name,
                policy=command.policy,
                actor_id=command.actor_id,
                parent_run_id=command.parent_run_id,
                parent_step_id=command.parent_step_id,
                slot_key=command.slot_key,
                limit_key=command.limit_key,
                holds_slot=command.holds_slot,
                watched=command.watched,
                recorded=command.recorded,
                start_at=start_at,
                key=command.key,
                parent_timeout_ms=command.parent_timeout_ms,
                hold=command.hold,
                priority=command.priority,
                entity=command.entity,
                restarted_from=command.restarted_from,
                first_run_id=command.first_run_id,
                link=command.link,
            ),
            *more,
        ),
        (SetTimer(kind="start", due_at=start_at),) if start_at is not None and not more else (),
    )


def replaced_by(run_id: str) -> str:
    """The cancellation cause of a run whose key another run takes over."""
    return f"replaced by {run_id}, which has its key"
