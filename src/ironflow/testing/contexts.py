"""What a handler or one of its helpers is given, for tests that call it without a run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ironflow.base.time import FixedClock, to_datetime, to_millis
from ironflow.sdk.definition.function import StateShape
from ironflow.sdk.durable.context import Context, RunInfo, Secrets
from ironflow.sdk.durable.entity_state import EntityState
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep, JobContext, JobEntity, JobEvent
from ironflow.sdk.durable.job.event import event_of
from ironflow.sdk.durable.steps.changes import Changes
from ironflow.sdk.durable.steps.publish import nowhere
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.retrying import FEATURES
from ironflow.sdk.durable.steps.step_ids import Scope
from ironflow.sdk.durable.steps.step_runner import StepRunner
from ironflow.sdk.durable.steps.steps import Steps
from ironflow.sdk.values.payload import from_payload, to_payload
from ironflow.sdk.values.upcasting import NO_UPCASTERS


def secrets(values: Mapping[str, str]) -> Secrets:
    """What `ctx.secrets` is, with these values."""
    return Secrets(values)


def context_for_test(
    data: Any = None,
    *,
    event: str = "test",
    function_id: str = "test",
    run_id: str = "run_1",
    attempt: int = 1,
    metadata: Any = None,
    secrets: Mapping[str, str] | None = None,
    completed_steps: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    client: Any = None,
    state: Any = None,
) -> Context:
    """A context to call a handler with directly, outside of any run.

        assert await charge(context_for_test({"amount": 5}, secrets={"KEY": "k"}, completed_steps={"look-up": 7})) == 12

    completed_steps: outputs by step name, which these steps return without running; the bodies of others run.
    A handler that sleeps, waits or invokes raises what leaves a handler then: test that one with `TestClient`.
    at: the time of the event, else the first moment of 2026. client: what `ctx.client` is. state: of the entity that a
    handler is of. Raises SerializationError.
    """
    clock = FixedClock() if at is None else FixedClock(to_millis(at))
    now = to_datetime(clock.now())
    scope = Scope(run_id)
    job = Assignment(
        job_id=f"job_{run_id}",
        run_id=run_id,
        function_id=function_id,
        event=JobEvent(
            id="evt_1",
            name=event,
            data=to_payload(data, f"the data of event {event!r}"),
            timestamp=now,
            metadata=metadata,
        ),
        execution_seq=1,
        lease_token="",
        attempt=attempt,
        completed_steps=[
            CompletedStep(step_id=scope.next_id(name), name=name, output=to_payload(output, f"the output of {name!r}"))
            for name, output in (completed_steps or {}).items()
        ],
        context=JobContext(secrets=dict(secrets or {})),
        run_started_at=now,
        function_version=1,
    )
    given = Secrets(job.secrets)
    runner = StepRunner(None, None, clock)
    runner.secret_texts = given.texts
    replay = Replay(job, runner, now=clock.now, publish=nowhere, upcasters=NO_UPCASTERS, features=FEATURES)
    steps = Steps(replay, replay.root)
    return Context(
        event=event_of(job.event),
        step=steps,
        run=RunInfo(
            id=run_id,
            function_id=function_id,
            attempt=attempt,
            max_attempts=0,
            on_exhausted="fail",
            started_at=now,
            environment="default",
            function_version=1,
        ),
        secrets=given,
        _course=replay.course(),
        _state=EntityState(JobEntity(entity="test", key="test", is_new=True), StateShape(from_payload, lambda: state)),
        _changes=Changes(steps, replay),
        _client=None if client is None else lambda: client,
    )
