"""Puts the feature into a server."""

from ironflow.base.settings import Settings
from ironflow.engine.model import Policy
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.functions.service import Functions
from ironflow.features.functions.store import count
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    index = parts.provide(FunctionIndex(_policy(parts.settings), parts.settings.on_code_change))
    parts.bind(Functions(parts.db, index).handlers())
    parts.counters["function_count"] = count


def _policy(settings: Settings) -> Policy:
    return Policy(
        max_attempts=settings.max_attempts,
        initial_delay_ms=settings.initial_delay_ms,
        backoff_factor=settings.backoff_factor,
        max_delay_ms=settings.max_delay_ms,
        on_exhausted=settings.on_exhausted,
        timeout_ms=settings.function_timeout_ms,
    )
