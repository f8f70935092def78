"""Puts the feature into a server."""

from ironflow.features.deploys.service import Deploys
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs.in_tx import Timing
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    deploys = Deploys(parts.db, parts.need(FunctionIndex), parts.need(Timing).evict_ms)
    parts.bind(deploys.handlers())
