"""Puts the feature into a server."""

from ironflow.features.limits.service import Limiter
from ironflow.features.parts import Parts
from ironflow.features.schedules.loops import AdvanceBackfills, FireSchedules
from ironflow.features.schedules.service import Schedules
from ironflow.features.ticks.in_tx import TickStarter


def install(parts: Parts) -> None:
    starter = parts.need(TickStarter)
    parts.bind(Schedules(parts.db, parts.ids, starter, parts.settings.event_bytes_max).handlers())
    parts.loops += [FireSchedules(parts.db, starter), AdvanceBackfills(parts.db, starter, parts.need(Limiter))]
