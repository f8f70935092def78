"""What other features may ask of projections inside their own transactions."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.projections import feeding, rules, saving, store
from ironflow.features.projections.rules import ProjectionRow
from ironflow.features.projections.rules import Standing as Standing
from ironflow.features.projections.saving import TOPIC, notify_key
from ironflow.log.holds import Held
from ironflow.log.read import head
from ironflow.storage.port import Tx

PAGE = 200


def moved(tx: Tx, environment: str, name: str) -> None:
    """Wakes waits for a projection, after the commit; it may be one of another feature."""
    tx.notify(TOPIC, notify_key(environment, name))


def projection(tx: Tx, environment: str, name: str) -> ProjectionRow | None:
    """The projection of that name that a program runs, None for none; SQL projections share its names."""
    return store.projection(tx, environment, name)


class NextFeed(NamedTuple):
    """at: the earliest time at which a runner gets its next events; in the past when it gets them now."""

    at: Millis


def next_feed(tx: Tx, environment: str, name: str, generation: str) -> NextFeed | None:
    """When a runner with a lease is fed; None while there is no event for it, and while the projection is paused.

    generation: as in `Poll`. Raises ProjectionNotFound, GenerationReplaced.
    """
    projection, rebuild = saving.load_with_rebuild(tx, environment, name)
    feed = rules.feed_named(projection, rebuild, generation)
    if projection.paused:
        return None
    found = feeding.next_events(tx, projection, feed, feed.cursor, 1)
    while found.more and not found.events:
        # Events that other partitions have saved already.
        found = feeding.next_events(tx, projection, feed, found.searched, 1)
    if not found.events:
        return None
    return NextFeed(0 if generation else projection.retry_at)


def slowest(tx: Tx) -> Held | None:
    """The projection, or rebuild of one, whose next event comes first in the log; None when all are read.

    The cursor of a projection that follows rare events may be far behind: what counts is its next event.
    """
    last = head(tx)
    held: Held | None = None
    after = ("", "")
    while rows := store.every_after(tx, *after, PAGE):
        for each in rows:
            found = feeding.next_position(tx, each, rules.feed_of(each, store.rebuild(tx, each.rebuild_id)), last)
            if found is not None and (held is None or found <= held.position):
                held = Held(f"projection {each.name}", found - 1)
        after = (rows[-1].environment, rows[-1].name)
    return held
