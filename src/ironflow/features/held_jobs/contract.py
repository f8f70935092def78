"""What is known of held jobs: the fence of an execution, and the report that is pending."""

from dataclasses import dataclass

from ironflow.base.json import Json
from ironflow.features.entities.contract import ChangedState
from ironflow.features.jobs.contract import ReportedError, ReportedStep, Restart, StartedStep, Yield
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.values.contract import SetValue


@dataclass(frozen=True, slots=True)
class Fence:
    """The execution that a report belongs to. execution_seq: 0 when the executor does not send it."""

    job_id: str
    execution_seq: int
    token: str


@dataclass(frozen=True, slots=True)
class PendingReport:
    """What an executor reported of a job and is not in the database yet, as one update.

    begun: the executor has taken the job. ended: `completed`, `failed` or `yielded`, empty while it goes on.
    yields and what comes after it: as in UpdateJob.
    """

    fence: Fence
    begun: bool = False
    started: tuple[StartedStep, ...] = ()
    steps: tuple[ReportedStep, ...] = ()
    ended: str = ""
    output: Json | None = None
    error: ReportedError | None = None
    yielded: Yield | None = None
    yields: tuple[Yield, ...] = ()
    cancels: tuple[str, ...] = ()
    uncompensated: bool = False
    uncompensated_steps: tuple[str, ...] = ()
    unasked_steps: tuple[str, ...] = ()
    caused_by: tuple[str, ...] = ()
    step_offset: int = 0
    logs: tuple[ReportedLine, ...] = ()
    values: tuple[SetValue, ...] = ()
    state: ChangedState | None = None
    restart: Restart | None = None
