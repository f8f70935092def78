"""What the server does not know of an execution, and the reports that are made of it."""

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import ChangedState, JobUpdate, SetValue, StepRow
from ironflow.sdk.durable.run_logs import LogLine
from ironflow.sdk.worker.reporter import Reporter

# Codes of the errors with which a server refuses the state of an entity.
_STATE_REFUSED = frozenset(
    {
        "ENTITY_STATE_READ_ONLY",
        "ENTITY_STATE_TOO_LARGE",
        "ENTITY_TYPE_CONFLICT",
        "INVALID_ENTITY_STATE",
        "SCHEMA_VIOLATION",
        "STREAM_DELETED",
    }
)


class Unreported:
    """Rows of steps, run values, the state of the entity, and lines of the handler's logger.

    known: how many rows the server has. sent: how many are in the report on its way.
    known_value: the call that set the last value that the server has.
    """

    def __init__(self, job: Assignment, reporter: Reporter) -> None:
        self.execution: Execution | None = None
        self.known = self.sent = 0
        self.known_value = self._sent_value = 0
        self._known_state = self._sent_state = 0
        self._sent_lines: tuple[LogLine, ...] = ()
        self._job = job
        self.reporter = reporter

    def reset(self) -> None:
        """Forgets all acknowledgements: everything is to be reported again."""
        self.known = self.known_value = self._known_state = 0

    @property
    def rows(self) -> list[StepRow]:
        """The steps that the server has not acknowledged."""
        return self.execution.rows[self.known :] if self.execution is not None else []

    @property
    def count(self) -> int:
        """The number of `rows`."""
        return len(self.execution.rows) - self.known if self.execution is not None else 0

    def lines(self) -> tuple[LogLine, ...]:
        """The log lines to report; none where the server does not answer reports."""
        if self.execution is None or not self.reporter.answers:
            return ()
        return self.execution.logs.waiting()

    def values(self, rows: int) -> tuple[list[SetValue], int]:
        """The values to report when the server knows the first `rows` rows, and the number of the last one's call."""
        if self.execution is None or not self.reporter.many_waits:
            return [], self.known_value
        return self.execution.values.unsent(self.known_value, rows)

    def _state(self, rows: int) -> ChangedState | None:
        """The state of the entity in a report after which the server knows the first `rows` rows."""
        state = self.execution.state.unsent(self._known_state, rows) if self.execution is not None else None
        self._sent_state = self._known_state if state is None else state.number
        return state

    def update(self, status: str, rows: list[StepRow]) -> JobUpdate:
        """A report with `rows`, which follow the rows that the server knows."""
        cancels = self.execution.cancels if self.execution is not None else []
        self._sent_lines = self.lines()
        values, self._sent_value = self.values(self.known + len(rows))
        state = self._state(self.known + len(rows))
        return JobUpdate(
            state=state or msgspec.UNSET,
            values=values or msgspec.UNSET,
            cancels=tuple(cancels) if cancels and self.reporter.many_waits else msgspec.UNSET,
            status=status,
            execution_seq=self._job.execution_seq,
            lease_token=self._job.lease_token,
            steps=rows if self.reporter.answers else [_plain(row) for row in rows],
            step_offset=self._job.step_sequence_base + self.known,
            logs=self._sent_lines or msgspec.UNSET,
        )

    def acknowledge(self, *, refused: bool) -> None:
        """Counts the rows of the last report as known. refused: it had one row, which the server refused."""
        self.known += self.sent
        if not refused:
            self.known_value, self._known_state = self._sent_value, self._sent_state

    def lines_reported(self) -> None:
        """Drops the log lines of the last report."""
        if self._sent_lines and self.execution is not None:
            self.execution.logs.reported(self._sent_lines)

    def state_refused(self, fault: IronflowError) -> bool:
        """Whether the last report may be refused because of the entity's state in it. That state is not sent again."""
        if self.execution is None or self._sent_state == self._known_state or fault.code not in _STATE_REFUSED:
            return False
        self.execution.state.refused(fault)
        self._sent_state = self._known_state
        return True


def _plain(row: StepRow) -> StepRow:
    """The row without the fields that only our own server reads."""
    ours = ("keeps_failure", "announced", "attempt", "attempts_max", "progress")
    given = {name: msgspec.UNSET for name in ours if getattr(row, name) is not msgspec.UNSET}
    return msgspec.structs.replace(row, **given) if given else row
