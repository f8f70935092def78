"""Whether what a process uses stays flat."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Use(NamedTuple):
    """What a process used at a moment. rss_mb: its memory in MiB."""

    descriptors: int
    rss_mb: float
    threads: int


# What may be added between the second and the last quarter of a segment: noise, not growth with time. On two processors
# with a load of 16 it was at most 2, 1.8 and 0; pools add threads up to their sizes when a machine is slow.
ALLOWED = Use(descriptors=10, rss_mb=24.0, threads=4)


def growth(uses: Sequence[Use]) -> Use:
    """How much more the last of four parts uses than the second, by median; the first part is the warm-up."""
    quarter = max(1, len(uses) // 4)
    early, late = uses[quarter : 2 * quarter] or uses, uses[-quarter:]
    return Use(*(median(each[field] for each in late) - median(each[field] for each in early) for field in range(3)))  # pyright: ignore[reportArgumentType]


def faults(uses: Sequence[Use]) -> list[str]:
    """What grew, as sentences; empty when all is flat."""
    grown = growth(uses)
    return [
        f"{name} grew by {added:g}, {allowed:g} is allowed"
        for name, added, allowed in zip(Use._fields, grown, ALLOWED, strict=True)
        if added > allowed
    ]
