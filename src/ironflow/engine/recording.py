"""Which facts of a run are kept, for time travel and the audit trail."""

from typing import assert_never

from ironflow.engine.facts import (
    Fact,
    LeaseRenewed,
    StateChanged,
    StepInjected,
    StepPatched,
    StepsDropped,
    StepsProgressed,
    StepsRecorded,
    StepsReleased,
    StepsUnasked,
    ValuesSet,
)
from ironflow.engine.model import Recording


def is_kept(fact: Fact, recording: Recording) -> bool:
    """Whether a run with this recording profile keeps the fact.

    Each profile keeps what a fold needs to compute the status of the run at any moment; `run_lifecycle` keeps no step.
    Source: docs/concepts/time_travel.md, "Profiles".
    """
    match recording:
        case "" | "expired":
            return False
        case "all":
            return True
        case "steps":
            return not isinstance(fact, LeaseRenewed | StepsProgressed)
        case "run_lifecycle":
            return not isinstance(
                fact,
                LeaseRenewed
                | StepsProgressed
                | StepsRecorded
                | StepsReleased
                | StepsUnasked
                | StepInjected
                | StepPatched
                | StepsDropped
                | ValuesSet
                | StateChanged,
            )
        case _:
            assert_never(recording)
