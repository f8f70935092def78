"""A checker: whether one stream answered its appends and reads as if they had happened one after another.

Each observation has the times at which it was asked and answered, from one clock. Versions make the check exact and
without search: a success at version v is the v-th change, so its place in the order is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Appended:
    """An append that was answered with a version. expected: as asked, -1 for any."""

    asked: int
    answered: int
    expected: int
    version: int
    event_id: str


@dataclass(frozen=True)
class Refused:
    """An append that met a conflict, and which version of the stream it reported."""

    asked: int
    answered: int
    expected: int
    current: int


@dataclass(frozen=True)
class Seen:
    """A read of the whole stream: the ids of its events, by version from 1."""

    asked: int
    answered: int
    event_ids: tuple[str, ...]


def faults(observed: Iterable[Appended | Refused | Seen], final: tuple[str, ...]) -> list[str]:
    """What cannot be explained by any order of the observations. final: event ids of the stream after everything."""
    seen = list(observed)
    appends = sorted((each for each in seen if isinstance(each, Appended)), key=lambda each: each.version)
    found = _versions(appends, final)
    # Version v existed at the latest when its append was answered, and at the earliest when it was asked.
    begun = {each.version: each.asked for each in appends} | {0: 0}
    done = {each.version: each.answered for each in appends} | {0: 0}
    for each in seen:
        match each:
            case Appended(expected=expected, version=version) if expected not in (-1, version - 1):
                found.append(f"version {version} was given to an append that expected {expected}")
            case Refused(expected=expected, current=current) if expected in (-1, current):
                found.append(f"an append that expected {expected} was refused at version {current}")
            case Refused(asked=asked, answered=answered, current=current):
                found += _visible("a conflict", current, asked, answered, begun, done)
            case Seen(asked=asked, answered=answered, event_ids=event_ids):
                if event_ids != final[: len(event_ids)]:
                    found.append("a read saw events that are not the beginning of the stream")
                found += _visible("a read", len(event_ids), asked, answered, begun, done)
            case _:
                pass
    for earlier, later in pairwise(appends):
        if later.answered < earlier.asked:
            found.append(f"version {later.version} was answered before version {earlier.version} was asked for")
    return found


def _versions(appends: list[Appended], final: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    versions = [each.version for each in appends]
    if versions != list(range(1, len(versions) + 1)):
        found.append(f"versions are not 1 to {len(versions)}, each once: {versions}")
    if tuple(each.event_id for each in appends) != final:
        found.append("the events of the stream are not those that were answered, in the order of their versions")
    return found


def _visible(
    what: str, version: int, asked: int, answered: int, begun: dict[int, int], done: dict[int, int]
) -> list[str]:
    """Whether the stream may have been at `version` at some moment between asked and answered."""
    found: list[str] = []
    if begun.get(version, answered) > answered:
        found.append(f"{what} reported version {version}, which was asked for only later")
    following = done.get(version + 1)
    if following is not None and following < asked:
        found.append(f"{what} reported version {version} after version {version + 1} had been answered")
    return found
