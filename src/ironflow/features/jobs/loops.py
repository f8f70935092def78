"""What goes on by itself: lost leases go back into the queue, silent workers are forgotten."""

from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.features.jobs import rules, store
from ironflow.features.jobs.desk import Desk
from ironflow.features.jobs.notices import worker_notice
from ironflow.features.jobs.rules import Timing
from ironflow.features.runs.ledger import Ledger
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 500


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What one round did. more: the batch was full. next_at: when the next lease ends unless renewed."""

    reclaimed: int
    more: bool
    next_at: Millis | None


class ReclaimLeases:
    """Ends leases whose time is over: by the function's timeout, or because their worker fell silent."""

    name = "leases"
    topic = "leases"
    every_ms = rules.RECLAIM_EVERY_MS

    def __init__(self, db: Database, ledger: Ledger, timing: Timing) -> None:
        self._db = db
        self._ledger = ledger
        self._timing = timing

    async def run_once(self, now: Millis) -> Reclaimed:
        command = commands.LeaseExpired(losses_max=self._timing.losses_max)

        def reclaim(tx: Tx) -> int:
            run_ids = store.expired(tx, now, BATCH)
            runs = self._ledger.load(tx, run_ids, skip_locked=True) if run_ids else {}
            self._ledger.save(tx, [(run, decide(run, command, now)) for run in runs.values()], now)
            return len(run_ids)

        reclaimed, next_at = await run_due(self._db, store.next_expiry, reclaim, now)
        return Reclaimed(reclaimed, more=reclaimed == BATCH, next_at=next_at)


@dataclass(frozen=True, slots=True)
class Evicted:
    """What one round did."""

    evicted: int
    more: bool = False


class EvictWorkers:
    """Forgets workers that have not been heard of; they register again when they come back."""

    name = "workers"
    every_ms = 10_000

    def __init__(self, db: Database, timing: Timing) -> None:
        self._db = db
        self._timing = timing

    async def run_once(self, now: Millis) -> Evicted:
        oldest = now - self._timing.evict_ms

        def evict(tx: Tx) -> int:
            evicted = store.evict(tx, oldest)
            for environment, worker_id in evicted:
                tx.tell(worker_notice(environment, worker_id, "evicted", {}, now))
            return len(evicted)

        return Evicted(await self._db.write(evict))


@dataclass(frozen=True, slots=True)
class Offered:
    """What one round did: how many polls were waiting."""

    polls: int
    more: bool = False


class OfferAgain:
    """Looks again for polls that wait, in case a ring of another node was lost: that costs a moment, never a job."""

    name = "jobs-offer"
    every_ms = 2_000

    def __init__(self, db: Database, desk: Desk) -> None:
        self._db = db
        self._desk = desk

    async def run_once(self, now: Millis) -> Offered:
        polls = self._desk.waiting()
        if polls:
            self._db.ring("jobs")
        return Offered(polls)
