"""Held requests of workers that learn at once which of their jobs were taken from them.

A worker keeps one such request open, also while it has no free slot. What was revoked before the request came is found
in the database; what is revoked while it is held arrives by the notification of the transaction that did it.
"""

import asyncio
from collections.abc import Iterable

from ironflow.base.lifecycle import Lifecycle
from ironflow.features.jobs import rules
from ironflow.features.jobs.contract import JobControl
from ironflow.features.runs.in_tx import RunRepository
from ironflow.storage.port import Database, Tx

# Jobs that end together, such as those of a bulk cancel, go into one answer.
GATHER_S = 0.005


class _Held:
    """A held request, and the job ids that were revoked since it came."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.woken = asyncio.Event()


class Revocations(Lifecycle):
    """The held requests, by environment and worker."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._held: dict[str, set[_Held]] = {}
        self._closed = False

    async def wait(self, environment: str, worker_id: str, job_ids: Iterable[str], hold_s: float) -> list[JobControl]:
        """The jobs of the worker that are its no more or that it is to end, as soon as there is one.

        Empty after `hold_s` seconds. job_ids: the jobs that it holds now. Jobs that it takes while the request is held
        are answered as well.
        """
        worker = f"{environment}/{worker_id}"
        held = _Held()
        # Before the look: what is revoked in between wakes it.
        self._held.setdefault(worker, set()).add(held)
        try:
            over = await self._look(set(job_ids))
            if not over and hold_s and not self._closed:
                over = await self._next(held, hold_s)
            return over
        finally:
            self._held[worker].discard(held)
            if not self._held[worker]:
                del self._held[worker]

    async def _next(self, held: _Held, hold_s: float) -> list[JobControl]:
        try:
            async with asyncio.timeout(hold_s):
                await held.woken.wait()
        except TimeoutError:
            return []
        if not self._closed:
            await asyncio.sleep(GATHER_S)
        return await self._look(held.revoked)

    async def _look(self, job_ids: set[str]) -> list[JobControl]:
        if not job_ids:
            return []

        def look(tx: Tx) -> list[JobControl]:
            runs = RunRepository.look(tx, [rules.run_id_of(job_id) for job_id in job_ids])
            controls = ((each, rules.decide_control(runs.get(rules.run_id_of(each)), each)) for each in sorted(job_ids))
            # A requested pause takes effect with the next report.
            return [JobControl(job_id=each, control=control) for each, control in controls if control not in _GO_ON]

        return await self._db.read(look)

    def on_revoked(self, keys: set[str]) -> None:
        """Jobs were taken from their workers. keys: as `revoked_key` makes them."""
        for key in keys:
            worker, _, job_id = key.rpartition("/")
            for held in self._held.get(worker, ()):
                held.revoked.add(job_id)
                held.woken.set()

    def drain(self) -> None:
        """Answers what is held: the server is about to stop."""
        self._closed = True
        for requests in self._held.values():
            for held in requests:
                held.woken.set()


_GO_ON = (None, "pause")
