"""`ironflow worker` records traces where the environment names a collector."""

import asyncio
import os
import sys

import pytest

from tests.support.otlp import a_collector

PROGRAM = """
import sys
from ironflow.cli.worker.tracing import set_up_tracing
{before}
set_up_tracing()
if "opentelemetry.trace" in sys.modules:
    from opentelemetry.trace import get_tracer
    with get_tracer("shop").start_as_current_span("mine"):
        pass
print(len([name for name in sys.modules if name.startswith("opentelemetry.sdk")]) > 0)
"""
OWN = "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider; "
OWN += "trace.set_tracer_provider(TracerProvider())"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("variables", "before", "services", "loaded"),
    [
        ({}, "", [], "False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}, "", ["ironflow-worker"], "True"),
        ({"IRONFLOW_OTEL_ENDPOINT": "{url}", "OTEL_SERVICE_NAME": "orders"}, "", ["orders"], "True"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_SDK_DISABLED": "true"}, "", [], "False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}, OWN, [], "True"),
    ],
    ids=["nothing", "opentelemetry's variable", "ours", "disabled", "the program's own"],
)
async def test_a_worker_sends_its_spans_to_the_collector_that_the_environment_names(
    variables: dict[str, str], before: str, services: list[str], loaded: str
):
    async with a_collector() as collector:
        given = {name: text.format(url=collector.url) for name, text in variables.items()}
        inherited = {name: text for name, text in os.environ.items() if "OTEL_" not in name}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM.format(before=before),
            env={**inherited, **given},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (out.decode().strip(), process.returncode) == (loaded, 0), err.decode()
    assert [(each.name, each.service) for each in collector.spans] == [("mine", each) for each in services]
