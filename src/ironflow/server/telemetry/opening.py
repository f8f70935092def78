"""Whether a server or `ironflow worker` sends traces and metrics, and where."""

import importlib.util
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ironflow.base.settings import Settings, without_password
from ironflow.features.parts import Parts

if TYPE_CHECKING:
    from ironflow.server.telemetry.telemetry import Telemetry

logger = logging.getLogger(__name__)

NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
MISSING = (
    "Traces and metrics are not sent to {endpoint}: this needs `pip install ironflow-engine[otel]`. Install it, or "
    "leave otel_endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) empty."
)
# Where collectors take OTLP over gRPC.
GRPC_PORT = 4317


def open_telemetry(parts: Parts, environ: Mapping[str, str] | None = None) -> "Telemetry | None":
    """What sends traces and metrics of the server; None, and nothing is imported, where none are to be sent.

    Without the packages that it needs the server serves all the same, with a warning.
    """
    environ = os.environ if environ is None else environ
    endpoint = collector_of(parts.settings, environ)
    if not endpoint:
        return None
    missing = missing_packages(endpoint)
    if missing:
        parts.warnings.append(lambda: missing)
        return None
    from ironflow.server.telemetry.telemetry import Telemetry

    return parts.follow(Telemetry(parts, endpoint, environ))


def collector_of(settings: Settings, environ: Mapping[str, str]) -> str:
    """The address of the collector with its scheme, without a slash at its end; empty where nothing is sent."""
    given = settings.otel_endpoint.strip().rstrip("/")
    if not given or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    if "://" in given:
        return given
    return f"{'http' if settings.otel_insecure else 'https'}://{given}"


def missing_packages(endpoint: str) -> str:
    """What is to be installed before anything is sent to `endpoint`, with a line in the log; empty for nothing."""
    shown = without_password(endpoint)
    if not _is_installed():
        missing = MISSING.format(endpoint=shown)
        logger.warning("no telemetry is sent", extra={"endpoint": shown, "reason": missing})
        return missing
    if urlsplit(endpoint).port == GRPC_PORT:
        reason = "OTLP goes over HTTP here, which collectors usually take at port 4318"
        logger.warning("telemetry goes to the port of gRPC", extra={"endpoint": shown, "reason": reason})
    return ""


def _is_installed() -> bool:
    """Whether the packages of the extra `otel` are there."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in NEEDED)
    except ModuleNotFoundError:
        # Of a package within one that is not there.
        return False
