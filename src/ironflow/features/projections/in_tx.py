"""What other rooms may ask of projections inside their own transactions."""

from ironflow.features.projections import store
from ironflow.features.projections.rules import ProjectionRow
from ironflow.storage.port import Tx


def projection(tx: Tx, environment: str, name: str) -> ProjectionRow | None:
    """The projection of that name that a program runs, None for none; SQL projections share its names."""
    return store.projection(tx, environment, name)
