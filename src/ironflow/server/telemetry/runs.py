"""The span of a run: made when the run has ended, with its true start, and with an id that was known from the start.

Executions, which workers record, are below it by that id. Source: decision 0065.
"""

import logging
from collections import deque
from typing import NamedTuple

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from ironflow.base.loop import Ran
from ironflow.base.notice import Notices
from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext, of_metadata, run_span_id, run_trace_id
from ironflow.engine import facts
from ironflow.engine.decide import Decision as RunDecision
from ironflow.engine.model import Run, read_error
from ironflow.features.runs.in_tx import RunChanges
from ironflow.log.read import records
from ironflow.sdk.wire.spans import context_below
from ironflow.storage.port import Database

logger = logging.getLogger(__name__)

# Runs that have ended and have no span yet; further ones get none.
QUEUE_RUNS_MAX = 8_192
AT_ONCE = 200
_ENDS = (facts.RunCompleted, facts.RunFailed, facts.RunCancelled)


class SpanIds(RandomIdGenerator):
    """Random ids, but for a span that is made with given ones."""

    def __init__(self) -> None:
        self.span_id: int | None = None
        self.trace_id: int | None = None

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, None
        return super().generate_span_id() if given is None else given

    def generate_trace_id(self) -> int:
        given, self.trace_id = self.trace_id, None
        return super().generate_trace_id() if given is None else given


class RunContexts:
    """Where runs are in traces: all that is needed follows from the run's id and its event, and nothing is stored."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def context(self, run_id: str, metadata: str | None) -> TraceContext:
        """The span of a run. metadata: of the event that started it."""
        above_run = of_metadata(metadata)
        if above_run is not None:
            return above_run._replace(span_id=run_span_id(run_id))
        trace_id = run_trace_id(run_id)
        verdict = self._sampler.should_sample(None, int(trace_id, 16), "run").decision
        return TraceContext(trace_id, run_span_id(run_id), verdict is Decision.RECORD_AND_SAMPLE)


class _Ended(NamedTuple):
    """A run at its end, without its payloads."""

    run_id: str
    function_id: str
    environment: str
    event_id: str
    event_name: str
    parent_run_id: str | None
    status: str
    attempt: int
    error: str
    began_at: Millis
    ended_at: Millis


class RunSpans:
    """A loop that makes spans of runs that have ended on this node, and a listener that queues them."""

    name = "run-spans"
    topic = ""
    every_ms = 500
    notable = ("dropped",)

    def __init__(self, db: Database, tracer: Tracer, ids: SpanIds, contexts: RunContexts) -> None:
        self._db, self._tracer, self._ids, self._contexts = db, tracer, ids, contexts
        self._queue: deque[_Ended] = deque()
        self._dropped = 0

    def receive(self, notices: Notices) -> None:
        """What transactions publish."""
        if not isinstance(notices, RunChanges):
            return
        for decision in notices.decisions:
            if decision.run.ended and any(isinstance(fact, _ENDS) for fact in decision.facts):
                if len(self._queue) >= QUEUE_RUNS_MAX:
                    self._dropped += 1
                else:
                    self._queue.append(_ended(decision))

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        dropped, self._dropped = self._dropped, 0
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), AT_ONCE))]
        if not batch:
            return Ran({"dropped": dropped})
        events = await self._db.read(lambda tx: records(tx, list({each.event_id for each in batch})))
        for each in batch:
            event = events.get(each.event_id)
            self._record(each, event.metadata if event is not None else None)
        return Ran({"spans": len(batch), "dropped": dropped}, more=bool(self._queue))

    def _record(self, run: _Ended, metadata: str | None) -> None:
        own, above_run = self._contexts.context(run.run_id, metadata), of_metadata(metadata)
        self._ids.span_id, self._ids.trace_id = int(own.span_id, 16), None
        if above_run is None:
            self._ids.trace_id = int(own.trace_id, 16)
        span = self._tracer.start_span(
            f"run {run.function_id}",
            context_below(above_run),
            SpanKind.INTERNAL,
            _attributes(run),
            start_time=run.began_at * 1_000_000,
        )
        if run.status == "failed":
            span.set_attribute("error.type", run.error)
            span.set_status(Status(StatusCode.ERROR, run.error))
        span.end(end_time=max(run.ended_at, run.began_at) * 1_000_000)


def _ended(decision: RunDecision) -> _Ended:
    run = decision.run
    return _Ended(
        run.id,
        run.function_id,
        run.environment,
        run.event_id,
        run.event_name,
        run.parent_run_id,
        run.status,
        run.attempt,
        _error_type(run),
        run.created_at,
        run.ended_at if run.ended_at is not None else run.updated_at,
    )


def _error_type(run: Run) -> str:
    """The class or code of its error; never its text."""
    if run.status != "failed" or run.error is None:
        return ""
    error = read_error(run.error)
    return error.error_class or error.code or "error"


def _attributes(run: _Ended) -> dict[str, str | int]:
    about: dict[str, str | int] = {
        "ironflow.run_id": run.run_id,
        "ironflow.function_id": run.function_id,
        "ironflow.environment": run.environment,
        "ironflow.event_id": run.event_id,
        "ironflow.event": run.event_name,
        "ironflow.status": run.status,
        "ironflow.attempt": run.attempt,
    }
    return about if run.parent_run_id is None else {**about, "ironflow.parent_run_id": run.parent_run_id}
