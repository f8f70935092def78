"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.run_logs.service import RunLogs


def install(parts: Parts) -> None:
    parts.bind(RunLogs(parts.db, parts.notifier).handlers())
