"""Puts the feature into a server."""

from ironflow.features.cron.loops import FireCron
from ironflow.features.parts import Parts
from ironflow.features.ticks.in_tx import TickStarter


def install(parts: Parts) -> None:
    parts.loops.append(FireCron(parts.db, parts.need(TickStarter)))
