"""A server's traces and metrics through a real collector of OpenTelemetry, a process of its own.

`make otel-collector` builds it, in about ten minutes; without one these tests are skipped.
"""

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.server.test_tracing import (
    memory,
    provider,
    test_a_span_has_ids_and_codes_and_never_payloads_secrets_or_texts_of_errors,
    test_metrics_are_sent_as_they_are_at_the_page,
    test_one_trace_goes_from_the_emit_through_workers_endpoints_groups_and_children,
    traced,
)
from tests.support.local_services import FOLDER
from tests.support.otlp import Collector, a_collector
from tests.support.waiting import eventually

__all__ = [
    "memory",
    "provider",
    "test_a_span_has_ids_and_codes_and_never_payloads_secrets_or_texts_of_errors",
    "test_metrics_are_sent_as_they_are_at_the_page",
    "test_one_trace_goes_from_the_emit_through_workers_endpoints_groups_and_children",
    "traced",
]
pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("default::ResourceWarning")]

# Without a queue it answers when what it was sent has been passed on.
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "{address}"}}}}}}}}
exporters: {{otlphttp: {{endpoint: "{behind}", compression: none, sending_queue: {{enabled: false}}}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlphttp]}}
    metrics: {{receivers: [otlp], exporters: [otlphttp]}}
"""
BUILT = FOLDER / "otel-collector"
END_S = 20


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    """What arrives behind the real collector; its address is that of the real one."""
    async with a_collector() as behind:
        with real_collector(behind.url, tmp_path / "collector.log") as url:
            behind.url = url
            yield behind


def binary() -> str:
    """The collector that IRONFLOW_TEST_OTEL_COLLECTOR names, else the one that was built; skips without one."""
    named = os.environ.get("IRONFLOW_TEST_OTEL_COLLECTOR")
    if named is None and not BUILT.exists():
        pytest.skip("the collector of OpenTelemetry is missing: `make otel-collector` builds it")
    return named or str(BUILT)


def answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


@contextmanager
def real_collector(behind: str, log: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    address = f"{host}:{port}"
    command = [binary(), "--config", f"yaml:{CONFIG.format(address=address, behind=behind)}"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=os.environ) as process:
        try:
            eventually(lambda: process.poll() is not None or answers(host, port))
            assert process.poll() is None, log.read_text()
            yield f"http://{address}"
            process.terminate()
            process.wait(END_S)
        finally:
            process.kill()
