"""How other features start runs by ticks inside their own transactions."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ironflow.base.ids import Ids
from ironflow.base.overlap import Overlap
from ironflow.base.time import Millis
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.runs.in_tx import Claims, Creation, RunRepository, creation
from ironflow.features.ticks import store
from ironflow.features.ticks.rules import (
    Tick,
    backfill_owner,
    decide_tick,
    function_owner,
    schedule_owner,
)
from ironflow.features.ticks.store import drop, forget, kept, open_runs
from ironflow.log.record import Record
from ironflow.storage.port import Tx

__all__ = [
    "Outcome",
    "Tick",
    "TickStarter",
    "backfill_owner",
    "drop",
    "forget",
    "function_owner",
    "kept",
    "open_runs",
    "schedule_owner",
]


class Outcome(NamedTuple):
    """What became of a tick: started, skipped, kept, or inactive (its function is not active). run_id: if started.

    held_by: the run that has not ended and has the key of the function, for which it was skipped.
    """

    what: str
    run_id: str = ""
    held_by: str = ""
    key: str = ""


class TickStarter:
    """Starts the runs of ticks."""

    def __init__(self, repository: RunRepository, index: FunctionIndex, ids: Ids) -> None:
        self._repository = repository
        self._index = index
        self._ids = ids

    def start(
        self, tx: Tx, ticks: Sequence[tuple[Tick, Overlap]], now: Millis, *, tracked: bool = False
    ) -> list[Outcome]:
        """One outcome for each tick, in their order.

        tracked: the runs of ticks with overlap `all` count as the owner's, too.
        """
        self._index.refresh(tx)
        guarded = {(tick.environment, tick.owner) for tick, overlap in ticks if overlap != "all"}
        # In one order, so that two nodes do not wait for each other.
        for environment, owner in sorted(guarded):
            store.lock(tx, environment, owner)
            store.forget_ended(tx, environment, owner)
        fresh: Counter[tuple[str, str]] = Counter()
        creations: list[Creation] = []
        events: list[Record] = []
        outcomes: list[Outcome] = []
        claims = Claims(tx)
        for tick, overlap in ticks:
            function = self._index.get(tick.environment, tick.function_id)
            if function is None or function.status != "active":
                outcomes.append(Outcome("inactive"))
                continue
            place = (tick.environment, tick.owner)
            verdict = "start"
            if overlap != "all":
                running = fresh[place] + len(open_runs(tx, *place, 1))
                verdict = decide_tick(overlap, running, kept=kept(tx, *place) is not None)
            if verdict != "start":
                if verdict != "skip":
                    store.keep(tx, tick, cancels=verdict == "replace")
                    tx.notify("run_ended")
                outcomes.append(Outcome("skipped" if verdict == "skip" else "kept"))
                continue
            event = self._event(tick, now)
            run_id = self._ids.new("run")
            events.append(event)
            created = creation(run_id, function, event)
            claimed = claims.claim(created, function.if_running)
            if not claimed.starts:
                outcomes.append(Outcome("skipped", held_by=claimed.run_id, key=created.command.key or ""))
                continue
            creations.append(created)
            fresh[place] += 1
            if overlap != "all" or tracked:
                store.add_run(tx, *place, run_id)
            outcomes.append(Outcome("started", run_id))
        if events:
            self._repository.start(tx, creations, events, now, claims=claims)
        return outcomes

    def _event(self, tick: Tick, now: Millis) -> Record:
        return Record(
            id=self._ids.new("evt"),
            environment=tick.environment,
            kind="event",
            name=tick.event,
            data=tick.data,
            metadata=tick.metadata or None,
            source=tick.source,
            created_at=now,
        )
