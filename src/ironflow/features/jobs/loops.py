"""Loops: end expired leases, remove workers that are not alive, offer jobs again to waiting polls."""

import logging
from collections import Counter

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.code_versions.in_tx import CodeVersion
from ironflow.features.jobs import rules, sightings, store
from ironflow.features.jobs.matcher import Matcher
from ironflow.features.jobs.rules import LeaseEnd, Timing, lease_end
from ironflow.features.runs.in_tx import RunRepository, revoked_key
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

BATCH = 500
# The most ids of runs that are logged with a lost worker.
SHOWN = 10
NO_VERSION = CodeVersion("", "", "")


class ReclaimLeases:
    """Ends expired leases: the function's timeout passed, or their worker did not renew them."""

    name = "leases"
    topic = "leases"
    every_ms = rules.RECLAIM_EVERY_MS
    notable = ("lost", "timed_out")

    def __init__(self, db: Database, repository: RunRepository, timing: Timing) -> None:
        self._db = db
        self._repository = repository
        self._timing = timing

    async def run_once(self, now: Millis) -> Ran:
        command = commands.LeaseExpired(losses_max=self._timing.losses_max)

        ended: list[tuple[Run, LeaseEnd]] = []

        def reclaim(tx: Tx) -> int:
            ended.clear()
            run_ids = store.expired(tx, now, BATCH)
            runs = self._repository.load(tx, run_ids, skip_locked=True) if run_ids else {}
            whole = [self._repository.with_open_steps(tx, run) for run in runs.values()]
            changes = [(run, decide(run, command, now)) for run in whole]
            self._repository.save(tx, changes, now)
            ended.extend((run, lease_end(run.lease, now)) for run, decision in changes if decision.facts and run.lease)
            store.free_actors_of(tx, [run for run, end in ended if end != "timed_out"])
            for run, _ in ended:
                if run.lease is not None:
                    tx.notify("job_revoked", revoked_key(run.environment, run.lease))
            return len(run_ids)

        taken, next_at = await run_due(self._db, store.next_expiry, reclaim, now)
        _log_lost_workers([run for run, end in ended if end == "lost"])
        return Ran(Counter[str](end for _, end in ended), more=taken == BATCH, next_at=next_at)


def _log_lost_workers(runs: list[Run]) -> None:
    """Logs one line for each worker: one that dies can lose hundreds of leases at once."""
    lost: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        if run.lease is not None:
            lost.setdefault((run.environment, run.lease.worker_id), []).append(run.id)
    for (environment, worker_id), run_ids in lost.items():
        fields = {"environment": environment, "worker_id": worker_id, "runs": len(run_ids), "run_ids": run_ids[:SHOWN]}
        logger.warning("worker lost", extra=fields)


class EvictWorkers:
    """Shows silent workers as unhealthy, and evicts those that stay silent.

    Their next poll or heartbeat revives them: some clients never register again.
    """

    name = "workers"
    every_ms = 10_000
    topic = ""
    notable = ("evicted",)

    def __init__(self, db: Database, timing: Timing) -> None:
        self._db = db
        self._timing = timing

    async def run_once(self, now: Millis) -> Ran:
        oldest = now - self._timing.evict_ms

        def evict(tx: Tx) -> tuple[int, int]:
            evicted = sightings.evicted(tx, oldest, now)
            store.forget_evicted(tx, now - rules.EVICTED_KEPT_MS)
            return evicted, sightings.fell_silent(tx, now - self._timing.silent_ms, now)

        evicted, silent = await self._db.write(evict)
        return Ran({"evicted": evicted, "silent": silent})


class ForgetVersions:
    """Forgets versions of code that no worker has served for a month and no run is pinned to, some in each round."""

    name = "code-versions"
    every_ms = 3_600_000
    topic = ""
    notable = ("forgotten",)

    def __init__(self, db: Database) -> None:
        self._db = db
        self._after = NO_VERSION

    async def run_once(self, now: Millis) -> Ran:
        def forget(tx: Tx) -> tuple[list[CodeVersion], int]:
            # Workers are known for as long after they were seen last.
            found = code_versions.unused(tx, now - rules.EVICTED_KEPT_MS, self._after, BATCH)
            known = {each: store.versions_known(tx, each) for each in {each.environment for each in found}}
            unknown = [each for each in found if (each.function_id, each.version) not in known[each.environment]]
            code_versions.forget(tx, unknown)
            return found, len(unknown)

        found, forgotten = await self._db.write(forget)
        more = len(found) == BATCH
        self._after = found[-1] if more else NO_VERSION
        return Ran({"forgotten": forgotten}, more=more)


class OfferAgain:
    """Serves waiting polls again, in case a notification of another node was lost."""

    name = "jobs-offer"
    every_ms = 2_000
    topic = ""
    notable = ()

    def __init__(self, db: Database, matcher: Matcher) -> None:
        self._db = db
        self._matcher = matcher

    async def run_once(self, now: Millis) -> Ran:
        polls = self._matcher.waiting()
        if polls:
            self._db.notify("jobs", local=True)
        return Ran({"offered": polls})
