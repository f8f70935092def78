"""What is recorded of a rehearsed run: the memo that its next execution is given, and the steps that a test sees."""

from typing import Any

import msgspec
from msgspec import UNSET

from ironflow.engine.wake import InvokeFailure
from ironflow.features.runs.contract import StepStatus, StepType
from ironflow.sdk.assignment import CompletedStep
from ironflow.sdk.payload import NOTHING, Raw, from_payload
from ironflow.sdk.report import StepFailure, StepRow, YieldedStep
from ironflow.sdk.views import Failure, Step


class History:
    """The recorded steps of one run, by step id."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._memo: dict[str, CompletedStep] = {}
        self._steps: dict[str, Step] = {}

    @property
    def memo(self) -> list[CompletedStep]:
        return list(self._memo.values())

    @property
    def steps(self) -> list[Step]:
        """In the order in which they were first recorded."""
        return list(self._steps.values())

    def ran(self, row: StepRow, attempt: int) -> None:
        """A body ended. A failed step is not in the memo: the next attempt runs it again."""
        output, error = row.output, row.error
        if isinstance(output, Raw):
            self._memo[row.id] = CompletedStep(step_id=row.id, name=row.name, output=output, type=row.type)
        self._add(
            row.id,
            row.name,
            StepType(row.type),
            StepStatus(row.status),
            attempt=attempt,
            output=from_payload(output) if isinstance(output, Raw) else None,
            error=Failure(message=error.message, retryable=error.retryable) if isinstance(error, StepFailure) else None,
            duration_ms=row.duration_ms,
            started_at=row.started_at,
            ended_at=row.ended_at,
            compensation_for=None if row.compensation_for is UNSET else row.compensation_for,
        )

    def came(self, step: YieldedStep, kind: StepType, output: Raw = NOTHING, **more: Any) -> None:
        """What the run waited for has come."""
        self._memo[step.step_id] = CompletedStep(
            step_id=step.step_id, name=step.step_name, output=output, type=kind.value
        )
        self._add(step.step_id, step.step_name, kind, StepStatus.COMPLETED, output=from_payload(output), **more)

    def timed_out(self, step: YieldedStep, error: Failure, **more: Any) -> None:
        """The event that the run waited for has not come."""
        self._add(step.step_id, step.step_name, StepType.WAIT_FOR_EVENT, StepStatus.TIMED_OUT, error=error, **more)

    def invoke_failed(self, step: YieldedStep, failure: InvokeFailure, **more: Any) -> None:
        """The next execution sees this as an InvokeError."""
        told = msgspec.to_builtins(failure)
        kind = StepType.INVOKE_FUNCTION
        self._memo[step.step_id] = CompletedStep(
            step_id=step.step_id, name=step.step_name, status="failed", error=told, type=kind.value
        )
        error = Failure(message=failure.message, code=failure.code)
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
