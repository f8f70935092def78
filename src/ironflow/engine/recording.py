"""Which facts of a run are kept, for time travel and the audit trail."""

from ironflow.engine.facts import Fact, LeaseRenewed, StepInjected, StepPatched, StepsDropped, StepsRecorded
from ironflow.engine.model import Recording


def is_kept(fact: Fact, recording: Recording) -> bool:
    """Whether a run that records so keeps the fact.

    Each profile keeps what a fold needs to tell the run's status at any moment; `run_lifecycle` keeps no step.
    Source: docs/concepts/time_travel.md, "Profiles".
    """
    match recording:
        case "" | "expired":
            return False
        case "all":
            return True
        case "steps":
            return not isinstance(fact, LeaseRenewed)
        case "run_lifecycle":
            return not isinstance(fact, LeaseRenewed | StepsRecorded | StepInjected | StepPatched | StepsDropped)
