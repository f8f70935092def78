"""Puts the feature into a server."""

from ironflow.features.controls.service import Controls
from ironflow.features.jobs.in_tx import Timing
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunRepository


def install(parts: Parts) -> None:
    timing, bytes_max = parts.need(Timing), parts.settings.output_bytes_max
    parts.bind(Controls(parts.db, parts.need(RunRepository), timing.evict_ms, timing.actor_ms, bytes_max).handlers())
