"""What other features may know of SQL projections inside their own transactions."""

from ironflow.features.projections.in_tx import Standing
from ironflow.features.sql_projections import rules
from ironflow.features.sql_projections.store import projection, slowest, tables
from ironflow.log.scan import Filter
from ironflow.storage.port import Tx

__all__ = ["slowest", "standing", "tables"]


def standing(tx: Tx, environment: str, name: str) -> Standing | None:
    """Where the SQL projection of that name stands for readers, None for none."""
    found = projection(tx, environment, name)
    if found is None:
        return None
    stuck = "is paused" if found.paused else "stands at an error" if found.serving.stopped else ""
    return Standing(
        name=name,
        position=found.serving.position,
        wanted=Filter(environment, names=found.serving.definition.events),
        rebuilding=rules.status_of(found) == "rebuilding",
        stuck=stuck,
    )
