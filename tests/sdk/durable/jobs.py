"""Jobs as a server hands them out, and executions of them, for tests."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ironflow.base.time import Clock, FixedClock
from ironflow.sdk.definition.function import FunctionDefinition, function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep, JobContext, JobEvent
from ironflow.sdk.values.payload import Raw

EMITTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def a_job(
    *,
    data: Any = None,
    done: Mapping[str, Any] | None = None,
    run_id: str = "r",
    attempt: int = 1,
    max_attempts: int = 3,
    on_exhausted: str = "fail",
    secrets: dict[str, str] | None = None,
    source: str | None = None,
    failed: Mapping[str, Any] | None = None,
    timed_out: Mapping[str, Any] | None = None,
    compensating: Any = None,
    name: str = "order.placed",
    version: int = 1,
) -> Assignment:
    """A job whose steps `done` (step id: output) are recorded; `failed` (step id: error) are failed invokes.

    timed_out: waits (step id: error). compensating: the error of a run that has failed.
    """
    steps = [CompletedStep(step_id=step_id, output=raw(output)) for step_id, output in (done or {}).items()]
    steps += [CompletedStep(step_id=each, status="failed", error=error) for each, error in (failed or {}).items()]
    steps += [CompletedStep(step_id=each, status="timed_out", error=error) for each, error in (timed_out or {}).items()]
    return Assignment(
        job_id="job_1",
        run_id=run_id,
        function_id="f",
        event=JobEvent(
            id="evt_1",
            name=name,
            version=version,
            data=data if isinstance(data, Raw) else raw(data),
            timestamp=EMITTED_AT,
            source=source,
        ),
        execution_seq=1,
        lease_token="lease",
        attempt=attempt,
        max_attempts=max_attempts,
        on_exhausted=on_exhausted,
        completed_steps=steps,
        context=JobContext(secrets=secrets or {}),
        compensating=compensating,
    )


def an_execution(
    handler: Callable[..., Any] | FunctionDefinition,
    *,
    clock: Clock | None = None,
    settings: Any = None,
    features: frozenset[str] = frozenset(),
    **job: Any,
) -> Execution:
    """An execution of `handler`; settings go to @function, the rest to the job."""
    definition = handler if isinstance(handler, FunctionDefinition) else function("f", **(settings or {}))(handler)
    return Execution(definition, a_job(**job), clock=clock or FixedClock(), environment="test", features=features)


def as_sent(message: msgspec.Struct) -> Any:
    """A part of a report as plain values, as it travels."""
    return msgspec.json.decode(msgspec.json.encode(message))


def outputs(execution: Execution) -> dict[str, Any]:
    """Step id: output, of the steps that this execution ran and that succeeded."""
    return {row.id: msgspec.json.decode(row.output) for row in execution.rows if isinstance(row.output, Raw)}
