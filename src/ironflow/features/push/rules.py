"""What is decided about push executions; pure. Source: protocol/rest.md 6, docs/reference/semantics.md, "Push"."""

from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from ironflow.base.json import InvalidJson
from ironflow.base.outgoing import AnswerTooLarge, Outgoing, RequestFailed
from ironflow.base.spelling import BadField, reader
from ironflow.base.trace_context import of_mapping, of_metadata
from ironflow.features.entities.contract import JobEntity
from ironflow.features.functions.in_tx import PushTarget
from ironflow.features.held_jobs.contract import Fence, PendingReport
from ironflow.features.jobs.contract import Assignment, InvalidReport, JobEvent, ReportedError, Reports
from ironflow.features.push.contract import Callback, PushEntity, PushEvent, PushRequest, PushResponse, PushStep

# A lease lasts longer than the request, by the time that recording its answer may take.
LEASE_MARGIN_MS = 5_000
# Statuses of an endpoint that understands the request and will refuse it again.
FINAL_STATUSES = (400, 413, 422)
RETRY_AFTER_S_MAX = 24 * 3600
# One answer is recorded in one transaction. The list of a run's steps has the same limit.
ANSWER_STEPS_MAX = 10_000
# What an endpoint of ours may use besides steps that are recorded one by one.
FEATURES = [
    "step-retries", "step-progress", "handler-time", "restarts", "entities", "entity-invokes", "cancels-clean-up",
]  # fmt: skip

_encode = msgspec.json.Encoder().encode


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error | str | None = None


_read_refusal = msgspec.json.Decoder(_Refusal).decode


class RubbishAnswer(RequestFailed):
    """The endpoint's answer is no answer to a push request."""

    code = "PUSH_ANSWER_INVALID"


class EndpointRefused(RequestFailed):
    """The endpoint refused the request."""

    code = "PUSH_REFUSED"


@dataclass(frozen=True, slots=True)
class Budget:
    """default_ms: of one request, where the function does not say."""

    default_ms: int

    def of(self, target: PushTarget, timeout_ms: int) -> int:
        """How long a request may take: never longer than an execution of the function."""
        return min(target.budget_ms or self.default_ms, timeout_ms)


def request_of(job: Assignment, callback: Callback | None) -> PushRequest:
    """What is posted for a job. callback: for an endpoint that records its steps one by one."""
    return PushRequest(
        run_id=job.run_id,
        function_id=job.function_id,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        on_exhausted=job.on_exhausted,
        event=_event(job.event),
        steps=[
            PushStep(
                id=step.step_id,
                name=step.name,
                status=step.status or "completed",
                output=msgspec.Raw(bytes(step.output)) if (step.status or "completed") == "completed" else UNSET,
                error=bytes(step.error).decode() if step.error is not None else None,
                type=step.type,
                ended_at=step.ended_at,
                attempt=step.attempt,
                progress=UNSET if step.progress is None else msgspec.Raw(bytes(step.progress)),
                handler_at=step.handler_at,
            )
            for step in job.completed_steps
        ],
        secrets=(job.context.secrets or None) if job.context is not None else None,
        ironflow=callback,
    )


def callback_of(job: Assignment, url: str, environment: str, budget_ms: int) -> Callback:
    return Callback(
        url=url,
        job_id=job.job_id,
        execution_seq=job.execution_seq,
        lease_token=job.lease_token,
        step_sequence_base=job.step_sequence_base,
        environment=environment,
        budget_ms=budget_ms,
        compensating=msgspec.Raw(bytes(job.compensating)) if job.compensating is not None else UNSET,
        features=FEATURES,
        run_started_at=job.run_started_at,
        function_version=job.function_version or 0,
        log_level=job.log_level,
        entity=_entity(job.entity) if job.entity is not None else None,
    )


def trace_headers(job: Assignment) -> dict[str, str]:
    """The headers that put an execution below its run's span, or below what emitted its event; empty for neither."""
    context, event = job.context, job.event
    if context is not None and context.metadata:
        trace = of_mapping(context.metadata)
    else:
        trace = of_metadata(bytes(event.metadata)) if event.metadata is not None else None
    return trace.fields() if trace is not None else {}


def body_of(request: PushRequest) -> bytes:
    """Compact JSON, exactly as it is signed: some endpoints verify what they wrote again after parsing it."""
    return msgspec.json.format(_encode(request), indent=-1)


def decide_answer(job: Assignment, answer: Outgoing) -> PendingReport | None:
    """The report that an answer is; None for an execution that its endpoint has dropped.

    Raises a kind of RequestFailed for what is no answer.
    """
    if answer.status != 200:
        raise _refusal(answer)
    try:
        response = reader(PushResponse).read(answer.body)
    except (BadField, InvalidJson, InvalidReport) as fault:
        raise RubbishAnswer(f"The endpoint's answer cannot be understood: {fault}") from None
    assert isinstance(response, PushResponse)
    _check_answer(job, response)
    if response.status == "dropped":
        return None
    fence = fence_of(job)
    return PendingReport(
        fence,
        begun=True,
        steps=tuple(response.steps),
        ended=response.status,
        output=response.result,
        error=response.error if response.status == "failed" else None,
        yielded=response.yielded if response.status == "yielded" else None,
        yields=tuple(response.yields),
        cancels=tuple(response.cancels),
        uncompensated=response.uncompensated,
        uncompensated_steps=tuple(response.uncompensated_steps),
        unasked_steps=tuple(response.unasked_steps),
        caused_by=tuple(response.caused_by),
        step_offset=response.step_offset,
        logs=tuple(response.logs),
        values=tuple(response.values),
        state=response.state,
        restart=response.restart,
    )


