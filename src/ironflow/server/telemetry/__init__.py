"""Traces and metrics of a server by OpenTelemetry, where an operator has set `otel_endpoint`.

Open `opening.py` first. Only it is imported without that setting; everything else here imports OpenTelemetry.
Source: behaviour.md 16; docs/guides/tracing.md; decision 0065.
"""
