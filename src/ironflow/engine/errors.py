"""What the engine refuses."""

from ironflow.base.errors import Aborted, FailedPrecondition, NotFound


class StaleExecution(Aborted):
    """The lease for this execution is lost or ended; the run belongs to another execution now. Drop the job."""

    code, is_code_in_error = "STALE_EXECUTION", True


class RunEnded(FailedPrecondition):
    """The run has ended already."""

    code = "RUN_ENDED"


class RunCancelling(FailedPrecondition):
    """The run is being cancelled: its compensations run. Cancel it again to end it at once."""

    code = "RUN_CANCELLING"


class RunNotPaused(FailedPrecondition):
    """The run is not paused."""

    code = "RUN_NOT_PAUSED"


class RunNotResumable(FailedPrecondition):
    """Only paused and failed runs are resumed."""

    code = "RUN_NOT_RESUMABLE"


class RunRunning(FailedPrecondition):
    """A worker has the run; pause it first."""

    code = "RUN_RUNNING"


class StepNotFound(NotFound):
    """The run has no such step."""

    code = "STEP_NOT_FOUND"


class StepNotFinished(FailedPrecondition):
    """The step is not finished; it has no output to replace."""

    code = "STEP_NOT_FINISHED"
