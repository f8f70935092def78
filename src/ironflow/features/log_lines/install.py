"""Puts the feature into a server."""

from ironflow.features.log_lines.rules import Keeping
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    settings = parts.settings
    parts.provide(Keeping(settings.run_log_level, settings.run_log_lines_max, settings.run_log_line_bytes_max))
