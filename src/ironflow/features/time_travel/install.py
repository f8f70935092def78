"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import LiveSteps
from ironflow.features.time_travel.loops import ForgetRecordings
from ironflow.features.time_travel.service import TimeTravel


def install(parts: Parts) -> None:
    parts.bind(TimeTravel(parts.db, parts.need(LiveSteps)).handlers())
    parts.loops.append(ForgetRecordings(parts.db))
