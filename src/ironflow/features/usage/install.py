"""Puts the feature into a server."""

from ironflow.base.time import Clock
from ironflow.features.parts import Metric, Parts, Samples
from ironflow.features.usage import store
from ironflow.features.usage.loops import CountUsage
from ironflow.storage.port import Tx


def install(parts: Parts) -> None:
    parts.loops.append(CountUsage(parts.db))
    clock: Clock = parts.clock

    def today(tx: Tx) -> Samples:
        return {(name,): each.event_bytes_today for name, each in store.usage_at(tx, clock.now()).items()}

    def stored(tx: Tx) -> Samples:
        return {(name,): each.stored_bytes for name, each in store.usage_at(tx, clock.now()).items()}

    parts.metrics += [
        Metric(
            "ironflow_environment_event_bytes_today",
            "Bytes of events recorded since midnight UTC.",
            "gauge",
            ("environment",),
            look=today,
            of_tenants=True,
        ),
        Metric(
            "ironflow_environment_stored_bytes",
            "Bytes of events and KV values that are stored.",
            "gauge",
            ("environment",),
            look=stored,
            of_tenants=True,
        ),
    ]
