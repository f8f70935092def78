"""Puts the feature into a server."""

from ironflow.features.bulk.loops import AdvanceBulk
from ironflow.features.bulk.service import BulkJobs
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunDeletion, RunRepository


def install(parts: Parts) -> None:
    parts.bind(BulkJobs(parts.db, parts.ids).handlers())
    parts.loops.append(AdvanceBulk(parts.db, parts.need(RunRepository), parts.need(RunDeletion)))
