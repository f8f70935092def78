"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.sql_projections import in_tx
from ironflow.features.sql_projections.adapter import Adapter
from ironflow.features.sql_projections.applying import Applier
from ironflow.features.sql_projections.loops import FollowLog, SweepPlaces
from ironflow.features.sql_projections.service import SqlProjections


def install(parts: Parts) -> None:
    applier = Applier(parts.db, parts.sandbox, parts.settings.sql_statement_ms)
    sql_projections = SqlProjections(parts.db, parts.sandbox, applier)
    parts.bind(sql_projections.handlers())
    # In front of the operations of projections, whose handlers are bound before.
    parts.bind(Adapter(parts.db, sql_projections, dict(parts.handlers)).handlers())
    parts.holds.append(in_tx.slowest)
    parts.loops += [FollowLog(parts.db, parts.sandbox, applier), SweepPlaces(parts.db, parts.sandbox)]
