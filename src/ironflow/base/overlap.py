"""What a schedule's tick does while earlier runs go on. Source: docs/guides/schedules.md, "Overlap"."""

from typing import Literal

from ironflow.base.errors import InvalidArgument

Overlap = Literal["all", "skip", "one", "cancel_running"]
OVERLAPS: tuple[Overlap, ...] = ("all", "skip", "one", "cancel_running")


class InvalidOverlap(InvalidArgument):
    """An overlap is all, skip, one or cancel_running."""

    code = "INVALID_OVERLAP"


def check_overlap(text: str) -> Overlap:
    """The overlap that a text names; `all` for an empty one. Raises InvalidOverlap."""
    for overlap in OVERLAPS:
        if overlap == (text or "all"):
            return overlap
    raise InvalidOverlap(f"overlap is {text[:40]!r}; write {', '.join(OVERLAPS)}.")
