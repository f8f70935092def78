"""The spans of one execution: itself and the steps that it runs. Imported only where there are spans to record."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, assert_never

from opentelemetry.trace import Span, SpanKind

from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import Completed, Failed, Outcome, Restarted, StepRow, Yielded
from ironflow.sdk.user_code.call import call
from ironflow.sdk.wire.spans import Spans, current, mark_failed, nearest_context


class Body(Protocol):
    """As `call`."""

    def __call__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Awaitable[tuple[Any, BaseException | None]]: ...


class ExecutionTrace:
    """Steps that are replayed have no spans: the execution that ran them recorded theirs."""

    def __init__(self, spans: Spans, job: Assignment, environment: str) -> None:
        self._spans = spans
        self._job = job
        self._run: dict[str, str | int] = {
            "ironflow.run_id": job.run_id,
            "ironflow.function_id": job.function_id,
            "ironflow.attempt": job.attempt,
        }
        self._environment = environment

    async def execution(self, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """`run()`, within the execution's span. One that ends without an outcome is `stopped`."""
        job = self._job
        about = self._run | {"ironflow.execution": job.execution_seq, "ironflow.outcome": "stopped"}
        if self._environment:
            about["ironflow.environment"] = self._environment
        parent = nearest_context(job.trace)
        with self._spans.within(f"execute {job.function_id}", SpanKind.CONSUMER, about, parent) as span:
            outcome = await run()
            _describe(span, outcome)
            return outcome

    def of_step(self, row: StepRow) -> Body:
        """`call`, within the span of the step whose body it calls."""

        async def traced(
            fn: Callable[..., Any],
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
            timeout_s: float | None = None,
        ) -> tuple[Any, BaseException | None]:
            about = self._run | {"ironflow.step_id": row.id, "ironflow.step": row.name, "ironflow.step_type": row.type}
            if isinstance(row.attempt, int):
                about["ironflow.step_attempt"] = row.attempt
            with self._spans.within(f"step {row.name}", SpanKind.INTERNAL, about) as span:
                value, error = await call(fn, args, kwargs, timeout_s)
                if error is not None:
                    mark_failed(span, type(error).__name__)
                return value, error

        return traced

    def fields(self) -> dict[str, str]:
        """What a function that the handler invokes now is below."""
        trace = current()
        return trace.fields() if trace is not None else {}


def _describe(span: Span, outcome: Outcome) -> None:
    match outcome:
        case Completed():
            span.set_attribute("ironflow.outcome", "completed")
        case Yielded():
            span.set_attribute("ironflow.outcome", "yielded")
        case Restarted():
            span.set_attribute("ironflow.outcome", "restarted")
        case Failed(error=error):
            span.set_attribute("ironflow.outcome", "failed")
            mark_failed(span, (isinstance(error.error_class, str) and error.error_class) or error.code or "error")
        case _:
            assert_never(outcome)
