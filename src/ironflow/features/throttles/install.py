"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.throttles.loops import ForgetStarts


def install(parts: Parts) -> None:
    parts.loops.append(ForgetStarts(parts.db))
