"""A counter of workers that left, for /metrics. Source: protocol/operating.md 3."""

import msgspec

from ironflow.base.measures import BoundedNames, Counter
from ironflow.base.notice import Notice, Notices
from ironflow.features.parts import Metric

_REASONS_MAX = 20


class _Left(msgspec.Struct):
    reason: str = ""


class WorkerMeasures:
    """A listener of what transactions publish."""

    def __init__(self) -> None:
        self._left = Counter()
        self._reasons = BoundedNames(_REASONS_MAX)

    def receive(self, notices: Notices) -> None:
        if isinstance(notices, Notice) and notices.parts[0] == "worker" and notices.parts[-1] == "disconnected":
            self._left.add((self._reasons.name(msgspec.json.decode(notices.data, type=_Left).reason),))

    def metrics(self) -> list[Metric]:
        return [
            Metric(
                "ironflow_worker_disconnects",
                "Workers that left.",
                "counter",
                ("reason",),
                read=lambda: self._left.series,
            )
        ]
