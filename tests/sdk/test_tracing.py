"""Spans of clients and executions: what is below what, what they name, and who makes them. No server."""

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ironflow import function
from ironflow.base.errors import InvalidArgument
from ironflow.sdk.client._sync.client import Client as SyncClient
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable.execution import Execution, trace_of
from ironflow.sdk.durable.job.report import Failed, JobUpdate, Yielded, add_outcome
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.wire.tracing import Tracing
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer
from tests.sdk.durable.jobs import a_job, as_sent
from tests.support.otlp import Seen, in_memory

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
EMITTED = answer({"run_ids": [], "event_id": "evt_1"})


class Traced:
    """A program with a tracer provider that is not the global one."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.tracer = self.provider.get_tracer("shop")

    def execution(self, handler: Any, *, metadata: Any = None, own: Any = None, **job: Any) -> Execution:
        """metadata: of the event. own: of the job's context."""
        made = a_job(**job)
        made.event.metadata = metadata
        if made.context is not None:
            made.context.metadata = own
        trace = trace_of(Tracing(self.provider), made, "test")
        assert trace is not None
        return Execution(function("f")(handler), made, environment="test", trace=trace)

    @property
    def spans(self) -> list[Seen]:
        return in_memory(self._memory.get_finished_spans())

    def tree(self) -> list[tuple[str, str]]:
        names = {each.span_id: each.name for each in self.spans}
        return sorted((each.name, names.get(each.parent_id, each.parent_id)) for each in self.spans)


@pytest.fixture
def traced() -> Traced:
    return Traced()


# Executions.


