"""When a handler's code no longer fits what is recorded of its run. Source: DESIGN.md 4, "divergence"."""

from collections.abc import Sequence

from ironflow.base.errors import NonRetryableError
from ironflow.sdk.durable.job.assignment import CompletedStep


class Diverged(NonRetryableError):
    """A recorded step was met as a step of another type. The server holds the run until a person decides."""

    code = "STEP_DIVERGED"


def diverged(recorded: Sequence[CompletedStep], met: CompletedStep, kind: str) -> Diverged:
    """The error for a run whose step `met` the handler takes for `kind`; it shows what is recorded."""
    history = ", ".join(f"{step.name} ({step.type})" for step in recorded)
    return Diverged(
        f"Step {met.name!r} is recorded as {met.type}, and the handler now takes it for {kind}. "
        f"Recorded: {history}. The code is not the one that this history is of: deploy the code that fits and "
        "resume the run, or resume it from an earlier step."
    )
