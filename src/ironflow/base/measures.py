"""Counters and histograms in memory, by label values, with a bounded number of series."""

from bisect import bisect_left
from dataclasses import dataclass, field

Labels = tuple[str, ...]
OTHER = "other"
# Upper bounds of the buckets, in seconds; the last bucket has none.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)


class BoundedNames:
    """The first `names_max` names as they are; further ones are `other`."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._known: set[str] = set()

    def name(self, given: str) -> str:
        if given in self._known:
            return given
        if len(self._known) >= self._names_max:
            return OTHER
        self._known.add(given)
        return given


@dataclass(slots=True)
class Spread:
    """One series of a histogram. counts: by bucket, not added up."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and the number of values at or below it, as Prometheus reads them."""
        below = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, SECONDS), "+Inf"], self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found


class Histogram:
    """Durations by label values."""

    def __init__(self) -> None:
        self.series: dict[Labels, Spread] = {}

    def spread(self, labels: Labels) -> Spread:
        """The series of these labels."""
        spread = self.series.get(labels)
        if spread is None:
            spread = self.series[labels] = Spread()
        return spread

    def add(self, labels: Labels, seconds: float) -> None:
        self.spread(labels).add(seconds)


class Counter:
    """Numbers that only grow, by label values."""

    def __init__(self) -> None:
        self.series: dict[Labels, float] = {}

    def add(self, labels: Labels, count: int = 1) -> None:
        self.series[labels] = self.series.get(labels, 0) + count
