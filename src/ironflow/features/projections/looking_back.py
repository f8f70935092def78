"""The state of a partition as it was at a moment, from the states that were kept."""

from ironflow.base.time import Millis, to_datetime
from ironflow.features.projections import feeding, store
from ironflow.features.projections.contract import NotRecorded
from ironflow.features.projections.rules import Feed, ProjectionRow
from ironflow.features.projections.store import StateRow
from ironflow.storage.port import Tx


def state_as_of(tx: Tx, projection: ProjectionRow, partition: str, at: Millis) -> StateRow | None:
    """The state that has folded every event of the partition up to `at`, and none after it; None before its first one.

    Raises NotRecorded when the last state kept lacks events of that time. The server folds nothing itself: programs
    with the reducer can, from `recorded` and `events`. Source: protocol/projections.md 7.
    """
    state = store.state_at(tx, projection.generation, partition, at)
    newest = store.newest_state(tx, projection.generation, partition) if state else None
    # All events up to the cursor are in the newest state of their partition.
    folded = max(state.position, projection.cursor) if state and state == newest else state.position if state else 0
    missing = feeding.next_events(
        tx, projection, Feed("", folded), folded, 1, partition=partition if projection.partition_key else None
    )
    when = to_datetime(at).isoformat().replace("+00:00", "Z")
    if missing.events and missing.events[0].record.created_at <= at:
        nearest = f"the last state kept before is that of event {state.event_id}" if state else "none before is kept"
        raise NotRecorded(
            f"The state of partition {partition!r} of {projection.name!r} as of {when} was not recorded: {nearest}, "
            f"and event {missing.events[0].record.id} came in between. Fold from there with the reducer.",
            details={"last_event_seq": folded if state else 0},
        )
    if missing.more and not missing.events:
        raise NotRecorded(f"Whether {partition!r} had later events as of {when} takes too long to find out.")
    return state
