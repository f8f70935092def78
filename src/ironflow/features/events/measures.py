"""A counter of emitted events for /metrics. Source: protocol/operating.md 3."""

import collections

from ironflow.base.measures import BoundedNames, Counter
from ironflow.base.notice import Notices
from ironflow.features.events.notices import Appended
from ironflow.features.parts import Metric

_NAMES_MAX, _ENVIRONMENTS_MAX = 500, 100


class EventMeasures:
    """A listener of what transactions publish."""

    def __init__(self) -> None:
        self._emitted = Counter()
        self._names, self._environments = BoundedNames(_NAMES_MAX), BoundedNames(_ENVIRONMENTS_MAX)

    def receive(self, notices: Notices) -> None:
        if isinstance(notices, Appended):
            counts = collections.Counter([(record.name, record.environment) for record in notices.records])
            for (name, environment), count in counts.items():
                self._emitted.add((self._names.name(name), self._environments.name(environment)), count)

    def metrics(self) -> list[Metric]:
        labels = ("event_name", "environment")
        return [
            Metric("ironflow_events_emitted", "Events recorded.", "counter", labels, read=lambda: self._emitted.series)
        ]
