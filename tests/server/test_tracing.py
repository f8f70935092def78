"""One trace from an emit to all that it starts, and the numbers of /metrics, at a collector of OTLP.

Source: docs/guides/tracing.md; decision 0065.
"""

import ast
import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from ironflow import Client, Context, function
from ironflow.base.errors import Unavailable
from ironflow.base.settings import Settings, setting_fields
from ironflow.base.trace_context import TraceContext, run_span_id, run_trace_id
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.events import contract as events
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.secrets import contract as secrets
from ironflow.features.streams import contract as streams
from ironflow.sdk.client.connection.received import SubscriptionEvent
from ironflow.server.telemetry import opening
from ironflow.server.telemetry.exporting import Outage, ReportingExporter
from ironflow.server.telemetry.opening import collector_of
from ironflow.server.telemetry.telemetry import Telemetry
from ironflow.telemetry import context_of, receiving
from ironflow.worker import StreamingWorker, Worker
from tests.push.endpoint import SOON_S, an_endpoint, completed, until
from tests.push.serving import listening, served
from tests.support.otlp import Collector, Seen, a_collector, in_memory
from tests.support.server import open_server
from tests.support.work import Work, step
from tests.support.yields import invokes

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SECRET, PAYLOAD = "sk-0123456789", "payload-of-the-user"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with a_collector() as made:
        yield made


