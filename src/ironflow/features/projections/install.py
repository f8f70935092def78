"""Puts the feature into a server."""

from ironflow.features.nodes.service import Nodes
from ironflow.features.parts import Parts
from ironflow.features.projections import in_tx
from ironflow.features.projections.feeder import Feeder
from ironflow.features.projections.loops import EndRebuilds, ForgetStates
from ironflow.features.projections.rebuilds import Rebuilds
from ironflow.features.projections.saving import History
from ironflow.features.projections.service import Projections
from ironflow.features.projections.waits import Elsewhere, Waits


def install(parts: Parts, elsewhere: Elsewhere) -> None:
    """elsewhere: finds projections of other features, so that callers can wait for them here."""
    settings, db = parts.settings, parts.db
    history = History(settings.projection_history_every_ms, settings.projection_history_days)
    parts.bind(Projections(db, parts.ids, history, settings.projection_state_bytes_max).handlers())
    parts.bind(Rebuilds(db, parts.ids).handlers())
    parts.bind(Waits(db, parts.notifier, settings.projection_waits_max, elsewhere).handlers())
    feeder = Feeder(db, parts.notifier, parts.clock, parts.ids, parts.node)
    parts.bind(feeder.handlers())
    parts.need(Nodes).on_ended(feeder.take_over)
    parts.holds.append(in_tx.slowest)
    parts.loops += [EndRebuilds(db), ForgetStates(db, settings.projection_history_days)]
