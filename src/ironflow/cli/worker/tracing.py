"""Traces of `ironflow worker`, by the variables that a server has for them."""

import os
import socket
from collections.abc import Mapping

from ironflow.server.settings import load_settings
from ironflow.server.telemetry.opening import collector_of, missing_packages

SERVICE = "ironflow-worker"


def set_up_tracing(environ: Mapping[str, str] | None = None) -> None:
    """Sets a tracer provider where the environment names a collector, and the program has set none itself.

    Raises InvalidSettings.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(environ={name: text for name, text in environ.items() if "OTEL_" in name})
    endpoint = collector_of(settings, environ)
    if not endpoint or environ.get("OTEL_TRACES_EXPORTER") == "none" or missing_packages(endpoint):
        return
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider, set_tracer_provider

    from ironflow.server.telemetry.exporting import Outage, silence_exporters
    from ironflow.server.telemetry.provider import address_for, resource_of, sending_provider

    if not isinstance(get_tracer_provider(), ProxyTracerProvider):
        return
    silence_exporters()
    service = settings.otel_service_name if "otel_service_name" in settings.origins else SERVICE
    set_tracer_provider(
        sending_provider(
            address_for(endpoint, "TRACES", environ),
            resource_of(service, f"{socket.gethostname()}-{os.getpid()}"),
            TraceIdRatioBased(settings.otel_sample_rate),
            Outage(endpoint),
            flushes_at_exit=True,
        )
    )
