"""Which queued runs get the slots they need."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ironflow.base.time import Millis


class Queued(NamedTuple):
    """A run in the queue of its slots; sorts by how long it has waited. keys: of all slots that it needs."""

    ready_at: Millis
    run_id: str
    keys: tuple[str, ...]


def decide_admissions(queue: Iterable[Queued], free: Mapping[str, int]) -> list[Queued]:
    """The runs of `queue` that get all their slots at once, longest waiting first; the others take none.

    free: how many slots each key has left. A run that lacks one of its slots does not block a later run that needs
    only the other.
    Source: docs/guides/flow-control.md, "An actor key and a limit".
    """
    left = dict(free)
    admitted: list[Queued] = []
    for each in sorted(queue):
        if all(left[key] > 0 for key in each.keys):
            admitted.append(each)
            for key in each.keys:
                left[key] -= 1
    return admitted