@pytest.mark.parametrize(
    ("metadata", "own", "parent"),
    [
        (None, None, ("", "")),
        ({"by": "ada"}, None, ("", "")),
        (PARENT, None, (TRACE, SPAN)),
        (None, PARENT, (TRACE, SPAN)),
        ({"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}, PARENT, (TRACE, SPAN)),
        ({"traceparent": "nonsense"}, None, ("", "")),
        (None, {"traceparent": 7, "other": [1]}, ("", "")),
        (PARENT, ["what another server sends"], (TRACE, SPAN)),
    ],
)
async def test_an_execution_is_below_its_run_or_what_emitted_its_event(
    traced: Traced, metadata: Any, own: Any, parent: tuple[str, str]
):
    async def handler(ctx: Any) -> None:
        pass

    with traced.tracer.start_as_current_span("the program"):
        await traced.execution(handler, metadata=metadata, own=own, attempt=2).run()
    span = traced.spans[0]

    assert (span.name, span.parent_id) == ("execute f", parent[1])
    assert span.trace_id == parent[0] or not parent[0]
    assert span.attributes == {
        "ironflow.run_id": "r",
        "ironflow.function_id": "f",
        "ironflow.attempt": 2,
        "ironflow.execution": 1,
        "ironflow.environment": "test",
        "ironflow.outcome": "completed",
    }


async def test_an_execution_is_below_the_span_of_its_request_in_a_framework_that_is_traced(traced: Traced):
    async def handler(ctx: Any) -> None:
        pass

    with traced.tracer.start_as_current_span("POST /api/ironflow") as request:
        parent = f"00-{request.get_span_context().trace_id:032x}-{SPAN}-01"
        await traced.execution(handler, own={"traceparent": parent}).run()
    assert traced.tree() == [("POST /api/ironflow", ""), ("execute f", "POST /api/ironflow")]


async def test_spans_of_the_program_are_below_the_step_or_handler_that_makes_them(traced: Traced):
    def body(name: str) -> None:
        with traced.tracer.start_as_current_span(name):
            pass

    async def branch(steps: Any, name: str) -> None:
        with traced.tracer.start_as_current_span(f"branch {name}"):
            await steps.run(name, body, f"in {name}")

    async def handler(ctx: Any) -> None:
        body("in handler")
        await ctx.step.run("recorded", body, "never")
        await ctx.step.parallel("both", [lambda s: branch(s, "a"), lambda s: branch(s, "b")])

    await traced.execution(handler, done={"r:recorded:0": None}).run()
    assert traced.tree() == [
        ("branch a", "execute f"),
        ("branch b", "execute f"),
        ("execute f", ""),
        ("in a", "step a"),
        ("in b", "step b"),
        ("in handler", "execute f"),
        ("step a", "branch a"),
        ("step b", "branch b"),
    ]


async def test_a_plain_handler_and_its_threads_are_in_the_trace(traced: Traced):
    def body() -> None:
        with traced.tracer.start_as_current_span("in body"):
            pass

    def handler(ctx: Any) -> None:
        ctx.step.run("a", body)
        ctx.step.compensate("a", body)
        raise ValueError("no")

    outcome = await traced.execution(handler, max_attempts=1).run()
    assert isinstance(outcome, Failed)
    assert traced.tree() == [
        ("execute f", ""),
        ("in body", "step a"),
        ("in body", "step compensate:a"),
        ("step a", "execute f"),
        ("step compensate:a", "execute f"),
    ]


async def test_a_failure_is_the_name_of_its_class_and_an_execution_that_is_stopped_has_no_outcome(traced: Traced):
    async def handler(ctx: Any) -> None:
        await ctx.step.run("pay", lambda: 1 // 0)

    async def stops(ctx: Any) -> None:
        raise Stopped

    outcome = await traced.execution(handler).run()
    assert isinstance(outcome, Failed)
    with pytest.raises(Stopped):
        await traced.execution(stops).run()
    step, failed, stopped = traced.spans
    assert (step.error, step.attributes["error.type"], step.events) == ("ZeroDivisionError", "ZeroDivisionError", 0)
    assert (failed.error, failed.attributes["ironflow.outcome"]) == ("ZeroDivisionError", "failed")
    assert (stopped.error, stopped.attributes["ironflow.outcome"]) == ("", "stopped")


async def test_a_function_that_is_invoked_is_given_the_span_in_which_it_is_asked_for(traced: Traced):
    async def handler(ctx: Any) -> None:
        with traced.tracer.start_as_current_span("asking"):
            await ctx.step.invoke("settle")

    outcome = await traced.execution(handler, metadata=PARENT).run()
    assert isinstance(outcome, Yielded)
    (asking,) = [each for each in traced.spans if each.name == "asking"]
    update = JobUpdate(status="", execution_seq=1, lease_token="", steps=[], step_offset=0)
    ours = as_sent(add_outcome(update, outcome))
    assert ours["yields"][0]["traceparent"] == f"00-{TRACE}-{asking.span_id}-01"
    assert ours["yields"][0]["tracestate"] == "vendor=1"
    update = JobUpdate(status="", execution_seq=1, lease_token="", steps=[], step_offset=0)
    plain = as_sent(add_outcome(update, outcome, many_waits=False))
    assert set(plain["yield"]) == {"type", "step_id", "step_name", "function_id", "input", "invoke_timeout_ms"}


# Clients.


async def test_a_call_is_a_span_whose_headers_carry_it_on(traced: Traced):
    transport = FakeAsyncTransport()
    transport.gives(EMITTED)
    client = Client("http://server:1", transport=transport, tracer_provider=traced.provider)
    with traced.tracer.start_as_current_span("checkout"):
        await client.emit("order.placed")
    assert traced.tree() == [("checkout", ""), ("events.emit", "checkout")]
    span = traced.spans[0]
    assert transport.sent[0].headers["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"


def test_the_client_for_scripts_does_the_same_and_an_error_is_its_code(traced: Traced):
    transport = FakeSyncTransport()
    transport.gives(answer({"error": "INVALID_EVENT", "message": "text of the error"}, 400))
    client = SyncClient("http://server:1", transport=transport, tracer_provider=traced.provider)
    with pytest.raises(InvalidArgument):
        client.emit("order.placed")
    (span,) = traced.spans
    assert (span.name, span.attributes["error.type"]) == ("events.emit", span.error)
    assert "text of the error" not in repr(span)
    assert transport.sent[0].headers["traceparent"].startswith(f"00-{span.trace_id}-")


async def test_a_client_without_a_provider_carries_the_span_of_its_caller_on(traced: Traced):
    transport = FakeAsyncTransport()
    transport.gives(EMITTED)
    client = Client("http://server:1", transport=transport)
    with traced.tracer.start_as_current_span("checkout"):
        await client.emit("order.placed")
    await client.emit("order.placed")
    (span,) = traced.spans
    first, second = transport.sent
    assert first.headers["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
    assert "traceparent" not in second.headers


# The program.

PROGRAM = """
import asyncio, sys
import ironflow
from ironflow.testing import time_machine
{before}

@ironflow.function("charge", on="order.placed")
async def charge(ctx):
    await ctx.step.run("a", lambda: 1)

async def main():
    async with time_machine(functions=[charge]) as machine:
        {within}
        run = await machine.emit("order.placed", {{}})
        assert run.status == "completed", run

asyncio.run(main())
{after}
"""
SET_UP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
memory = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(memory))
"""
NAMES = """
expected = {'events.emit', 'execute charge', 'step a'}
print(sorted({each.name for each in memory.get_finished_spans()} & expected))
"""
UNUSED = "print([name for name in sys.modules if name == 'ironflow.sdk.durable.execution_trace'])"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("before", "within", "after", "expected"),
    [
        # Set after the worker was made.
        (SET_UP, "trace.set_tracer_provider(provider)", NAMES, "['events.emit', 'execute charge', 'step a']"),
        # A library has imported the API, and the program has set up nothing.
        ("import opentelemetry.trace", "", UNUSED, "[]"),
    ],
    ids=["global provider", "no provider"],
)
def test_the_global_provider_is_used_once_the_program_has_set_it(before: str, within: str, after: str, expected: str):
    program = PROGRAM.format(before=before, within=within or "pass", after=after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110, check=False)
    assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr


@pytest.mark.processes
def test_without_the_packages_the_module_names_what_to_install():
    program = "import sys; sys.modules['opentelemetry'] = None; import ironflow.telemetry"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110, check=False)
    assert "ironflow.telemetry needs OpenTelemetry: `pip install ironflow-engine[otel]`." in done.stderr