def failed_report(job: Assignment, fault: RequestFailed) -> PendingReport:
    """The failure of an execution whose request had no answer."""
    after = fault.retry_after_s
    error = ReportedError(
        message=fault.message,
        code=fault.code,
        retryable=fault.retryable,
        retry_after_ms=after * 1000 if after is not None else None,
    )
    # Whether it was the handler or its compensations that got no answer: what was to be undone is not known to be.
    return PendingReport(fence_of(job), begun=True, ended="failed", error=error, uncompensated=True)


def fence_of(job: Assignment) -> Fence:
    return Fence(job.job_id, job.execution_seq, job.lease_token)


def check_reports(request: Reports) -> None:
    """Raises InvalidReport: an execution ends with the answer of its endpoint alone."""
    for each in request.reports:
        if each.status != "progress":
            raise InvalidReport(f"status is {each.status[:40]!r}; a call back records steps, with status progress.")


def _check_answer(job: Assignment, response: PushResponse) -> None:
    """Raises RubbishAnswer and AnswerTooLarge."""
    for name, listed in (("steps", response.steps), ("cancels", response.cancels)):
        if len(listed) > ANSWER_STEPS_MAX:
            raise AnswerTooLarge(
                f"The endpoint's answer has {len(listed)} {name}; {ANSWER_STEPS_MAX} is the limit. A handler with more "
                "yields before it, or is served with a call back, which records each step when it ends."
            )
    match response.status:
        case "completed" | "failed":
            pass
        case "dropped" if response.job_id == job.job_id:
            pass
        case "yielded":
            if response.yielded is None and not response.yields:
                raise RubbishAnswer("The endpoint's answer has status yielded and no `yield`.")
        case _:
            raise RubbishAnswer(
                f"The endpoint's answer has status {response.status[:40]!r}; it is completed, yielded or failed."
            )
    if response.job_id not in ("", job.job_id):
        raise RubbishAnswer(f"The endpoint answered execution {response.job_id[:80]!r} instead of {job.job_id!r}.")
    waits = [*response.yields, *([response.yielded] if response.yielded is not None else [])]
    for step_id in [*(each.id for each in response.steps), *(each.step_id for each in waits)]:
        if not step_id.startswith(f"{job.run_id}:"):
            raise RubbishAnswer(f"The endpoint answered with step {step_id[:80]!r}, not one of run {job.run_id!r}.")


def _refusal(answer: Outgoing) -> EndpointRefused:
    if 300 <= answer.status < 400:
        return EndpointRefused(f"The endpoint answered {answer.status}; redirects are not followed.")
    if answer.status < 300:
        return EndpointRefused(f"The endpoint answered {answer.status} instead of 200.")
    after = answer.headers.get("retry-after", "") if answer.status in (429, 503) else ""
    code, message = _error_in(answer.body)
    why = f": {message}" if message else ""
    return EndpointRefused(
        f"The endpoint answered {answer.status}{f' {code}' if code else ''}{why}.".replace("..", "."),
        retryable=answer.status not in FINAL_STATUSES,
        retry_after_s=min(int(after[:9]), RETRY_AFTER_S_MAX) if after.isdecimal() else None,
    )


def _error_in(body: bytes) -> tuple[str, str]:
    """Code and message of `{"error": {...}}`, as far as there are any."""
    try:
        found = _read_refusal(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", ""
    error = found.error
    if isinstance(error, str):
        return "", error[:300]
    if error is None:
        return "", ""
    return error.code[:80], error.message[:300].rstrip(".")


def _entity(entity: JobEntity) -> PushEntity:
    return PushEntity(
        entity=entity.entity,
        key=entity.key,
        state=UNSET if entity.state is None else msgspec.Raw(bytes(entity.state)),
        is_new=entity.is_new,
        read_only=entity.read_only,
        number=entity.number,
    )


def _event(event: JobEvent) -> PushEvent:
    metadata = bytes(event.metadata) if event.metadata is not None else b""
    return PushEvent(
        id=event.id,
        name=event.name,
        data=msgspec.Raw(bytes(event.data)),
        timestamp=event.timestamp,
        version=event.version,
        source=event.source,
        idempotency_key=event.idempotency_key,
        metadata=msgspec.Raw(metadata) if metadata.lstrip().startswith(b"{") else UNSET,
        emitted_by=event.emitted_by,
        entity_id=event.entity_id,
        entity_type=event.entity_type,
        entity_version=event.entity_version,
    )
