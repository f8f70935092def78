"""Which projections can be waited for."""

from dataclasses import dataclass

from ironflow.features.projections.contract import GLOBAL, NotWaitable
from ironflow.features.projections.rules.registry import ProjectionRow
from ironflow.log.scan import Filter


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a projection stands that another feature keeps.

    position: up to there every event is in what readers see. stuck: why it does not move by itself, empty when it does.
    """

    name: str
    position: int
    wanted: Filter
    rebuilding: bool = False
    stuck: str = ""


def check_partition_known(projection: ProjectionRow, partition: str) -> None:
    """Raises NotWaitable where the cursors of partitions are not kept."""
    if partition not in ("", GLOBAL) and projection.mode != "managed":
        raise NotWaitable(f"{projection.name!r} is of mode {projection.mode}, which has no partitions to wait for.")


def check_standing_waitable(standing: Standing, partition: str, target: int) -> None:
    """Raises NotWaitable for a partition, and for a projection that is not there yet and does not move."""
    if partition not in ("", GLOBAL):
        raise NotWaitable(f"{standing.name!r} has no partitions to wait for.")
    if standing.stuck and standing.position < target:
        raise NotWaitable(f"{standing.name!r} {standing.stuck} and does not move. Resume it first.")


def check_waitable(projection: ProjectionRow) -> None:
    """Raises NotWaitable for a projection that is not there yet and will not move in what readers see."""
    if projection.paused:
        raise NotWaitable(f"{projection.name!r} is paused and does not move. Resume it first.")
    if projection.rebuild_id and not projection.feeds_both:
        raise NotWaitable(f"{projection.name!r} is being rebuilt; readers see the old version until it has caught up.")
