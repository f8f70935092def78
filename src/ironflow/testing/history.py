"""The recorded steps of a simulated run: the memo of its next execution, and the steps that a test sees."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from ironflow.engine.wake import InvokeFailure
from ironflow.features.runs.contract import StepStatus, StepType
from ironflow.sdk.client.views import Failure, Step
from ironflow.sdk.durable.job.assignment import CompletedStep
from ironflow.sdk.durable.job.report import StepFailure, StepRow, YieldedStep
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload


class History:
    """The recorded steps of one run, by step id."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._memo: dict[str, CompletedStep] = {}
        self._steps: dict[str, Step] = {}
        # How long steps rest before their next attempts, in milliseconds.
        self.rests: dict[str, int] = {}
        # What bodies have shown last.
        self.progress: dict[str, Raw] = {}

    @property
    def memo(self) -> list[CompletedStep]:
        return list(self._memo.values())

    @property
    def steps(self) -> list[Step]:
        """In the order in which they were first recorded."""
        return list(self._steps.values())

    def ran(self, row: StepRow, attempt: int) -> None:
        """A body ended. A failure is replayed, too, until an attempt ends because of it; a step with a retry of its own
        has its next attempt, at once."""
        output, error = row.output, row.error
        own = row.attempt if isinstance(row.attempt, int) else None
        rest_ms = row.retry_in_ms
        if own is not None and isinstance(rest_ms, int):
            self.rests[row.id] = rest_ms
            self._memo[row.id] = CompletedStep(
                step_id=row.id,
                name=row.name,
                status="retrying",
                attempt=own + 1,
                progress=self._shown(row.id),
                type=row.type,
            )
        elif isinstance(output, Raw):
            self._memo[row.id] = CompletedStep(
                step_id=row.id, name=row.name, output=output, type=row.type, ended_at=row.ended_at
            )
        elif isinstance(error, StepFailure) and row.keeps_failure is True:
            self._memo[row.id] = CompletedStep(
                step_id=row.id,
                name=row.name,
                status="failed",
                error=msgspec.to_builtins(error),
                type=row.type,
                ended_at=row.ended_at,
            )
        self._add(
            row.id,
            row.name,
            StepType(row.type),
            StepStatus(row.status),
            attempt=own or attempt,
            output=from_payload(output) if isinstance(output, Raw) else None,
            error=_shown_failure(error) if isinstance(error, StepFailure) else None,
            duration_ms=row.duration_ms,
            started_at=row.started_at,
            ended_at=row.ended_at,
            progress=self._shown(row.id),
            compensation_for=None if row.compensation_for is UNSET else row.compensation_for,
        )

    def _shown(self, step_id: str) -> Any:
        found = self.progress.get(step_id)
        return None if found is None else from_payload(found)

    def rested(self, step_id: str) -> None:
        """The next attempt of the step is due."""
        del self.rests[step_id]
        self._memo[step_id].status = "pending"

    def released(self, step_ids: Sequence[str]) -> None:
        """An attempt ended because of these failures: the steps run anew."""
        for step_id in step_ids:
            failed = self._memo.pop(step_id, None)
            if failed is not None and step_id in self.progress:
                self._memo[step_id] = CompletedStep(
                    step_id=step_id,
                    name=failed.name,
                    status="pending",
                    attempt=1,
                    progress=self._shown(step_id),
                    type=failed.type,
                )

    def completed(self, step: YieldedStep, kind: StepType, output: Raw = NOTHING, **more: Any) -> None:
        """What the run waited for has come."""
        self._memo[step.step_id] = CompletedStep(
            step_id=step.step_id, name=step.step_name, output=output, type=kind.value
        )
        self._add(step.step_id, step.step_name, kind, StepStatus.COMPLETED, output=from_payload(output), **more)

    def timed_out(self, step: YieldedStep, error: Failure, **more: Any) -> None:
        """The event that the run waited for has not come; the next execution gets the time-out."""
        self._memo[step.step_id] = CompletedStep(
            step_id=step.step_id,
            name=step.step_name,
            status="timed_out",
            error=msgspec.to_builtins(error),
            type=StepType.WAIT_FOR_EVENT.value,
        )
        self._add(step.step_id, step.step_name, StepType.WAIT_FOR_EVENT, StepStatus.TIMED_OUT, error=error, **more)

    def invoke_failed(self, step: YieldedStep, failure: InvokeFailure, **more: Any) -> None:
        """The next execution sees this as an InvokeError."""
        fields = msgspec.to_builtins(failure)
        kind = StepType.INVOKE_FUNCTION
        self._memo[step.step_id] = CompletedStep(
            step_id=step.step_id, name=step.step_name, status="failed", error=fields, type=kind.value
        )
        error = Failure(
            message=failure.message,
            code=failure.code,
            error_class=failure.error_class or None,
            details=failure.details or None,
        )
        self._add(step.step_id, step.step_name, kind, StepStatus.FAILED, error=error, **more)

    def _add(self, step_id: str, name: str, kind: StepType, status: StepStatus, **more: Any) -> None:
        known = self._steps.get(step_id)
        self._steps[step_id] = Step(
            id=step_id,
            run_id=self._run_id,
            step_id=step_id,
            step_type=kind,
            sequence=len(self._steps) if known is None else known.sequence,
            status=status,
            name=name,
            **more,
        )


def _shown_failure(error: StepFailure) -> Failure:
    return Failure(
        message=error.message,
        code=error.code or None,
        retryable=error.retryable,
        error_class=error.error_class or None,
        details=error.details or None,
    )
