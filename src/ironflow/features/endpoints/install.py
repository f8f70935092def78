"""Puts the feature into a server."""

from ironflow.features.endpoints import store
from ironflow.features.endpoints.service import Endpoints
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Metric, Parts


def install(parts: Parts) -> None:
    parts.bind(Endpoints(parts.db, parts.need(FunctionIndex)).handlers())
    parts.metrics.append(
        Metric(
            "ironflow_circuit_breakers_open",
            "Endpoints of push functions that are not called because their last requests failed.",
            "gauge",
            look=lambda tx: {(): store.count_open(tx, parts.clock.now())},
        )
    )
