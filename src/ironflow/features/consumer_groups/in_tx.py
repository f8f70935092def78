"""What other rooms may ask of groups inside their own transactions."""

from typing import NamedTuple

from ironflow.features.consumer_groups import store
from ironflow.log.holds import Held
from ironflow.log.record import Kind
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Tx

GROUPS_MAX = 10_000


class Reader(NamedTuple):
    """A group by what it reads. position: up to where it has begun everything. undone: begun and not settled."""

    pattern: str
    position: int
    undone: int


def readers(tx: Tx, environment: str) -> list[Reader]:
    """Every group of the environment."""
    undone = store.count_undone(tx, environment)
    return [
        Reader(group.pattern, group.position, undone.get(group.id, 0))
        for group in store.groups_of(tx, environment, GROUPS_MAX)
    ]


def reads(reader: Reader, kind: Kind, name: str) -> bool:
    """Whether the group's pattern means records of that kind and name."""
    pattern = topic_pattern(reader.pattern)
    return pattern.kind == kind and pattern.fits_name(name)


def slowest(tx: Tx) -> Held | None:
    """The group that has come least far in the log: by its position, or by what it delivers or has given up."""
    return store.slowest(tx)
