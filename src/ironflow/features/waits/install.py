"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.waits.loops import ForgetShapes


def install(parts: Parts) -> None:
    parts.loops.append(ForgetShapes(parts.db))
