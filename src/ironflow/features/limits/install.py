"""Puts the feature into a server."""

from ironflow.features.limits.limiter import Limiter
from ironflow.features.limits.loops import ReadLimits
from ironflow.features.limits.service import Limits
from ironflow.features.parts import Metric, Parts


def install(parts: Parts) -> None:
    limiter = parts.provide(Limiter(parts.db, parts.notifier))
    parts.bind(Limits(parts.db, limiter).handlers())
    parts.loops.append(ReadLimits(limiter))
    parts.metrics.append(
        Metric(
            "ironflow_limits_refused",
            "Requests and connections that were refused because of a limit.",
            "counter",
            ("subject", "limit"),
            read=lambda: limiter.refused,
            of_tenants=True,
        )
    )
