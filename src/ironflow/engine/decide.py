"""The door of the engine: what follows from a command. Each command has a `decide_` of its own."""

from typing import cast

import msgspec

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.control import decide_cancel, decide_inject, decide_patch, decide_pause, decide_resume
from ironflow.engine.effects import Effect, SetTimer
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, RunCreated, RunFailed
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
    decide_event_came,
    decide_invoke_timed_out,
    decide_retry_start,
    decide_sleep_over,
    decide_start,
    decide_wait_timed_out,
)


class Decision(msgspec.Struct, frozen=True):
    """run: the run after all facts. effects: rows to write with it, in the same transaction."""

    run: Run
    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...] = ()


def decide(run: Run | None, command: commands.Command, now: Millis) -> Decision:
    """What follows from `command` at `now`; `run` is None only for Create.

    Raises the errors of `ironflow.engine.errors`: StaleExecution for a report whose fence is not the run's, and others
    where the run's state does not allow the command.
    """
    outcome = _outcome(run, command, now)
    # A decision without facts leaves the very same run, so callers can tell by identity.
    after = fold(run, outcome.facts) if outcome.facts else cast(Run, run)
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
        case commands.SleepOver():
            return decide_sleep_over(run, command, now)
        case commands.RetryDue():
            return decide_retry_start(run, now)
        case commands.LeaseExpired():
            return decide_lease_expired(run, command, now)
        case commands.StartDue():
            return decide_start(run, now)
        case commands.EventCame():
            return decide_event_came(run, command, now)
        case commands.WaitTimedOut():
            return decide_wait_timed_out(run, command, now)
        case commands.ChildEnded():
            return decide_child_ended(run, command, now)
        case commands.InvokeTimedOut():
            return decide_invoke_timed_out(run, command, now)
        case commands.Admit():
            return decide_admission(run, now)
        case _:
            return _controlled(run, command, now)


def _controlled(run: Run, command: commands.Command, now: Millis) -> Outcome:
    """Commands that people give."""
    match command:
        case commands.Cancel():
            return decide_cancel(run, command, now)
        case commands.Pause():
            return decide_pause(run, now)
        case commands.Resume():
            return decide_resume(run, command, now)
        case commands.Inject():
            return decide_inject(run, command, now)
        case commands.Patch():
            return decide_patch(run, command, now)
        case _:
            raise ValueError(f"unknown command {type(command).__name__}")


def decide_creation(command: commands.Create, now: Millis) -> Outcome:
    """A new run: ready for a worker, queued for a slot, or waiting for the time when it may start; or failed."""
    start_at = command.start_at if command.start_at is not None and command.start_at > now else None
    refused = command.refused
    failed = (RunFailed(at=now, error=error_text(refused), report=""),) if refused is not None else ()
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
            ),
            *failed,
        ),
        (SetTimer(kind="start", due_at=start_at),) if start_at is not None else (),
    )
