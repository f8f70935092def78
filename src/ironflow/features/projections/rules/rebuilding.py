"""What the begin, the cancel and the end of a rebuild do."""

from dataclasses import replace

from ironflow.base.time import Millis
from ironflow.features.projections.contract import InvalidProjection, RebuildUnderWay, RebuiltByPolls, WrongMode
from ironflow.features.projections.rules.leases import Held, without_lease
from ironflow.features.projections.rules.registry import ProjectionRow, RebuildRow


def check_rebuild(
    projection: ProjectionRow, partition: str, start: int, target: int, from_event_id: str, to_event_id: str
) -> None:
    """Raises RebuildUnderWay, WrongMode, InvalidProjection."""
    if projection.rebuild_id:
        raise RebuildUnderWay(f"{projection.name!r} is being rebuilt already. Wait for it, or cancel it.")
    if partition and projection.mode != "managed":
        raise WrongMode(f"{projection.name!r} is of mode {projection.mode}: it has no partitions to rebuild.")
    if partition and to_event_id:
        raise InvalidProjection("to_event_id and partition exclude each other: a partition catches up with the others.")
    if from_event_id and to_event_id and start >= target:
        raise InvalidProjection("The event to start from comes after the one to end with.")


def decide_rebuild(projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> ProjectionRow:
    """The projection when a rebuild begins: runners lose their lease and start again with the new generation.

    Readers see the current generation until `decide_swapped`.
    """
    return replace(
        without_lease(projection),
        rebuild_id=rebuild.id,
        sent_up_to=rebuild.start_position,
        error_message="",
        tries_position=0,
        tries=0,
        retry_at=0,
        updated_at=now,
    )


def decide_cancelled(projection: ProjectionRow, now: Millis) -> ProjectionRow:
    """The projection when its rebuild is dropped: runners start again where readers are."""
    return replace(without_lease(projection), rebuild_id="", sent_up_to=projection.cursor, error_message="",
                   tries_position=0, tries=0, retry_at=0, updated_at=now)  # fmt: skip


def decide_swapped(projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> ProjectionRow:
    """The projection when its rebuild has caught up: the new version is what readers see. Runners just go on."""
    whole = rebuild.partition_key is None
    return replace(
        projection,
        generation=rebuild.generation if whole else projection.generation,
        cursor=rebuild.cursor if whole else projection.cursor,
        without_key=rebuild.without_key if whole else projection.without_key,
        rebuild_id="",
        sent_up_to=None,
        updated_at=now,
    )


def check_stream(projection: ProjectionRow, held: Held | None) -> None:
    """Whether a stream may begin now. Raises RebuiltByPolls.

    A runner without a lease does not load the state again when its stream ends: it would fold the events of a rebuild
    into the state that it has. A poll gives it the state to go on from. Source: protocol/projections.md 1 to 3.
    """
    if held is None and projection.rebuild_id and projection.mode == "managed":
        raise RebuiltByPolls(
            f"{projection.name!r} is being rebuilt. Poll for its events: each poll has the state that they go on from."
        )


def served_beside(projection: ProjectionRow) -> str | None:
    """The version that a runner feeds beside the one that is built; None where it feeds one alone.

    What the handler of an external projection does is not done twice.
    """
    if projection.rebuild_id and projection.feeds_both and projection.mode == "managed":
        return projection.generation
    return None
