"""The door of the engine: what follows from a command. Each command has a `decide_` of its own."""

from typing import cast

import msgspec

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import DropTimers, Effect
from ironflow.engine.errors import RunEnded
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, RunCancelled, RunCreated
from ironflow.engine.lease import decide_ack, decide_claim, decide_give_back, decide_lease_expired, decide_renewal
from ironflow.engine.model import Run
from ironflow.engine.outcome import Outcome
from ironflow.engine.report import decide_report
from ironflow.engine.wake import decide_retry_start, decide_sleep_over


class Decision(msgspec.Struct, frozen=True):
    """run: the run after all facts. effects: rows to write with it, in the same transaction."""

    run: Run
    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...] = ()


def decide(run: Run | None, command: commands.Command, now: Millis) -> Decision:
    """What follows from `command` at `now`; `run` is None only for Create.

    Raises StaleExecution for a report whose fence is not the run's, RunEnded where the run has to be alive.
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
        case commands.Cancel():
            return decide_cancel(run, command, now)
        case _:
            raise ValueError(f"unknown command {type(command).__name__}")


def decide_creation(command: commands.Create, now: Millis) -> Outcome:
    """A new run, ready to be claimed."""
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
            ),
        )
    )


def decide_cancel(run: Run, command: commands.Cancel, now: Millis) -> Outcome:
    """A run that has not ended ends now; its lease and timers go with it. Raises RunEnded.

    Source: protocol/step-semantics.md 11, "Cancel".
    """
    if run.ended:
        raise RunEnded(f"Run {run.id} has ended already: it is {run.status}.")
    return Outcome((RunCancelled(at=now, cause=command.cause),), (DropTimers(),))