@pytest.fixture
async def traced(collector: Collector, database_url: str) -> AsyncIterator[Work]:
    """A server that sends to the collector, in plain HTTP although the address has no scheme."""
    async with open_server(Work, database_url, otel_endpoint=collector.url.removeprefix("http://")) as server:
        yield server


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(memory: InMemorySpanExporter) -> TracerProvider:
    """That of a user's program."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(memory))
    return made


async def sent(server: Work, collector: Collector) -> list[Seen]:
    """What the server has recorded, once it has arrived."""
    await server.loop("run-spans")
    (telemetry,) = [each for each in server.inside.lifecycles if isinstance(each, Telemetry)]
    assert telemetry.provider is not None
    assert await asyncio.to_thread(telemetry.provider.force_flush)
    return list(collector.spans)


def tree(spans: Sequence[Seen]) -> list[tuple[str, str]]:
    """The names of spans and of their parents."""
    names = {each.span_id: each.name for each in spans}
    assert len(names) == len(spans)
    return sorted((each.name, names.get(each.parent_id, each.parent_id)) for each in spans)


# The whole.


async def test_one_trace_goes_from_the_emit_through_workers_endpoints_groups_and_children(
    traced: Work, collector: Collector, provider: TracerProvider, memory: InMemorySpanExporter
):
    tracer = provider.get_tracer("shop")
    taken: list[Any] = []

    async def reserve(order_id: str) -> None:
        with tracer.start_as_current_span("ask the warehouse"):
            async with Client(traced.inside.parts.address) as client:
                await client.emit("order.reserved", {"id": order_id})

    @function("process", on="order.placed")
    async def process(ctx: Context) -> Any:
        await ctx.step.run("reserve", reserve, ctx.event.data["id"])
        await ctx.step.publish("orders.done", {"id": ctx.event.data["id"]})
        return await ctx.step.invoke("settle", {"amount": 7})

    @function("settle")
    async def settle(ctx: Context) -> Any:
        return await ctx.step.run("pay", lambda: "paid")

    @function("bill", on="order.reserved")
    def bill(ctx: Any) -> Any:
        return ctx.step.run("write bill", lambda: 1)

    await traced.call(groups.create, name="billing", pattern="topic:orders.done", ack_mode="manual")
    async with served(traced, [settle], tracer_provider=provider):
        address = traced.inside.parts.address
        about: dict[str, Any] = {"url": address, "clock": traced.clock, "tracer_provider": provider}
        async with (
            Worker(functions=[process], **about),
            StreamingWorker(functions=[bill], **about),
            Client(address, tracer_provider=provider) as client,
            asyncio.timeout(SOON_S),
        ):
            with tracer.start_as_current_span("checkout"):
                emitted = await client.emit("order.placed", {"id": "o1"}, metadata={"by": "ada"})
            await until(traced, emitted.run_ids[0], "completed")
            async for event in client.subscribe("topic:orders.done", group="billing", ack="manual"):
                with receiving(event, tracer_provider=provider):
                    taken.append(event.data)
                await event.ack()
                break
            for run in await traced.runs():
                await until(traced, run.id, "completed")
    at_server = await sent(traced, collector)
    spans = [*at_server, *in_memory(memory.get_finished_spans())]

    assert taken == [{"id": "o1"}]
    # The client that waits and the group's acks are in traces of their own.
    (root,) = [each for each in spans if each.name == "checkout"]
    one = [each for each in spans if each.trace_id == root.trace_id]
    at_client = [each for each in one if each.name == "events.emit" and not each.service]
    assert [each.parent_id for each in at_client] == [root.span_id]
    names = {each.span_id: f"client {each.name}" if each in at_client else each.name for each in one}
    assert sorted((names[each.span_id], names.get(each.parent_id, "")) for each in one) == sorted(
        [
            ("checkout", ""),
            ("client events.emit", "checkout"),
            ("events.emit", "client events.emit"),
            ("run process", "events.emit"),
            ("execute process", "run process"),
            ("execute process", "run process"),
            ("step reserve", "execute process"),
            ("ask the warehouse", "step reserve"),
            ("events.emit", "ask the warehouse"),
            ("run bill", "events.emit"),
            ("execute bill", "run bill"),
            ("step write bill", "execute bill"),
            ("step publish:orders.done", "execute process"),
            ("pubsub.publish", "step publish:orders.done"),
            ("receive orders.done", "pubsub.publish"),
            ("run settle", "execute process"),
            ("execute settle", "run settle"),
            ("step pay", "execute settle"),
        ]
    )
    assert {each.service for each in at_server} == {"ironflow"}
    stored = await traced.call(events.get, id=emitted.event_id)
    metadata = json.loads(bytes(stored.metadata or b"{}"))
    assert sorted(metadata) == ["by", "traceparent"]


async def test_a_span_has_ids_and_codes_and_never_payloads_secrets_or_texts_of_errors(
    traced: Work, collector: Collector, provider: TracerProvider, memory: InMemorySpanExporter
):
    @function("charge", on="order.placed", secrets=["CARD_KEY"], retry={"max_attempts": 1})
    async def charge(ctx: Context) -> None:
        await ctx.step.run("look", lambda: PAYLOAD)

        def fail() -> None:
            raise ValueError(f"{ctx.secrets.get('CARD_KEY')} {PAYLOAD}")

        await ctx.step.run("pay", fail)

    await traced.call(secrets.set_, name="CARD_KEY", value=SECRET)
    async with (
        listening(traced.inside.app) as address,
        Worker(functions=[charge], url=address, clock=traced.clock, tracer_provider=provider),
        Client(address, tracer_provider=provider) as client,
    ):
        emitted = await traced.emit(data={"card": PAYLOAD}, idempotency_key=PAYLOAD)
        await until(traced, emitted.run_ids[0], "failed")
        with pytest.raises(events.InvalidEvent):
            await client.emit("no name", PAYLOAD)
    spans = [*await sent(traced, collector), *in_memory(memory.get_finished_spans())]

    errors = {each.name: each.error for each in spans if each.error}
    assert errors == {
        "run charge": "ValueError",
        "execute charge": "ValueError",
        "step pay": "ValueError",
        "events.emit": "INVALID_EVENT",
    }
    assert not [each for each in spans if SECRET in repr(each) or PAYLOAD in repr(each) or each.events]
    (run,) = [each for each in spans if each.name == "run charge"]
    assert run.attributes == {
        "ironflow.run_id": emitted.run_ids[0],
        "ironflow.function_id": "charge",
        "ironflow.environment": "default",
        "ironflow.event_id": emitted.event_id,
        "ironflow.event": "order.placed",
        "ironflow.status": "failed",
        "ironflow.attempt": 1,
        "error.type": errors["run charge"],
    }


# Requests.


async def test_a_request_is_below_its_caller_and_its_event_below_the_request(traced: Work, collector: Collector):
    async with traced.http() as client:
        answer = await client.post("/api/v1/events", json={"name": "order.placed"}, headers=HEADERS)
        refused = await client.get("/api/v1/runs/run_none", headers=HEADERS)
        assert refused.status_code == 404
    stored = await traced.call(events.get, id=answer.json()["event_id"])
    spans = await sent(traced, collector)

    emit, get = [each for each in spans if each.trace_id == TRACE]
    assert (emit.name, emit.parent_id, emit.error) == ("events.emit", SPAN, "")
    assert json.loads(bytes(stored.metadata or b"")) == {
        "traceparent": f"00-{TRACE}-{emit.span_id}-01",
        "tracestate": "vendor=1",
    }
    # That a client asks for what is not there is no error of the server.
    assert (get.name, get.parent_id, get.error) == ("runs.get", SPAN, "")
    assert get.attributes["error.type"] == "RUN_NOT_FOUND"


async def test_what_workers_ask_all_the_time_has_no_spans(traced: Work, collector: Collector):
    await traced.a_run(status="running")
    async with traced.http() as client:
        assert (await client.get("/health")).status_code == 200
    names = {each.name for each in await sent(traced, collector)}
    assert names == {"functions.register", "events.emit", "runs.get"}


async def test_a_trace_that_its_caller_does_not_record_is_carried_on_and_not_recorded(
    traced: Work, collector: Collector
):
    await traced.a_function()
    await traced.a_worker()
    unrecorded = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    async with traced.http() as client:
        answer = await client.post("/api/v1/events", json={"name": "order.placed"}, headers=unrecorded)
    job = await traced.claim()
    await traced.report(job, "completed", output=1)
    spans = await sent(traced, collector)

    assert [each for each in spans if each.trace_id == TRACE] == []
    assert job.context is not None
    assert job.context.metadata == {"traceparent": f"00-{TRACE}-{run_span_id(answer.json()['run_ids'][0])}-00"}


# Runs.


async def test_a_run_that_nothing_traced_has_started_has_a_trace_of_its_own(traced: Work, collector: Collector):
    await traced.a_function("nightly", on=None, triggers=[{"cron": "0 0 * * *"}])
    await traced.a_worker(function_ids=["nightly"])
    await traced.loops()
    traced.move(86_400_000)
    await traced.loops()
    began = (await traced.runs())[0].created_at
    job = await traced.claim()
    traced.move(5_000)
    await traced.report(job, "completed", output=1)
    (run,) = [each for each in await sent(traced, collector) if each.name == "run nightly"]

    assert (run.trace_id, run.span_id, run.parent_id) == (run_trace_id(job.run_id), run_span_id(job.run_id), "")
    assert run.started_ns == round(began.timestamp() * 1000) * 1_000_000
    assert run.ended_ns == traced.now * 1_000_000
    assert job.context is not None
    assert job.context.trace_id == run.trace_id
    assert job.context.metadata == {"traceparent": TraceContext(run.trace_id, run.span_id).parent}


async def test_of_runs_that_begin_here_the_part_is_recorded_that_the_setting_names(
    collector: Collector, database_url: str
):
    async with open_server(Work, database_url, otel_endpoint=collector.url, otel_sample_rate=0.0) as server:
        await server.a_function()
        await server.a_worker()
        await server.emit()
        job = await server.claim()
        await server.report(job, "completed", output=1)
        assert await sent(server, collector) == []
        assert job.context is not None
        assert job.context.metadata is not None
        assert job.context.metadata["traceparent"].endswith("-00")


async def test_a_child_is_below_the_run_whose_worker_names_no_span(traced: Work, collector: Collector):
    await traced.a_function()
    await traced.a_function("settle", on=None)
    await traced.a_worker(function_ids=["charge", "settle"])
    await traced.emit()
    job = await traced.claim()
    await traced.report(job, "yielded", yields=[invokes(job, "settle")])
    child = await traced.claim()
    await traced.report(child, "completed", output=1)
    await traced.report(await traced.claim(), "completed", output=2)
    spans = [each for each in await sent(traced, collector) if each.name.startswith("run ")]

    assert len({each.trace_id for each in spans}) == 1
    assert ("run settle", "run charge") in tree(spans)


async def test_a_child_is_below_the_span_that_its_parents_worker_names(server: Work):
    await server.a_function()
    await server.a_function("settle", on=None)
    await server.a_worker(function_ids=["charge", "settle"])
    await server.emit()
    job = await server.claim()
    await server.report(job, "yielded", yields=[invokes(job, "settle") | HEADERS])
    child = await server.claim()

    assert json.loads(bytes(child.event.metadata or b"")) == HEADERS
    assert child.context is None


# A server that records nothing.


async def test_a_server_that_records_nothing_carries_a_trace_to_workers_endpoints_and_topics(server: Work):
    async with an_endpoint(lambda request: completed()) as endpoint:
        await server.a_function("push", endpoint_url=endpoint.url, mode="push")
        await server.a_function("pull")
        await server.a_worker(function_ids=["pull"])
        async with server.http() as client:
            placed = {"name": "order.placed", "metadata": {"by": "ada"}}
            answer = await client.post("/api/v1/events", json=placed, headers=HEADERS)
            await client.post("/api/v1/events", json={"name": "order.placed"})
            appended = {"entityType": "cart", "eventName": "order.filled", "data": {}}
            await client.post("/api/v1/streams/c1/events", json=appended, headers=HEADERS)
        jobs = await server.poll(available=2)
        async with asyncio.timeout(SOON_S):
            while len(endpoint.raw) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    assert answer.status_code == 200
    metadata = {json.loads(bytes(job.event.metadata)).get("by") for job in jobs if job.event.metadata}
    assert metadata == {"ada"}
    assert [job.context for job in jobs] == [None, None]
    headers = [{name.lower(): text for name, text in sent_headers.items()} for sent_headers, _ in endpoint.raw]
    assert sorted(each.get("traceparent", "") for each in headers) == ["", HEADERS["traceparent"]]
    assert sorted(each.get("tracestate", "") for each in headers) == ["", HEADERS["tracestate"]]


async def test_the_context_of_a_message_and_of_a_streams_event_is_in_their_metadata(server: Work):
    async with server.http() as client:
        for path, body in (
            ("ironflow.v1.PubSubService/Publish", {"topic": "orders.done", "data": {}}),
            ("ironflow.v1.EntityStreamService/AppendEvent", {"entityId": "c1", "entityType": "cart", "eventName": "x"}),
        ):
            answer = await client.post(f"/{path}", json=body, headers=HEADERS)
            assert answer.status_code == 200, answer.text
    found = (await server.call(streams.read, entity_id="c1")).events
    assert [json.loads(bytes(each.metadata or b"")) for each in found] == [HEADERS]
    assert pubsub.publish.scope


async def test_a_webhook_and_a_message_that_starts_a_run_are_in_the_traces_of_their_requests(server: Work):
    await server.a_function("inbox", on=None)
    async with server.http() as client:
        source = (await client.post("/api/v1/webhook-sources", json={"name": "shop", "eventPrefix": "shop"})).json()
        hook = f"/api/v1/webhooks/{source['id']}?token={source['ingestToken']}"
        received = await client.post(hook, json={"type": "sold", "id": "1"}, headers=HEADERS)
        message = {"name": "hello", "data": 1, "start": True}
        answered = await client.post("/api/v1/runs/inbox:ada/messages", json=message, headers=HEADERS)
    assert (received.status_code, answered.status_code) == (200, 200), answered.text
    (sold,) = (await server.call(events.list_)).events
    metadata = json.loads(bytes(sold.metadata or b"{}"))
    assert (sold.name, metadata["traceparent"]) == ("shop.sold", HEADERS["traceparent"])
    assert sorted(metadata) == ["traceparent", "tracestate", "webhook"]
    await server.a_worker(function_ids=["inbox"])
    job = await server.claim()
    assert json.loads(bytes(job.event.metadata or b"")) == HEADERS


async def test_a_context_that_is_not_valid_is_passed_over(server: Work):
    async with server.http() as client:
        answer = await client.post("/api/v1/events", json={"name": "order.placed"}, headers={"traceparent": "00-x"})
    assert (await server.call(events.get, id=answer.json()["event_id"])).metadata is None


# Metrics.


async def test_metrics_are_sent_as_they_are_at_the_page(traced: Work, collector: Collector):
    await traced.a_function(retry={"max_attempts": 1})
    await traced.a_worker()
    for _ in range(3):
        await traced.emit()
    done, failed = await traced.claim(), await traced.claim()
    await traced.report(done, "completed", step(done, "reserve", 1), output=1)
    await traced.report(failed, "failed")
    async with traced.http() as client:
        await client.get("/api/v1/runs/run_none")
        await traced.loop("telemetry-metrics")
        text = (await client.get("/metrics")).text

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    # What a process uses, and what is counted by the scrape itself, changes in between.
    page = {
        (each.name, frozenset(each.labels.items())): each.value
        for each in samples
        if each.name.startswith("ironflow_") and each.labels.get("path") != "/metrics"
    }
    changing = ("ironflow_loop_done_total", "ironflow_database_waiting")
    fixed = {key: value for key, value in page.items() if not key[0].startswith(changing)}
    assert {key: collector.metrics.get(key) for key in fixed} == fixed
    run = {"function_id": "charge", "environment": "default"}
    failed_run = frozenset({**run, "status": "failed", "failure_cause": "user"}.items())
    assert collector.metrics["ironflow_runs_total", failed_run] == 1
    assert collector.metrics["ironflow_run_duration_seconds_bucket", frozenset({**run, "le": "+Inf"}.items())] == 2
    assert collector.metrics["ironflow_active_runs", frozenset({("environment", "default")})] == 1


# Collectors that do not answer.


class Exporter(SpanExporter):
    def __init__(self, *outcomes: SpanExportResult | OSError) -> None:
        self._outcomes = list(outcomes)

    def export(self, spans: Any) -> SpanExportResult:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome


def test_an_outage_is_one_line_however_long_it_is(caplog: pytest.LogCaptureFixture):
    works, fails = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    outcomes = [works, fails, OSError("away"), fails, works, works, OSError("away")]
    exporter = ReportingExporter(Exporter(*outcomes), Outage("http://collector"))
    with caplog.at_level(logging.INFO):
        results = [exporter.export([]) for _ in outcomes]

    assert results == [works, fails, fails, fails, works, works, fails]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["telemetry is not sent", "telemetry is sent again", "telemetry is not sent"]


async def test_a_server_serves_without_its_collector_and_writes_one_line(
    collector: Collector, database_url: str, caplog: pytest.LogCaptureFixture
):
    collector.status = 400
    with caplog.at_level(logging.INFO):
        async with open_server(Work, database_url, otel_endpoint=collector.url) as server:
            await server.a_function()
            for _ in range(3):
                assert (await server.emit()).run_ids
                await sent(server, collector)
                await server.loop("telemetry-metrics")

    assert collector.requests >= 4
    about_it = [each for each in caplog.records if each.name.startswith(("ironflow.server.telemetry", "opentelemetry"))]
    assert [(each.getMessage(), each.__dict__["endpoint"]) for each in about_it] == [
        ("telemetry is not sent", collector.url)
    ]


async def test_a_server_stops_although_its_collector_never_answers(collector: Collector, database_url: str):
    collector.is_silent = True
    async with asyncio.timeout(SOON_S):
        async with open_server(Work, database_url, otel_endpoint=collector.url) as server:
            assert (await server.emit()).event_id
    assert collector.requests >= 1


# Settings, and off.


@pytest.mark.parametrize(
    ("endpoint", "insecure", "address"),
    [
        ("", True, ""),
        ("http://localhost:4318/", True, "http://localhost:4318"),
        ("https://collector/otlp", True, "https://collector/otlp"),
        ("collector:4318", True, "http://collector:4318"),
        ("collector:4318", False, "https://collector:4318"),
    ],
)
def test_an_address_without_a_scheme_gets_one(endpoint: str, insecure: bool, address: str):
    assert collector_of(Settings(otel_endpoint=endpoint, otel_insecure=insecure), {}) == address


async def test_without_the_packages_the_server_serves_and_names_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(opening, "NEEDED", ("opentelemetry.none.at_all",))
    async with open_server(Work, database_url, otel_endpoint="http://collector:4318") as server:
        await server.emit()
        texts = [text for warning in server.inside.parts.warnings if (text := warning()) is not None]

    assert any("pip install ironflow-engine[otel]" in text for text in texts)
    assert "no telemetry is sent" in [each.getMessage() for each in caplog.records]


async def test_the_port_of_grpc_is_remarked(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    async with open_server(Work, database_url, otel_endpoint="http://127.0.0.1:4317"):
        pass
    assert "telemetry goes to the port of gRPC" in [each.getMessage() for each in caplog.records]


async def test_the_variables_of_opentelemetry_turn_it_off_as_a_whole_or_in_part(
    collector: Collector, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with open_server(Work, database_url, otel_endpoint=collector.url) as server:
        assert (server.inside.parts.tracing, server.dispatch.tracing) == (None, None)
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    async with open_server(Work, database_url, otel_endpoint=collector.url) as server:
        assert (server.inside.parts.tracing, server.dispatch.tracing) == (None, None)
        await server.loop("telemetry-metrics")
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    async with open_server(Work, database_url, otel_endpoint=collector.url) as server:
        assert "telemetry-metrics" not in [each.name for each in server.inside.all_loops]
    assert (collector.spans, bool(collector.metrics)) == ([], True)


OFF = """
import asyncio, sys
import ironflow, ironflow.serve, ironflow.worker
from ironflow.testing import time_machine

