"""Puts the feature into a server."""

from ironflow.features.controls.service import Controls
from ironflow.features.jobs.in_tx import Timing
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunRepository


def install(parts: Parts) -> None:
    timing = parts.need(Timing)
    parts.bind(Controls(parts.db, parts.need(RunRepository), timing.evict_ms, timing.actor_ms).handlers())
