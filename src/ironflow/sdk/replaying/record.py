"""The record of one run as the server shows it, and the assignment that a worker would get of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ironflow.base.errors import SecretInOutput
from ironflow.engine.wake import INVOKE_TIMED_OUT
from ironflow.features.events.contract import EventWithRuns
from ironflow.features.runs.contract import Run, RunStatus, Step, StepStatus, StepType, WireError
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep, JobContext, JobEvent
from ironflow.sdk.durable.job.failure import SECRET, SERIALIZATION, TIMEOUT
from ironflow.sdk.replaying.divergence import RecordedEnd, RecordedStep
from ironflow.sdk.values.payload import NOTHING, Raw, is_redacted

_ENDED = (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.RETRYING, StepStatus.TIMED_OUT, StepStatus.DEAD)
_FAILED = (StepStatus.FAILED, StepStatus.RETRYING, StepStatus.DEAD)
_OPEN = (StepStatus.SLEEPING, StepStatus.WAITING)
# Of a step with an attempt to come.
_UNFINISHED = ("retrying", "pending", "running")


@dataclass(frozen=True)
class Record:
    """A run, its steps by sequence, and its event; event: None when the server has it no more."""

    run: Run
    steps: Sequence[Step]
    event: EventWithRuns | None

    def at(self, moment: datetime) -> "Record":
        """The record as it was at that time: steps that had ended, and those that slept or waited then."""
        steps = [found for step in self.steps if (found := _step_at(step, moment)) is not None]
        if self.run.ended_at is not None and self.run.ended_at <= moment:
            return Record(self.run, steps, self.event)
        run = msgspec.structs.replace(
            self.run, status=RunStatus.RUNNING, error=None, output=None, ended_at=None, restarted_as=None
        )
        return Record(run, steps, self.event)

    @property
    def end(self) -> RecordedEnd:
        error, restarted = self.run.error, self.run.restarted_as is not None
        if error is None:
            return RecordedEnd(self.run.status, restarted=restarted)
        return RecordedEnd(self.run.status, error.error_class or "", error.message)

    @property
    def recorded_steps(self) -> list[RecordedStep]:
        return [
            RecordedStep(step.step_id, step.name, step.step_type.value, _is_needed(step, self.run))
            for step in self.steps
            if step.status is not StepStatus.RUNNING
        ]

    @property
    def is_foreign(self) -> bool:
        """Whether the ids of its steps are not made as this SDK makes them."""
        return any(not step.step_id.startswith(f"{self.run.id}:") for step in self.steps)

    @property
    def lacks(self) -> list[str]:
        """What of it the server has no more: its event, after retention, and what was redacted."""
        event = "its event (deleted)" if self.event is None else "its event (redacted)"
        missing = self.event is None or _is_marker(self.event.data)
        outputs = [f"the output of {step.name} (redacted)" for step in self.steps if _is_marker(step.output)]
        return [event] * missing + outputs

    def assignment(self, secrets: Mapping[str, str], real: Sequence[str]) -> Assignment:
        """The job of a worker that would go on with this run. real: names or ids of steps that are to run again."""
        run = self.run
        memo = [step for step in self.steps if _is_replayed(step) and not {step.name, step.step_id} & set(real)]
        return Assignment(
            job_id=f"replay_{run.id}",
            run_id=run.id,
            function_id=run.function_id,
            event=self._job_event(),
            execution_seq=1,
            lease_token="",
            attempt=run.attempt,
            max_attempts=run.max_attempts,
            completed_steps=[_completed(step) for step in memo],
            run_started_at=run.started_at or run.created_at,
            function_version=run.function_version,
            context=JobContext(secrets=dict(secrets)),
        )

    def _job_event(self) -> JobEvent:
        run, event = self.run, self.event
        if event is None:
            data = NOTHING if run.input is None else Raw(bytes(run.input))
            return JobEvent(id=run.event_id, name=run.event_name or "", data=data, timestamp=run.created_at)
        return JobEvent(
            id=event.id,
            name=event.name,
            data=Raw(bytes(event.data)),
            timestamp=event.timestamp,
            version=event.version,
            source=event.source or None,
            idempotency_key=event.idempotency_key,
            metadata=None if event.metadata is None else msgspec.json.decode(event.metadata),
            emitted_by=event.emitted_by,
            entity_id=event.entity_id,
            entity_type=event.entity_type,
            entity_version=event.entity_version,
        )


def _is_marker(payload: Any) -> bool:
    return payload is not None and is_redacted(Raw(bytes(payload)))


def _is_cancelled(step: Step) -> bool:
    return step.stored_status == "cancelled"


def _is_replayed(step: Step) -> bool:
    """Whether a worker gets the step: also a failed body, whose failure its handler saw."""
    return step.status in _ENDED and not _is_cancelled(step) and step.stored_status not in _UNFINISHED


def _is_needed(step: Step, run: Run) -> bool:
    if step.status in _OPEN:
        return not run.status.ended
    if step.status in _FAILED and step.max_attempts:
        # Its attempts are not those of the run: it may have failed in an earlier one.
        return False
    # What failed in an earlier attempt need not have been met in the last one.
    return _is_replayed(step) and (step.status not in _FAILED or step.attempt >= run.attempt)


def _completed(step: Step) -> CompletedStep:
    done = CompletedStep(
        step_id=step.step_id,
        name=step.name,
        output=NOTHING if step.output is None else Raw(bytes(step.output)),
        type=step.step_type.value,
        ended_at=step.ended_at,
        handler_at=step.handler_at,
    )
    if step.status is StepStatus.TIMED_OUT:
        done.status, done.error = "timed_out", _body_failure(step.error)
    elif step.status in _FAILED:
        invoked = step.step_type is StepType.INVOKE_FUNCTION
        done.status, done.error = "failed", _child_failure(step) if invoked else _body_failure(step.error)
    return done


def _body_failure(error: WireError | None) -> dict[str, Any]:
    """The error as a worker gets it. Its kind is not shown; it is read from what the SDK writes."""
    if error is None:
        return {"message": "", "retryable": True}
    failure = {"message": error.message, "retryable": error.retryable}
    if error.code:
        failure["code"] = error.code
    if error.code == SecretInOutput.code:
        failure["kind"] = SECRET
    elif error.message.startswith("step ") and " ran longer than its timeout of " in error.message:
        failure["kind"] = TIMEOUT
    elif " cannot be written as JSON: " in error.message and not error.error_class:
        failure["kind"] = SERIALIZATION
    if error.error_class:
        failure["error_class"] = error.error_class
    if error.details is not None:
        failure["details"] = msgspec.json.decode(error.details)
    return failure


def _child_failure(step: Step) -> dict[str, Any]:
    """The failure of an invoked function as a worker gets it."""
    error = step.error or WireError(message="")
    cause = error.message.removeprefix(f"Function {step.name!r} failed: ")
    return {
        "message": error.message,
        "function_id": step.name,
        "child_run_id": step.child_run_id or "",
        "cause": cause,
        "timed_out": cause == INVOKE_TIMED_OUT,
        "code": error.code or "",
        "error_class": error.error_class or "",
        "details": None if error.details is None else msgspec.json.decode(error.details),
    }


def _step_at(step: Step, moment: datetime) -> Step | None:
    """A step as it was at that time; None where it had not begun, or its body ran."""
    if step.ended_at is not None and step.ended_at <= moment:
        return step
    begun = step.started_at or step.created_at
    if begun is None or begun > moment:
        return None
    if step.step_type is StepType.SLEEP:
        return msgspec.structs.replace(step, status=StepStatus.SLEEPING, ended_at=None, output=None, error=None)
    if step.step_type in (StepType.WAIT_FOR_EVENT, StepType.INVOKE_FUNCTION):
        return msgspec.structs.replace(step, status=StepStatus.WAITING, ended_at=None, output=None, error=None)
    return None
