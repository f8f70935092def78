"""What happens when a time has come that a run waits for."""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.facts import Fact, RetryStarted, StepsRecorded, Woken
from ironflow.engine.model import Run
from ironflow.engine.outcome import NOTHING, Outcome


def decide_sleep_over(run: Run, command: commands.SleepOver, now: Millis) -> Outcome:
    """The sleeping step is completed with null; a run that waits for it goes back into the queue.

    A run that waits no longer (paused, ended) keeps the completed step and stays as it is.
    """
    step = run.steps.get(command.step_id)
    if step is None or step.status != "sleeping" or run.ended:
        return NOTHING
    done = replace(step, status="completed", output="null", ended_at=now, updated_at=now)
    happened: list[Fact] = [StepsRecorded(at=now, steps=(done,))]
    if run.status == "waiting" and run.reason == "sleep":
        happened.append(Woken(at=now))
    return Outcome(tuple(happened))


def decide_retry_start(run: Run, now: Millis) -> Outcome:
    """The next attempt begins, if the run still waits for it."""
    if run.status != "waiting" or run.reason != "retry":
        return NOTHING
    return Outcome((RetryStarted(at=now, attempt=run.attempt + 1),))
