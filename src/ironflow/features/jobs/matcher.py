"""The matcher hands ready jobs to waiting polls.

It looks whenever a job becomes ready, in the very transaction that made it ready where the database allows. Jobs of a
poll whose client has disconnected go back into the queue.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ironflow.base.ids import Ids
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.time import Clock, Millis
from ironflow.base.trace_context import RunTracing
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.code_versions.in_tx import Pins
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs import rules, store
from ironflow.features.jobs.claiming import Claims, Holder
from ironflow.features.jobs.contract import Assignment
from ironflow.features.jobs.rules import NO_CHANNEL, Channel, Timing, WorkerRow
from ironflow.features.runs.in_tx import RunRepository, job_key
from ironflow.features.secrets.in_tx import Vault
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx

logger = logging.getLogger(__name__)

# When another transaction had a run locked, its job is looked for again after this time.
LOOK_AGAIN_S = 0.05
# A poll that is not held is answered by the first search, or after this time if that search failed.
LOOK_S = 10.0

# Given the keys of functions with jobs that became ready, "" for any; what it returns is called after the commit. As a
# commit hook, it changes nothing before. The index of functions has been refreshed.
Taker = Callable[[Tx, set[str]], Callable[[], None] | None]


# Of pinned functions, by environment and id: the versions that live workers serve, and when each was seen first.
Served = dict[tuple[str, str], tuple[list[str], Mapping[str, Millis]]]


@dataclass(eq=False, slots=True)
class Poll:
    """A poll. fresh: there was no look for it yet. patient: it waits when there is nothing.

    short: it had no capacity once, so that jobs may be ready that it was not offered.
    """

    worker: WorkerRow
    available: int
    acked: bool
    patient: bool
    answer: asyncio.Future[list[Assignment]]
    is_there: Callable[[], bool]
    grace_ms: int = 0
    node: str = ""
    channel: Channel = NO_CHANNEL
    fresh: bool = True
    short: bool = False
    keys: set[str] = field(default_factory=set)


class Matcher(Lifecycle):
    """Waiting polls, and the jobs that are handed to them.

    Jobs of push functions are not: they are executed at their endpoints, and offered to a taker.
    """

    def __init__(
        self,
        db: Database,
        repository: RunRepository,
        index: FunctionIndex,
        ids: Ids,
        clock: Clock,
        timing: Timing,
        vault: Vault,
        log_level: str | None = None,
        tracing: RunTracing | None = None,
    ) -> None:
        self._db = db
        self._repository = repository
        self._index = index
        self.claims = Claims(repository, index, ids, timing, vault, log_level, tracing)
        self._takers: list[Taker] = []
        self._taking: list[Callable[[], bool]] = []
        self._clock = clock
        self._timing = timing
        # In order of arrival, so that the longest waiting worker is served first.
        self._polls: dict[Poll, None] = {}
        self._closed = False
        self._missed = False
        self._giving_back: set[asyncio.Task[None]] = set()
        # A job that became ready at another node costs this one no transaction while nothing here waits for jobs.
        db.run_in_commit("jobs", self._hand_out, lambda: bool(self._polls) or any(wants() for wants in self._taking))

    def add_taker(self, taker: Taker, wants: Callable[[], bool]) -> None:
        """Offers jobs that became ready to `taker` as well, in the same transaction. wants: whether it may take any."""
        self._takers.append(taker)
        self._taking.append(wants)

    async def poll(
        self,
        worker: WorkerRow,
        available: int,
        acked: bool,
        hold_s: float,
        is_there: Callable[[], bool],
        grace_ms: int = 0,
        node: str = "",
        channel: Channel = NO_CHANNEL,
    ) -> list[Assignment]:
        """Up to `available` jobs for the worker; waits up to `hold_s` seconds for the first one.

        is_there: asked before jobs are handed out; a poll whose client has disconnected gets none.
        grace_ms: of workers that end late executions themselves. node: the incarnation that the executions end with,
        empty when they survive this server. channel: of a worker of ours.
        """
        answer: asyncio.Future[list[Assignment]] = asyncio.get_running_loop().create_future()
        poll = Poll(
            worker, available, acked, hold_s > 0 and not self._closed, answer, is_there, grace_ms, node, channel
        )
        poll.keys = {job_key(worker.environment, function_id) for function_id in worker.function_ids}
        self._polls[poll] = None
        # Under a key that no function has: only fresh asks are looked at.
        # Other nodes have nothing to do with this poll.
        self._db.notify("jobs", "?", local=True)
        try:
            async with asyncio.timeout(hold_s if hold_s > 0 else LOOK_S):
                return await poll.answer
        except TimeoutError:
            # It may have been answered when its time was just over.
            return _answered(poll)
        except asyncio.CancelledError:
            if jobs := _answered(poll):
                self._give_back_soon(jobs)
            raise
        finally:
            self._polls.pop(poll, None)

    def drain(self) -> None:
        """Answers every held poll at once, and later ones without holding them: the server is about to stop."""
        self._closed = True
        for poll in list(self._polls):
            if not poll.fresh and not poll.answer.done():
                poll.answer.set_result([])

    def end_before(self, environment: str, worker_id: str, channel: Channel) -> None:
        """Ends held polls of the same process with lower numbers: nothing is there to read their answers."""
        for poll in list(self._polls):
            of_worker = (poll.worker.environment, poll.worker.id) == (environment, worker_id)
            if of_worker and poll.channel.incarnation == channel.incarnation and poll.channel.number < channel.number:
                self._polls.pop(poll, None)
                if not poll.answer.done():
                    poll.answer.set_result([])

    def keys_of_short(self, workers: set[tuple[str, str]]) -> set[str]:
        """Keys to notify when leases of these workers, by environment and id, have ended: those of their short polls.

        A worker may count fewer jobs than the server, which waits for a job that was dropped until its lease ends.
        """
        return {
            min(poll.keys)
            for poll in list(self._polls)
            if poll.short and poll.keys and (poll.worker.environment, poll.worker.id) in workers
        }

    def waiting(self) -> int:
        return len(self._polls)

    def _hand_out(self, tx: Tx, keys: set[str]) -> Callable[[], None] | None:
        """Changes no poll: it may be run again, or its transaction may fail. `answer` runs after the commit."""
        looked_at: list[tuple[Poll, list[Assignment]]] = []
        if self._polls or self._takers:
            # Once for all of them.
            self._index.refresh(tx)
        served: Served = {}
        # A copy: on PostgreSQL this runs in a thread while polls come and go.
        for poll in list(self._polls):
            if poll.fresh or keys & poll.keys or "" in keys:
                jobs = self._claim(tx, poll, keys, served) if poll.is_there() else []
                if jobs or poll.fresh:
                    looked_at.append((poll, jobs))
        taken = [done for taker in self._takers if (done := taker(tx, keys)) is not None]
        missed, self._missed = self._missed, False
        if not looked_at and not missed and not taken:
            return None

        def answer() -> None:
            for done in taken:
                done()
            if missed and not self._closed:
                look_again = partial(self._db.notify, "jobs", local=True)
                asyncio.get_running_loop().call_later(LOOK_AGAIN_S, look_again)
            for poll, jobs in looked_at:
                poll.fresh = False
                if jobs or not poll.patient:
                    if self._polls.pop(poll, "absent") is None and not poll.answer.done():
                        poll.answer.set_result(jobs)
                    elif jobs:
                        self._give_back_soon(jobs)

        return answer

    def _claim(self, tx: Tx, poll: Poll, keys: set[str], served: Served) -> list[Assignment]:
        """keys: of functions with jobs that became ready; other functions have no new jobs. served: read so far."""
        worker = poll.worker
        capacity = rules.decide_grant(worker.jobs_max, store.unfinished(tx, worker), poll.available)
        if not capacity:
            poll.short = True
            return []
        functions = list(worker.function_ids)
        if not (poll.fresh or poll.short or "" in keys):
            functions = [each for each in functions if job_key(worker.environment, each) in keys]
        functions = [each for each in functions if self._can_be_handed(worker, each)]
        now = self._clock.now()
        if any(self._is_pinned(worker, each) for each in functions):
            # Most polls find no job, and need not know which versions others serve.
            functions = store.ready_of(tx, worker.environment, functions)
        pins = self._pins(tx, worker, functions, now, served)
        run_ids = store.ready(tx, worker, functions, capacity, now - self._timing.actor_ms, pins)
        if not run_ids:
            return []
        holder = Holder(
            worker.id,
            worker.runtime,
            poll.acked,
            self._timing.lease_ms,
            ours=poll.acked,
            grace_ms=poll.grace_ms,
            node=poll.node,
            channel=poll.channel,
        )
        jobs, missed = self.claims.claim(tx, holder, run_ids, now, {each: pins[each].version for each in pins})
        # Another transaction that has a run locked may wait for the job that this one has locked.
        self._missed |= missed
        return jobs

    def _is_pinned(self, worker: WorkerRow, function_id: str) -> bool:
        function = self._index.get(worker.environment, function_id)
        return function is not None and function.on_code_change == "pin"

    def _pins(self, tx: Tx, worker: WorkerRow, functions: list[str], now: Millis, served: Served) -> dict[str, Pins]:
        """Which runs of its pinned functions the worker may have. served: what was read for others in this commit."""
        pins: dict[str, Pins] = {}
        for function_id in functions:
            if not self._is_pinned(worker, function_id):
                continue
            function_key = worker.environment, function_id
            if function_key not in served:
                versions = store.versions_served(tx, *function_key, now - self._timing.evict_ms)
                served[function_key] = versions, code_versions.first_seen(tx, *function_key)
            own = worker.code_versions.get(function_id, "")
            pins[function_id] = code_versions.decide_pins(own, *served[function_key])
        return pins

    def _can_be_handed(self, worker: WorkerRow, function_id: str) -> bool:
        """Whether the worker may have jobs of a function that it serves."""
        function = self._index.get(worker.environment, function_id)
        if function is None:
            return True
        if function.is_push or rules.missing_labels(worker.labels, function.labels):
            return False
        return self.claims.has_secrets(function)

    def _give_back_soon(self, jobs: list[Assignment]) -> None:
        task = asyncio.get_running_loop().create_task(self._give_back(jobs))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)

    async def _give_back(self, jobs: list[Assignment]) -> None:
        """Returns jobs to the queue whose poll was cancelled during the commit."""
        now = self._clock.now()

        def change(tx: Tx) -> None:
            runs = self._repository.load(tx, [each.run_id for each in jobs])
            asked = {each.run_id: commands.GiveBack(job_id=each.job_id) for each in jobs}
            self._repository.save(tx, [(run, decide(run, asked[run.id], now)) for run in runs.values()], now)

        try:
            await self._db.write(change)
        except STORAGE_FAULTS as fault:
            # The reservation ends by itself a little later.
            logger.warning("jobs could not be given back", extra={"jobs": len(jobs), "error": fault.message})


def _answered(poll: Poll) -> list[Assignment]:
    return poll.answer.result() if poll.answer.done() and not poll.answer.cancelled() else []
