"""A save or an ack as one change: what the runner made is stored, the cursor moves, a rebuild may be done."""

from dataclasses import dataclass, replace

from ironflow.base.time import Millis
from ironflow.features.projections import feeding, rules, store
from ironflow.features.projections.contract import GLOBAL, ProjectionNotFound, StaleSave
from ironflow.features.projections.feeding import Moved
from ironflow.features.projections.notices import StateSaved
from ironflow.features.projections.rules import Feed, Held, ProjectionRow, RebuildRow
from ironflow.features.projections.store import StateRow
from ironflow.log.read import head, records_at
from ironflow.log.scan import count, scan_positions
from ironflow.storage.port import Tx

TOPIC = "projections"


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of one partition. state: None for an ack. event_at: 0 when the runner does not say."""

    position: int
    event_id: str
    event_at: Millis
    partition: str = ""
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """What a runner asks to be kept, all of it or nothing. parts: at least one, of different partitions.

    generation: as in `Poll`.
    """

    environment: str
    name: str
    held: Held | None
    now: Millis
    parts: tuple[Part, ...]
    generation: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """How many states stay for looking back. every_ms: at most one in this time. days: for so long, 0 for none."""

    every_ms: int
    days: float


def notify_key(environment: str, name: str) -> str:
    return f"{environment}/{name}"


def load(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> ProjectionRow:
    """Raises ProjectionNotFound."""
    found = store.projection(tx, environment, name, to_write=to_write)
    if found is None:
        raise not_found(environment, name)
    return found


def not_found(environment: str, name: str) -> ProjectionNotFound:
    return ProjectionNotFound(f"projection not found: there is no {name[:140]!r} in environment {environment!r}.")


def load_with_rebuild(
    tx: Tx, environment: str, name: str, *, to_write: bool = False
) -> tuple[ProjectionRow, RebuildRow | None]:
    """Raises ProjectionNotFound."""
    found = load(tx, environment, name, to_write=to_write)
    return found, store.rebuild(tx, found.rebuild_id)


def apply(tx: Tx, saving: Saving, history: History) -> bool:
    """Whether it has passed the projection's first event without its partition key. A repetition changes nothing.

    Raises ProjectionNotFound, WrongMode, LeaseLost, GenerationReplaced, StaleSave, InvalidSave.
    """
    projection, rebuild = load_with_rebuild(tx, saving.environment, saving.name, to_write=True)
    rules.check_mode(projection, "external" if saving.parts[0].state is None else "managed")
    rules.check_lease(projection, saving.held, saving.now)
    end = head(tx)
    for part in saving.parts:
        rules.check_position(projection, part.position, end, saving.held)
    feed = rules.feed_named(projection, rebuild, saving.generation)
    if saving.held is None:
        projection = replace(projection, feeds_both=False)
    # What readers see is saved as if nothing else were built.
    building = None if saving.generation else rebuild
    news = [part for part in saving.parts if _keep(tx, projection, building, feed, part, saving.now, history)]
    if not news:
        return False
    moved = feeding.cursor_after(tx, projection, feed, max(part.position for part in news))
    _move(tx, projection, building, moved, saving.now)
    known = projection.without_key or (building is not None and building.without_key)
    return bool(moved.without_key) and not known


def _keep(
    tx: Tx,
    projection: ProjectionRow,
    rebuild: RebuildRow | None,
    feed: Feed,
    part: Part,
    now: Millis,
    history: History,
) -> bool:
    """Stores the state of one partition; False when it was saved so far already. Raises StaleSave."""
    if feed.partition_key is not None and part.partition != feed.partition_key:
        raise StaleSave(f"Only partition {feed.partition_key!r} of {projection.name!r} is built anew now.")
    newest = store.newest_state(tx, feed.generation, part.partition) if part.state is not None else None
    if rules.is_repeat(part.position, newest.position if newest else 0, feed.cursor):
        return False
    if part.state is not None:
        event_id, event_name, event_at = _event_at(tx, projection.environment, part, now)
        _store_state(tx, feed, newest, part, event_id, event_at, now, history)
        if rebuild is None:
            # Readers do not see what a rebuild saves.
            tx.publish_local(_saved(projection, part.partition, part.state, event_id, event_name, now))
    return True


def _move(tx: Tx, projection: ProjectionRow, rebuild: RebuildRow | None, moved: Moved, now: Millis) -> None:
    """Saves a projection whose feed has moved; ends its rebuild when that has caught up."""
    cursor = moved.cursor
    after = rules.decide_saved(projection, cursor, now, beside=rebuild is None and bool(projection.rebuild_id))
    if rebuild is None:
        store.save(tx, replace(after, without_key=projection.without_key + moved.without_key))
    else:
        done = count(tx, feeding.filter_of(projection), rebuild.cursor, cursor).records
        going = replace(
            rebuild,
            cursor=max(rebuild.cursor, cursor),
            events_done=rebuild.events_done + done,
            without_key=rebuild.without_key + moved.without_key,
        )
        if _caught_up(tx, projection, going):
            finish(tx, after, going, now)
        else:
            store.save_rebuild(tx, going)
            store.save(tx, after)
    tx.notify(TOPIC, notify_key(projection.environment, projection.name))


def finish(tx: Tx, projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> None:
    """Readers see the version that was built; the one before goes."""
    if rebuild.partition_key is None:
        store.drop_generation(tx, projection.generation, now)
    else:
        store.swap_partition(tx, projection.generation, rebuild.generation, rebuild.partition_key)
    store.save_rebuild(tx, replace(rebuild, status="completed", ended_at=now, events_done=rebuild.events_total))
    after = rules.decide_swapped(projection, rebuild, now)
    store.save(tx, after)
    shown = rebuild.partition_key or GLOBAL
    newest = store.newest_state(tx, after.generation, shown)
    if newest is not None:
        names = [each.name for each in records_at(tx, [newest.position])]
        tx.publish_local(_saved(after, shown, newest.state, newest.event_id, names[0] if names else "", now))
    tx.notify(TOPIC, notify_key(projection.environment, projection.name))


def _caught_up(tx: Tx, projection: ProjectionRow, rebuild: RebuildRow) -> bool:
    """Whether nothing is left to fold; not looked for far away, the loop does that."""
    target = rules.target_of(projection, rebuild)
    if rebuild.cursor >= target:
        return True
    if rebuild.partition_key is not None:
        return False
    found = scan_positions(tx, feeding.filter_of(projection), rebuild.cursor, target, 1)
    return not found.items and found.reached >= target


def _event_at(tx: Tx, environment: str, part: Part, now: Millis) -> tuple[str, str, Millis]:
    """Id, name and time of the event at the saved position; as the runner says where the log has none there."""
    for record in records_at(tx, [part.position]):
        if record.environment == environment:
            return record.id, record.name, record.created_at
    return part.event_id, "", part.event_at or now


def _saved(
    projection: ProjectionRow, partition: str, state: str, event_id: str, event_name: str, now: Millis
) -> StateSaved:
    return StateSaved(projection.environment, projection.name, partition, state, event_id, event_name, now)


def _store_state(
    tx: Tx,
    feed: Feed,
    newest: StateRow | None,
    part: Part,
    event_id: str,
    event_at: Millis,
    now: Millis,
    history: History,
) -> None:
    keep = newest is not None and rules.decide_keeping(newest.saved_at, newest.kept_at, history.every_ms, history.days)
    state = StateRow(
        partition_key=part.partition,
        position=part.position,
        state=part.state or "null",
        event_id=event_id,
        event_at=event_at,
        version=newest.version + 1 if newest else 1,
        kept_at=(newest.saved_at if keep else newest.kept_at) if newest else 0,
        saved_at=now,
    )
    store.save_state(tx, feed.generation, state, is_first=newest is None, keep_older=keep)
