"""Puts the feature into a server."""

from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.slots.service import Slots


def install(parts: Parts) -> None:
    parts.bind(Slots(parts.db, parts.need(FunctionIndex)).handlers())
