"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.timers.loops import FireTimers, Wake


def install(parts: Parts, wake: Wake) -> None:
    parts.loops.append(FireTimers(parts.db, wake))
