"""Which projections can be waited for."""

from ironflow.features.projections.contract import GLOBAL, NotWaitable
from ironflow.features.projections.rules.registry import ProjectionRow


def check_partition_known(projection: ProjectionRow, partition: str) -> None:
    """Raises NotWaitable where nobody keeps the places of partitions."""
    if partition not in ("", GLOBAL) and projection.mode != "managed":
        raise NotWaitable(f"{projection.name!r} is of mode {projection.mode}, which has no partitions to wait for.")


def check_waitable(projection: ProjectionRow) -> None:
    """Raises NotWaitable for a projection that is not there yet and will not move in what readers see."""
    if projection.paused:
        raise NotWaitable(f"{projection.name!r} is paused and does not move. Resume it first.")
    if projection.rebuild_id:
        raise NotWaitable(f"{projection.name!r} is being rebuilt; readers see the old version until it has caught up.")