async def main():
    @ironflow.function("charge", on="order.placed")
    async def charge(ctx):
        await ctx.step.run("a", lambda: 1)
        return await ctx.step.invoke("settle")

    @ironflow.function("settle")
    async def settle(ctx):
        return await ctx.step.run("b", lambda: 2)

    async with time_machine(functions=[charge, settle]) as machine:
        run = await machine.emit("order.placed", {})
        assert run.output == 2, run
        await machine.client.publish("orders.done")

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.mark.processes
def test_nothing_of_opentelemetry_is_imported_while_it_is_off():
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, timeout=110, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "tracing.md").read_text()


def test_the_guide_names_settings_that_there_are_and_its_examples_are_sound():
    named = set(re.findall(r"IRONFLOW_OTEL_[A-Z_]+", GUIDE))
    settings = {f"IRONFLOW_{each.name.upper()}" for each in setting_fields() if each.name.startswith("otel_")}
    assert named == settings
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        ast.parse(block)
    (config,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    read = yaml.safe_load(config)
    parts = {"receivers", "processors", "exporters"}
    for pipeline in read["service"]["pipelines"].values():
        assert set(pipeline) == parts
        assert all(name in read[part] for part in parts for name in pipeline[part])


def test_the_context_of_an_event_outside_of_traces_is_empty(provider: TracerProvider, memory: InMemorySpanExporter):
    event = SubscriptionEvent(id="evt_1", topic="events:x", name="x", data=None, timestamp=None, sequence=1)
    with receiving(event, "mine", tracer_provider=provider):
        pass
    (span,) = in_memory(memory.get_finished_spans())
    assert (span.name, span.parent_id, dict(context_of(event))) == ("mine", "", {})


@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError(PAYLOAD), "ValueError"), (Unavailable(PAYLOAD), "UNAVAILABLE")], ids=str
)
def test_work_on_an_event_that_fails_is_marked_without_the_text_of_its_error(error: Exception, kind: str):
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    event = SubscriptionEvent(id="evt_1", topic="events:x", name="x", data=None, timestamp=None, sequence=1)
    with pytest.raises(type(error)), receiving(event, tracer_provider=provider):
        raise error
    (span,) = memory.get_finished_spans()
    assert (span.status.is_ok, (span.attributes or {})["error.type"]) == (False, kind)
    assert PAYLOAD not in span.to_json()
