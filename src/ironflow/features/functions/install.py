"""Puts the feature into a server."""

from ironflow.base.lifecycle import Lifecycle
from ironflow.base.settings import Settings
from ironflow.engine.model import Policy
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.functions.service import Functions
from ironflow.features.functions.store import count
from ironflow.features.parts import Parts
from ironflow.storage.port import Database


class ReadFunctions(Lifecycle):
    """Reads the functions when a server starts, and compiles their expressions.

    Else the first event after a restart would wait for it, and for the start of the process that evaluates dear ones.
    """

    def __init__(self, db: Database, index: FunctionIndex) -> None:
        self._db, self._index = db, index

    async def start(self) -> None:
        await self._db.read(self._index.refresh)


def install(parts: Parts) -> None:
    index = parts.provide(FunctionIndex(_policy(parts.settings), parts.settings.on_code_change))
    parts.bind(Functions(parts.db, index).handlers())
    parts.follow(parts.provide(ReadFunctions(parts.db, index)))
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
