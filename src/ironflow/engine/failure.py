"""What a failed attempt does to its run."""

from ironflow.base.time import Millis
from ironflow.engine.effects import SetTimer
from ironflow.engine.facts import AttemptFailed, RunFailed, RunPaused
from ironflow.engine.model import ErrorValue, Run, error_text
from ironflow.engine.outcome import Outcome
from ironflow.engine.retry import decide_retry_at

# A handler met a recorded step as a step of another type: its code is no longer the one that the history is of.
DIVERGED = "STEP_DIVERGED"


def decide_failure(run: Run, error: ErrorValue, report: str, now: Millis) -> Outcome:
    """Another attempt after a delay, a pause for a person, or the end.

    report: token and status of the update that brought the failure, empty when none did.
    Source: protocol/errors-and-defaults.md 1, "What the engine does with a failed step or handler".
    """
    text = error_text(error)
    if error.code == DIVERGED:
        # Neither another attempt nor the end would be right; a person decides.
        return Outcome((RunPaused(at=now, reason="diverged", error=text, report=report),))
    retry_at = decide_retry_at(run.policy, run.attempt, error, now)
    if retry_at is not None:
        failed = AttemptFailed(at=now, error=text, retry_at=retry_at, report=report)
        return Outcome((failed,), (SetTimer(kind="retry", due_at=retry_at),))
    if error.retryable and run.policy.on_exhausted == "pause":
        return Outcome((RunPaused(at=now, reason="exhausted", error=text, report=report),))
    return Outcome((RunFailed(at=now, error=text, report=report),))
