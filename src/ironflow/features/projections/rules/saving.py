"""Which saves are accepted, and what they do."""

from dataclasses import replace

from ironflow.base.time import Millis
from ironflow.features.projections.contract import InvalidSave, StaleSave, WrongMode
from ironflow.features.projections.rules.leases import Held
from ironflow.features.projections.rules.registry import ProjectionRow


def check_mode(projection: ProjectionRow, wanted: str) -> None:
    """Raises WrongMode. wanted: the mode whose runners may do this."""
    if projection.mode != wanted:
        does = {"managed": "saves states", "external": "acknowledges events"}
        raise WrongMode(
            f"{projection.name!r} is a projection of mode {projection.mode}, which {does[projection.mode]}."
        )


def check_position(projection: ProjectionRow, position: int, head: int, held: Held | None) -> None:
    """Whether a save may name this position.

    Raises InvalidSave for one that the log does not have, StaleSave for one that was not sent for this version.
    Source: docs/internals/decisions/0018.
    """
    if not 0 <= position <= head:
        raise InvalidSave(f"last_event_seq is {position}; the log ends at {head}.")
    if held is None and projection.sent_up_to is not None and position > projection.sent_up_to:
        raise StaleSave(
            f"Event {position} was not sent yet for the version of {projection.name!r} that is built now. "
            "Load the state again and go on from there."
        )


def is_repeat(position: int, own_position: int, cursor: int) -> bool:
    """Whether a save brings nothing new: the partition, or all of the projection, is saved up to there already."""
    return position <= max(own_position, cursor)


def decide_saved(projection: ProjectionRow, cursor: int, now: Millis, *, beside: bool = False) -> ProjectionRow:
    """The projection after an accepted save. cursor: of the feed afterwards.

    beside: the save is of the version that readers see, while another is built.

    An error is over when the cursor passes its event, which was the first after it; saves of other partitions do not
    end it.
    """
    if beside:
        return replace(projection, cursor=max(projection.cursor, cursor), updated_at=now)
    passed = bool(projection.tries) and cursor >= projection.tries_position
    building = bool(projection.rebuild_id)
    return replace(
        projection,
        cursor=projection.cursor if building else max(projection.cursor, cursor),
        # What was in flight for another version has been refused by now; a rebuild is watched to its end.
        sent_up_to=projection.sent_up_to if building else None,
        error_message="" if passed else projection.error_message,
        tries_position=0 if passed else projection.tries_position,
        tries=0 if passed else projection.tries,
        retry_at=0 if passed else projection.retry_at,
        updated_at=now,
    )


def decide_keeping(newest_at: Millis, kept_at: Millis, every_ms: int, days: float) -> bool:
    """Whether a state stays in the history when a newer one takes its place.

    newest_at: when it was saved; kept_at: when the last one that stays was. days: how long states stay, 0 for none.
    """
    return days > 0 and newest_at - kept_at >= every_ms
