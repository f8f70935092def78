"""Puts the feature into a server."""

from ironflow.features.event_triggers.loops import ForgetGiven
from ironflow.features.event_triggers.service import EventTriggers
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunRepository


def install(parts: Parts) -> None:
    triggers = EventTriggers(parts.db, parts.need(FunctionIndex), parts.need(RunRepository), parts.ids)
    parts.bind(triggers.handlers())
    parts.loops.append(ForgetGiven(parts.db))
