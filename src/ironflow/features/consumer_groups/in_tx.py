"""What other features may ask of groups inside their own transactions."""

from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.call import Call
from ironflow.base.time import Millis
from ironflow.features.consumer_groups import settling, store
from ironflow.features.consumer_groups.lookup import group_of
from ironflow.features.consumer_groups.rules import Delivery
from ironflow.features.dead_letters import in_tx as dead_letters
from ironflow.log.holds import Held
from ironflow.log.record import Kind
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Tx

GROUPS_MAX = 10_000


class Reader(NamedTuple):
    """A group's progress. position: every record up to it was handed out. undone: deliveries that are not settled."""

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
    """Whether the group's pattern matches records of that kind and name."""
    pattern = topic_pattern(reader.pattern)
    return pattern.kind == kind and pattern.fits_name(name)


def slowest(tx: Tx) -> Held | None:
    """The group that needs the oldest part of the log: by its position, its deliveries or its dead letters."""
    held = store.slowest(tx)
    if (dead := dead_letters.first(tx)) is None or (held is not None and held.position < dead[1]):
        return held
    group = store.group(tx, dead[0])
    # A dead letter needs its event itself.
    return Held(f"consumer group {group.name}", dead[1] - 1) if group is not None else held


def group_id(tx: Tx, call: Call, namespace: str, name: str, *, to_write: bool = False) -> str:
    """Raises GroupNotFound. to_write: lock the group until the commit."""
    return group_of(tx, call, namespace, name, to_write=to_write).id


def deliver_again(tx: Tx, group_id: str, events: Sequence[tuple[int, str]], now: Millis) -> None:
    """Delivers events, given by (position, id), as if they were never delivered."""
    store.add_deliveries_again(
        tx, [Delivery(group_id, position, event_id, 0, "", now) for position, event_id in events]
    )
    tx.notify(settling.TOPIC, group_id)
