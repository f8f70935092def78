"""A save or an ack as one change: what the runner made is stored, the cursor moves, a rebuild may be done."""

from dataclasses import dataclass, replace

from ironflow.base.time import Millis
from ironflow.features.projections import feeding, rules, store
from ironflow.features.projections.contract import ProjectionNotFound, StaleSave
from ironflow.features.projections.notices import StateChanged
from ironflow.features.projections.rules import Feed, Held, ProjectionRow, RebuildRow
from ironflow.features.projections.store import StateRow
from ironflow.log.matching import count_between, positions_after, records_at
from ironflow.log.read import head
from ironflow.storage.port import Tx

TOPIC = "projections"


@dataclass(frozen=True, slots=True)
class Saving:
    """What a runner asks to be kept. partition, state: None for an ack. event_at: 0 when the runner does not say."""

    environment: str
    name: str
    position: int
    event_id: str
    event_at: Millis
    held: Held | None
    now: Millis
    partition: str = ""
    state: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """How many states stay for looking back. every_ms: at most one in this time. days: for so long, 0 for none."""

    every_ms: int
    days: float


def bell_key(environment: str, name: str) -> str:
    return f"{environment}/{name}"


def load(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> ProjectionRow:
    """Raises ProjectionNotFound."""
    found = store.projection(tx, environment, name, to_write=to_write)
    if found is None:
        raise ProjectionNotFound(f"projection not found: there is no {name[:140]!r} in environment {environment!r}.")
    return found


def load_with_rebuild(
    tx: Tx, environment: str, name: str, *, to_write: bool = False
) -> tuple[ProjectionRow, RebuildRow | None]:
    """Raises ProjectionNotFound."""
    found = load(tx, environment, name, to_write=to_write)
    return found, store.rebuild(tx, found.rebuild_id)


def apply(tx: Tx, saving: Saving, history: History) -> None:
    """Raises ProjectionNotFound, WrongMode, LeaseLost, StaleSave, InvalidSave. A repetition changes nothing."""
    projection, rebuild = load_with_rebuild(tx, saving.environment, saving.name, to_write=True)
    rules.check_mode(projection, "external" if saving.state is None else "managed")
    rules.check_lease(projection, saving.held, saving.now)
    rules.check_position(projection, saving.position, head(tx), saving.held)
    feed = rules.feed_of(projection, rebuild)
    if feed.partition_key is not None and saving.partition != feed.partition_key:
        raise StaleSave(f"Only partition {feed.partition_key!r} of {projection.name!r} is built anew now.")
    newest = store.newest_state(tx, feed.side, saving.partition) if saving.state is not None else None
    if rules.is_repeat(saving.position, newest.position if newest else 0, feed.cursor):
        return
    event_id, event_name, event_at = _event_at(tx, saving)
    if saving.state is not None:
        _store_state(tx, feed, newest, saving, event_id, event_at, history)
        if rebuild is None:
            at = (saving.environment, saving.name, saving.partition)
            tx.tell(StateChanged(*at, saving.state, event_id, event_name, saving.now))
    cursor = feeding.cursor_after(tx, projection, feed, saving.position)
    move(tx, projection, rebuild, cursor, event_id if cursor == saving.position else "", saving.position, saving.now)


def move(
    tx: Tx,
    projection: ProjectionRow,
    rebuild: RebuildRow | None,
    cursor: int,
    event_id: str,
    saved_at: int,
    now: Millis,
) -> None:
    """Saves a projection whose feed's cursor is now `cursor`; ends its rebuild when that has caught up."""
    after = rules.decide_saved(projection, cursor, event_id, saved_at, now)
    if rebuild is None:
        store.save(tx, after)
    else:
        done = count_between(tx, feeding.wanted_by(projection), rebuild.cursor, cursor).events
        going = replace(
            rebuild,
            cursor=max(rebuild.cursor, cursor),
            cursor_event_id=event_id or rebuild.cursor_event_id,
            events_done=rebuild.events_done + done,
        )
        if _caught_up(tx, projection, going):
            finish(tx, after, going, now)
        else:
            store.save_rebuild(tx, going)
            store.save(tx, after)
    tx.ring(TOPIC, bell_key(projection.environment, projection.name))


def finish(tx: Tx, projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> None:
    """Readers see the version that was built; the one before goes."""
    if rebuild.partition_key is None:
        store.drop_side(tx, projection.side, now)
    else:
        store.swap_partition(tx, projection.side, rebuild.side, rebuild.partition_key)
    store.save_rebuild(tx, replace(rebuild, status="completed", ended_at=now, events_done=rebuild.events_total))
    store.save(tx, rules.decide_swapped(projection, rebuild, now))
    tx.ring(TOPIC, bell_key(projection.environment, projection.name))


def _caught_up(tx: Tx, projection: ProjectionRow, rebuild: RebuildRow) -> bool:
    """Whether nothing is left to fold; not looked for far away, the loop does that."""
    if rebuild.cursor >= rebuild.target:
        return True
    if rebuild.partition_key is not None:
        return False
    found = positions_after(tx, feeding.wanted_by(projection), rebuild.cursor, rebuild.target, 1)
    return not found.positions and found.searched >= rebuild.target


def _event_at(tx: Tx, saving: Saving) -> tuple[str, str, Millis]:
    """Id, name and time of the event at the saved position; as the runner says where the log has it no more."""
    for record in records_at(tx, [saving.position]):
        if record.environment == saving.environment:
            return record.id, record.name, record.created_at
    return saving.event_id, "", saving.event_at or saving.now


def _store_state(
    tx: Tx, feed: Feed, newest: StateRow | None, saving: Saving, event_id: str, event_at: Millis, history: History
) -> None:
    keep = newest is not None and rules.decide_keeping(newest.saved_at, newest.kept_at, history.every_ms, history.days)
    state = StateRow(
        partition_key=saving.partition,
        position=saving.position,
        state=saving.state or "null",
        event_id=event_id,
        event_at=event_at,
        version=newest.version + 1 if newest else 1,
        kept_at=(newest.saved_at if keep else newest.kept_at) if newest else 0,
        saved_at=saving.now,
    )
    store.save_state(tx, feed.side, state, is_first=newest is None, keep_older=keep)
