"""Puts the feature into a server."""

from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunDeletion, RunRepository
from ironflow.features.ticks import store
from ironflow.features.ticks.in_tx import TickStarter
from ironflow.features.ticks.loops import StartKept


def install(parts: Parts) -> None:
    repository = parts.need(RunRepository)
    parts.need(RunDeletion).others.append(store.forget_runs)
    starter = parts.provide(TickStarter(repository, parts.need(FunctionIndex), parts.ids))
    parts.loops.append(StartKept(parts.db, repository, starter))
