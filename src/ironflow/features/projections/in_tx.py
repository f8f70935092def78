"""What other rooms may ask of projections inside their own transactions."""

from ironflow.features.projections import store
from ironflow.features.projections.rules import ProjectionRow
from ironflow.storage.port import Tx


def projection(tx: Tx, environment: str, name: str) -> ProjectionRow | None:
    """The projection of that name that a program runs, None for none; SQL projections share its names."""
    return store.projection(tx, environment, name)
An SQL projection is a row here of mode `sql`: lists, status, pause, resume, rebuild, delete and waits are the same for
it. Its room keeps the table, applies the events and moves the cursor:

    for projection in in_tx.sql_projections(tx, after, limit):
        work = in_tx.next_work(tx, projection.environment, projection.name, now, limit)
        ... apply work.events to the table of work.side ...
        in_tx.advance(tx, work, now)

`side` names the version to write: a new one while the projection is rebuilt. When `advance` answers the name of a side,
that version has taken the place of the one named, whose table can go.
"""

from dataclasses import dataclass, replace

from ironflow.base.time import Millis
from ironflow.features.projections import feeding, rules, saving, store
from ironflow.features.projections.contract import InvalidProjection
from ironflow.features.projections.feeding import Fed
from ironflow.features.projections.rules import Feed, ProjectionRow, RebuildRow, Registration
from ironflow.features.projections.saving import TOPIC, bell_key
from ironflow.log.holds import Held
from ironflow.log.read import head
from ironflow.storage.port import Tx

PAGE = 200

__all__ = [
    "ProjectionRow",
    "Work",
    "advance",
    "create_sql",
    "fail",
    "next_work",
    "projection",
    "slowest",
    "sql_projections",
]


@dataclass(frozen=True, slots=True)
class Work:
    """The next events of an SQL projection, in order, for the table of `side`. searched: up to there nothing else is.

    more: the log goes on.
    """

    projection: ProjectionRow
    rebuild: RebuildRow | None
    side: str
    events: list[Fed]
    searched: int
    more: bool


def create_sql(
    tx: Tx, environment: str, name: str, events: tuple[str, ...], description: str, side: str, now: Millis
) -> ProjectionRow | None:
    """The new projection; None when one of that name exists. side: an id of your own for its table.

    Raises InvalidProjection, InvalidPattern.
    """
    asked = Registration(mode="sql", version=1, events=events, partition_key="", description=description)
    rules.check_registration(name, asked)
    fresh = rules.registered(environment, name, asked, side, now)
    return fresh if store.create(tx, fresh) else None


def projection(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> ProjectionRow | None:
    return store.projection(tx, environment, name, to_write=to_write)


def sql_projections(tx: Tx, after: tuple[str, str], limit: int) -> list[ProjectionRow]:
    """SQL projections of all environments after (environment, name), in order."""
    return store.of_mode(tx, "sql", *after, limit)


def next_work(tx: Tx, environment: str, name: str, now: Millis, limit: int) -> Work | None:
    """What is to be applied now, the projection locked; None when it is gone, paused, or rests after a failure."""
    found = store.projection(tx, environment, name, to_write=True)
    if found is None or found.mode != "sql" or found.paused or found.retry_at > now:
        return None
    rebuild = store.rebuild(tx, found.rebuild_id)
    feed: Feed = rules.feed_of(found, rebuild)
    read = feeding.next_events(tx, found, feed, feed.cursor, limit)
    return Work(found, rebuild, feed.side, read.events, read.searched, read.more or len(read.events) == limit)


def advance(tx: Tx, work: Work, now: Millis) -> str | None:
    """The events of `work` are applied. Answers the side whose place another has taken, None for nothing."""
    event_id = work.events[-1].record.id if work.events else work.projection.cursor_event_id
    before = work.projection.side
    saving.move(tx, work.projection, work.rebuild, work.searched, event_id, work.searched, now)
    after = store.projection(tx, work.projection.environment, work.projection.name)
    return before if after is not None and after.side != before else None


def fail(tx: Tx, environment: str, name: str, event: Fed, message: str, now: Millis) -> None:
    """An event could not be applied: the projection shows the message and rests, ever longer while that goes on."""
    found = store.projection(tx, environment, name, to_write=True)
    if found is None:
        raise InvalidProjection(f"There is no projection {name!r} any more.")
    record = event.record
    tries = max(found.tries if found.tries_position == record.position else 0, rules.TRIES_MAX - 1) + 1
    store.save(
        tx,
        replace(
            found,
            tries_position=record.position,
            tries=tries,
            error_message=f"event {record.id} ({record.name}): {message}",
            retry_at=now + rules.retry_delay_ms(tries),
            updated_at=now,
        ),
    )
    tx.ring(TOPIC, bell_key(environment, name))


def slowest(tx: Tx) -> Held | None:
    """The projection, or rebuild of one, whose next event comes first in the log; None when all are read.

    The cursor of a projection that follows rare events may be far behind: what counts is its next event.
    """
    last = head(tx)
    held: Held | None = None
    after = ("", "")
    while rows := store.of_modes(tx, *after, PAGE):
        for each in rows:
            found = feeding.next_position(tx, each, rules.feed_of(each, store.rebuild(tx, each.rebuild_id)), last)
            if found is not None and (held is None or found <= held.position):
                held = Held(f"projection {each.name}", found - 1)
        after = (rows[-1].environment, rows[-1].name)
    return held
