"""The state of a partition at a moment, from the states that were kept."""

import asyncio
from typing import NamedTuple

from ironflow.base.time import Millis, to_datetime
from ironflow.features.projections import feeding, saving, store
from ironflow.features.projections.contract import NotRecorded
from ironflow.features.projections.rules import Feed, ProjectionRow, RebuildRow
from ironflow.features.projections.store import StateRow
from ironflow.storage.port import Database, Tx

# Events looked at in one read; what follows is for the next one, so that others do not wait long.
PIECE = 64
# Whether a partition had later events is searched for no longer than this.
SEARCH_S = 10.0


class _Kept(NamedTuple):
    """The last state kept from a moment or before. folded: up to there it has every event of its partition."""

    projection: ProjectionRow
    rebuild: RebuildRow | None
    state: StateRow | None
    folded: int


class LookedBack(NamedTuple):
    """state: the last one kept from the moment or before; None before the first event of the partition, or without any.

    folded: up to there it has every event of its partition. missing: why it may lack events of that time; None when it
    is the state of the moment.
    """

    projection: ProjectionRow
    rebuild: RebuildRow | None
    state: StateRow | None
    folded: int
    missing: str | None


async def look_back(db: Database, environment: str, name: str, partition: str, at: Millis) -> LookedBack:
    """The last state kept at `at` or before, and whether it has folded every event of the partition up to `at`.

    Raises ProjectionNotFound. The server folds nothing itself: programs with the reducer can, from `recorded` and
    `events`. Source: protocol/projections.md 7.
    """
    kept = await db.read(lambda tx: _kept(tx, environment, name, partition, at))
    return LookedBack(*kept, missing=await _missing(db, kept, partition, at))


async def _missing(db: Database, kept: _Kept, partition: str, at: Millis) -> str | None:
    """Why the state kept may lack events up to `at`, as a sentence; None when it lacks none."""
    deadline = asyncio.get_running_loop().time() + SEARCH_S
    position = kept.folded
    while True:
        found = await db.read(lambda tx, after=position: _later(tx, kept.projection, partition, after))
        if found.events:
            first = found.events[0].record
            return f"event {first.id} came in between" if first.created_at <= at else None
        if not found.more:
            return None
        position = found.searched
        if asyncio.get_running_loop().time() > deadline:
            return f"later events are searched for no longer than {SEARCH_S:g} s"


def _kept(tx: Tx, environment: str, name: str, partition: str, at: Millis) -> _Kept:
    projection, rebuild = saving.load_with_rebuild(tx, environment, name)
    state = store.state_at(tx, projection.generation, partition, at)
    newest = store.newest_state(tx, projection.generation, partition) if state else None
    if state is None:
        return _Kept(projection, rebuild, None, 0)
    # All events up to the cursor are in the newest state of their partition.
    return _Kept(
        projection, rebuild, state, max(state.position, projection.cursor) if state == newest else state.position
    )


def _later(tx: Tx, projection: ProjectionRow, partition: str, after: int) -> feeding.Next:
    only = partition if projection.partition_key else None
    return feeding.next_events(tx, projection, Feed("", after), after, PIECE, partition=only)


def not_recorded(found: LookedBack, partition: str, at: Millis) -> NotRecorded:
    """The refusal of a state that may lack events of the moment."""
    state = found.state
    nearest = "none before is kept"
    if state is not None:
        nearest = f"the last state kept before is that of event {state.event_id}, of {_text(state.event_at)}"
    return NotRecorded(
        f"The state of partition {partition!r} of {found.projection.name!r} as of {_text(at)} was not recorded: "
        f"{nearest}, and {found.missing}. Fold from there with the reducer.",
        details={"last_event_seq": found.folded if state else 0},
    )


def _text(at: Millis) -> str:
    return to_datetime(at).isoformat().replace("+00:00", "Z")
