"""What the engine refuses."""

from ironflow.base.errors import Aborted, FailedPrecondition


class StaleExecution(Aborted):
    """The lease for this execution is lost or ended; the run belongs to another execution now. Drop the job."""

    code = "STALE_EXECUTION"


class RunEnded(FailedPrecondition):
    """The run has ended already."""

    code = "RUN_ENDED"
