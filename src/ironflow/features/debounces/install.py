"""Puts the feature into a server."""

from ironflow.features.debounces.loops import FireDebounces
from ironflow.features.debounces.service import Debounces
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunRepository


def install(parts: Parts) -> None:
    parts.bind(Debounces(parts.db, parts.ids).handlers())
    parts.loops.append(FireDebounces(parts.db, parts.need(RunRepository), parts.need(FunctionIndex), parts.ids))
