"""The loop that starts the runs of kept ticks once what they wait for has ended, or cancels it."""

from collections import Counter

from ironflow.base.loop import Ran
from ironflow.base.overlap import Overlap
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.features.runs.in_tx import RunRepository
from ironflow.features.ticks import store
from ironflow.features.ticks.in_tx import TickStarter
from ironflow.features.ticks.rules import Tick
from ironflow.storage.port import Database, Tx

BATCH = 50
# Most runs that end are waited for by no tick.
REST_MS = 250
CAUSE = "the schedule's next tick has come"


class StartKept:
    """Kept ticks, a batch in one transaction."""

    name = "ticks"
    topic = "run_ended"
    every_ms = 1_000
    notable = ("cancelled",)

    def __init__(self, db: Database, repository: RunRepository, starter: TickStarter) -> None:
        self._db = db
        self._repository = repository
        self._starter = starter

    async def run_once(self, now: Millis) -> Ran:
        if not await self._db.peek(store.has_any):
            return Ran(rest_ms=REST_MS)
        if await self._db.peek(store.first_due) is None:
            return Ran()
        done = await self._db.write(lambda tx: self._work(tx, now))
        return Ran(dict(done), more=bool(done))

    def _work(self, tx: Tx, now: Millis) -> Counter[str]:
        due = store.due(tx, BATCH)
        cancelling = [tick for tick, cancels in due if cancels]
        if cancelling:
            return self._cancel(tx, cancelling, now)
        for tick, _ in due:
            store.lock(tx, tick.environment, tick.owner)
        starting: list[tuple[Tick, Overlap]] = []
        for tick, _ in due:
            # Another node may have started it, or replaced it, between our look and the lock.
            latest = store.kept(tx, tick.environment, tick.owner)
            if latest is None or store.open_runs(tx, tick.environment, tick.owner, 1):
                continue
            store.drop(tx, tick.environment, tick.owner)
            starting.append((latest, "one"))
        # In one start: it locks the log, behind which no other owner may be waited for.
        outcomes = self._starter.start(tx, starting, now) if starting else []
        return Counter(outcome.what for outcome in outcomes)

    def _cancel(self, tx: Tx, ticks: list[Tick], now: Millis) -> Counter[str]:
        """In one save, and without a start, so that slots are locked after all runs and the log, as everywhere."""
        for tick in ticks:
            store.lock(tx, tick.environment, tick.owner)
        run_ids = [run_id for tick in ticks for run_id in store.open_runs(tx, tick.environment, tick.owner, 1_000)]
        runs = self._repository.load(tx, run_ids)
        command = commands.Cancel(cause=CAUSE)
        whole = [self._repository.with_open_steps(tx, run) for run in runs.values() if not run.ended]
        self._repository.save(tx, [(run, decide(run, command, now)) for run in whole], now)
        for tick in ticks:
            store.cancels_done(tx, tick.environment, tick.owner)
        return Counter(cancelled=len(whole), ticks=len(ticks))
