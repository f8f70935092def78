"""The desk where polls wait for jobs.

A poll asks here; whenever a job becomes ready the desk hands out, in the very transaction that made it ready where
the database allows. A poll whose client has gone gives its jobs back.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ironflow.base.ids import Ids
from ironflow.base.time import Clock
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.jobs import rules, store
from ironflow.features.jobs.assignments import assignments
from ironflow.features.jobs.contract import Assignment
from ironflow.features.jobs.rules import Timing, WorkerRow
from ironflow.features.runs.ledger import Change, Ledger, job_key
from ironflow.log.read import head
from ironflow.storage.port import Database, StorageFailed, Tx

logger = logging.getLogger(__name__)

# After this long a job that could not be handed out, because another transaction had its run, is looked at again.
LOOK_AGAIN_S = 0.05
# A poll that is not held is answered at the first look, or after this if that look failed.
LOOK_S = 10.0


@dataclass(eq=False, slots=True)
class Ask:
    """A poll. fresh: nobody has looked for it yet. patient: it waits when there is nothing.

    short: once there was no room for another job; jobs may be ready that it was not offered.
    """

    worker: WorkerRow
    available: int
    acked: bool
    patient: bool
    answer: asyncio.Future[list[Assignment]]
    is_there: Callable[[], bool]
    fresh: bool = True
    short: bool = False
    keys: set[str] = field(default_factory=set)


class Desk:
    """Polls that wait, and handing out."""

    def __init__(self, db: Database, ledger: Ledger, ids: Ids, clock: Clock, timing: Timing) -> None:
        self._db = db
        self._ledger = ledger
        self._ids = ids
        self._clock = clock
        self._timing = timing
        # In order of arrival, so that the longest waiting worker is served first.
        self._asks: dict[Ask, None] = {}
        self._closed = False
        self._missed = False
        self._giving_back: set[asyncio.Task[None]] = set()
        db.join("jobs", self._hand_out)

    async def ask(
        self, worker: WorkerRow, available: int, acked: bool, hold_s: float, is_there: Callable[[], bool]
    ) -> list[Assignment]:
        """Up to `available` jobs for the worker; waits up to `hold_s` seconds for the first one.

        is_there: asked before jobs are handed out; a poll whose client has gone gets none.
        """
        answer: asyncio.Future[list[Assignment]] = asyncio.get_running_loop().create_future()
        ask = Ask(worker, available, acked, hold_s > 0 and not self._closed, answer, is_there)
        ask.keys = {job_key(worker.environment, function_id) for function_id in worker.function_ids}
        self._asks[ask] = None
        # Under a key that no function has: only fresh asks are looked at.
        self._db.ring("jobs", "?")
        try:
            async with asyncio.timeout(hold_s if hold_s > 0 else LOOK_S):
                return await ask.answer
        except TimeoutError:
            # It may have been answered at the very moment when its time was over.
            return _answered(ask)
        except asyncio.CancelledError:
            if jobs := _answered(ask):
                self._give_back_soon(jobs)
            raise
        finally:
            self._asks.pop(ask, None)

    def close(self) -> None:
        """Answers every held poll at once, and later ones without holding them: the server is about to stop."""
        self._closed = True
        for ask in list(self._asks):
            if not ask.fresh and not ask.answer.done():
                ask.answer.set_result([])

    def waiting(self) -> int:
        return len(self._asks)

    def _hand_out(self, tx: Tx, keys: set[str]) -> Callable[[], None] | None:
        """Changes nothing here: it may be run again, or its transaction may fail. `answer` follows the commit."""
        looked_at: list[tuple[Ask, list[Assignment]]] = []
        # A copy: on PostgreSQL this runs in a thread while polls come and go.
        for ask in list(self._asks):
            if ask.fresh or keys & ask.keys or "" in keys:
                jobs = self._claim(tx, ask, keys) if ask.is_there() else []
                if jobs or ask.fresh:
                    looked_at.append((ask, jobs))
        missed, self._missed = self._missed, False
        if not looked_at and not missed:
            return None

        def answer() -> None:
            if missed and not self._closed:
                asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._db.ring, "jobs")
            for ask, jobs in looked_at:
                ask.fresh = False
                if jobs or not ask.patient:
                    if self._asks.pop(ask, "gone") is None and not ask.answer.done():
                        ask.answer.set_result(jobs)
                    elif jobs:
                        self._give_back_soon(jobs)

        return answer

    def _claim(self, tx: Tx, ask: Ask, keys: set[str]) -> list[Assignment]:
        """keys: of functions of which jobs have become ready; there is nothing new of others."""
        worker = ask.worker
        room = rules.decide_grant(worker.jobs_max, store.unfinished(tx, worker), ask.available)
        if not room:
            ask.short = True
            return []
        functions = list(worker.function_ids)
        if not (ask.fresh or ask.short or "" in keys):
            functions = [each for each in functions if job_key(worker.environment, each) in keys]
        now = self._clock.now()
        run_ids = store.ready(tx, worker, functions, room, now - self._timing.evict_ms)
        if not run_ids:
            return []
        log_position = head(tx)
        claimed: list[Run] = []
        changes: list[Change] = []
        runs = self._ledger.load(tx, run_ids, skip_locked=True)
        if len(runs) < len(run_ids):
            # Another transaction has a run and may wait for the job that we have.
            self._missed = True
        for run in runs.values():
            command = commands.Claim(
                worker_id=worker.id,
                job_id=rules.job_id(run.id, run.execution_seq + 1),
                token=self._ids.token(),
                acked=ask.acked,
                lease_ms=self._timing.lease_ms,
                reservation_ms=self._timing.reservation_ms,
                log_position=log_position,
            )
            decision = decide(run, command, now)
            if decision.facts:
                claimed.append(decision.run)
                changes.append((run, decision))
        self._ledger.save(tx, changes, now)
        if any(run.actor_id is not None for run in claimed):
            store.save_actors(tx, claimed)
        if any(run.lease is not None and run.lease.expires_at < now + rules.RECLAIM_EVERY_MS for run in claimed):
            tx.ring("leases")
        return assignments(tx, claimed, worker.runtime, ask.acked)

    def _give_back_soon(self, jobs: list[Assignment]) -> None:
        task = asyncio.get_running_loop().create_task(self._give_back(jobs))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)

    async def _give_back(self, jobs: list[Assignment]) -> None:
        """The poll went away while its jobs were on the way to the disk."""
        now = self._clock.now()

        def change(tx: Tx) -> None:
            runs = self._ledger.load(tx, [each.run_id for each in jobs])
            asked = {each.run_id: commands.GiveBack(job_id=each.job_id) for each in jobs}
            self._ledger.save(tx, [(run, decide(run, asked[run.id], now)) for run in runs.values()], now)

        try:
            await self._db.write(change)
        except StorageFailed as fault:
            # The reservation ends by itself a little later.
            logger.warning("jobs could not be given back", extra={"jobs": len(jobs), "error": fault.message})


def _answered(ask: Ask) -> list[Assignment]:
    return ask.answer.result() if ask.answer.done() and not ask.answer.cancelled() else []
