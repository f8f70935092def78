"""What happens: jobs of push functions are claimed in the commit that made them ready, and posted; answers recorded.

Nothing is kept of an endpoint while it has no execution here. How many executions an endpoint has is counted by their
leases, and so over all nodes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ironflow.base.call import Call
from ironflow.base.errors import Unavailable
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.outgoing import Outgoing, Poster, RequestFailed
from ironflow.base.signature import HEADER, sign_request
from ironflow.base.time import Clock
from ironflow.features.endpoints import in_tx as endpoints
from ironflow.features.endpoints.in_tx import Limits
from ironflow.features.functions.in_tx import FunctionIndex, PushTarget, Startable
from ironflow.features.held_jobs.contract import PendingReport
from ironflow.features.held_jobs.service import HeldJobs
from ironflow.features.jobs.contract import Assignment, Reports, Verdicts
from ironflow.features.jobs.in_tx import Holder, WorkerRow, ready_at_endpoint, ready_of, unfinished_by
from ironflow.features.jobs.service import Jobs
from ironflow.features.push import contract, rules
from ironflow.features.push.rules import Budget, RubbishAnswer
from ironflow.features.runs.in_tx import job_key
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

# (environment, URL)
Key = tuple[str, str]
# Runs locked by another transaction are looked for again after this.
LOOK_AGAIN_S = 0.05
# Executions that are claimed for one endpoint in one transaction.
CLAIMED_AT_ONCE = 50
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class PushSettings:
    """concurrency: of each endpoint. url: where this server can be called back, asked at each request.

    node: the incarnation of this process, which its requests end with.
    """

    budget: Budget
    answer_bytes_max: int
    concurrency: int
    limits: Limits
    url: Callable[[], str]
    # The signing keys of (environment, function id): the current one first; none when requests are not signed.
    keys: Callable[[str, str], Sequence[str]]
    drain_s: float
    is_alone: bool
    node: str = ""


class _Taken(NamedTuple):
    """Jobs claimed for an endpoint. more: there may be others that are ready. troubled: its last request failed."""

    key: Key
    jobs: list[tuple[Startable, Assignment]]
    more: bool
    troubled: bool
    missed: bool


@dataclass(eq=False)
class _Endpoint:
    """The executions of this node at one endpoint; the executor of its held jobs."""

    key: Key
    push: "Push"
    functions: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    more: bool = False
    troubled: bool = False

    def __post_init__(self) -> None:
        self.held = self.push.held_jobs(self)

    def deliver(self, jobs: Sequence[Assignment]) -> None:
        """Jobs are taken by `Push`, not by the held jobs."""

    def has_capacity(self) -> bool:
        return False

    def cancel(self, job_id: str, reason: str) -> None:
        if (task := self.tasks.get(job_id)) is not None:
            task.cancel()

    def released(self, job_id: str) -> None:
        self.functions.pop(job_id, None)
        self.push.ended(self)

    async def admit(self) -> WorkerRow:
        return self.held.worker


class Push(Lifecycle):
    """The push feature."""

    def __init__(
        self, db: Database, index: FunctionIndex, jobs: Jobs, clock: Clock, poster: Poster, settings: PushSettings
    ) -> None:
        self._db, self._index, self._jobs, self._clock = db, index, jobs, clock
        self._poster, self._settings = poster, settings
        self._endpoints: dict[Key, _Endpoint] = {}
        self._closed, self._stopped = False, False
        self._losing: set[asyncio.Task[None]] = set()
        self.outcomes: Counter[str] = Counter()
        jobs.matcher.add_taker(self._take, lambda: index.has_pushed)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.report: self.report}

    async def report(self, call: Call, request: Reports) -> Verdicts:
        """Records steps of executions under way. Raises InvalidReport."""
        rules.check_reports(request)
        return await self._jobs.report(call, request)

    async def look_at(self, environment: str, url: str, timeout_s: float, bytes_max: int) -> Outgoing:
        """The endpoint's answer to a GET that is signed as executions are. Raises a kind of RequestFailed."""
        headers = {"Accept": "application/json"}
        if keys := self._settings.keys(environment, ""):
            headers[HEADER] = sign_request(b"", keys, self._clock.now() // 1000)
        return await self._poster.get(url, headers, timeout_s, bytes_max)

    def in_flight(self) -> Mapping[tuple[str, ...], float]:
        """Requests under way, by environment and endpoint."""
        return {
            (environment, endpoints.endpoint_id(url)): len(each.tasks)
            for (environment, url), each in self._endpoints.items()
        }

    # Start and end.

    async def start(self) -> None:
        """Executions of processes that have ended were taken over before, and are repeated at once.

        The functions were read before, by `ReadFunctions`.
        """
        self._db.notify("jobs", local=True)

    def drain(self) -> None:
        self._closed = True

    async def drained(self) -> None:
        """Answers that arrive within a part of the time for stopping are recorded."""
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=self._settings.drain_s)

    async def stop(self) -> None:
        self._closed = self._stopped = True
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        tasks += self._losing
        if tasks:
            await asyncio.wait(tasks)
        for endpoint in list(self._endpoints.values()):
            await endpoint.held.close((), ())
        await self._poster.close()

    def on_revoked(self, keys: set[str]) -> None:
        """Runs were cancelled, or their leases have ended: the requests are given up. keys: as of `revoked_key`."""
        for endpoint, job_id in self._called(keys):
            endpoint.tasks[job_id].cancel()

    def on_winding_down(self, keys: set[str]) -> None:
        """Runs are to be cancelled: the requests are given up, and their leases end. keys: as of `revoked_key`."""
        for endpoint, job_id in self._called(keys):
            endpoint.tasks[job_id].cancel()
            losing = asyncio.create_task(endpoint.held.lose(job_id))
            self._losing.add(losing)
            losing.add_done_callback(self._losing.discard)

    def _called(self, keys: set[str]) -> list[tuple[_Endpoint, str]]:
        """The jobs among these for which a request is under way, with their endpoints."""
        job_ids = {key.rpartition("/")[2] for key in keys}
        return [(each, job_id) for each in self._endpoints.values() for job_id in job_ids & set(each.tasks)]

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for endpoint in self._endpoints.values() for task in endpoint.tasks.values()]

    # Taking jobs.

    def _take(self, tx: Tx, keys: set[str]) -> Callable[[], None] | None:
        """Claims ready jobs, in the transaction that made them ready. It may be run again."""
        if self._closed:
            return None
        if not self._index.has_pushed:
            return None
        # In one order on all nodes, because a claim locks the endpoint until the commit.
        wanted = sorted(self._wanted(tx, keys).items())
        taken = [each for key, functions in wanted if (each := self._claim(tx, key, functions))]
        return (lambda: self._begin(taken)) if taken else None

    def _wanted(self, tx: Tx, keys: set[str]) -> dict[Key, list[Startable]]:
        """The push functions, by endpoint, that may have ready jobs."""
        found: list[Startable] = []
        if "" in keys:
            by_environment: dict[str, list[str]] = {}
            for function in self._index.pushed():
                by_environment.setdefault(function.environment, []).append(function.id)
            for environment, ids in by_environment.items():
                found += [each for id_ in ready_of(tx, environment, ids) if (each := self._index.get(environment, id_))]
        else:
            for key in keys:
                environment, _, function_id = key.partition("/")
                function = self._index.get(environment, function_id)
                if function is not None:
                    found.append(function)
        wanted: dict[Key, list[Startable]] = {}
        for function in found:
            # Without the master key, a function that needs secrets waits for it.
            if function.push is not None and self._jobs.matcher.claims.has_secrets(function):
                wanted.setdefault((function.environment, function.push.url), []).append(function)
        return wanted

    def _claim(self, tx: Tx, key: Key, functions: list[Startable]) -> _Taken | None:
        environment, url = key
        now = self._clock.now()
        worker_id = endpoints.endpoint_id(url)
        by_id = {each.id: each for each in functions}
        endpoints.lock(tx, environment, url)
        breaker = endpoints.breaker(tx, environment, url)
        if endpoints.state_of(breaker, now) == "open":
            return None
        unfinished = unfinished_by(tx, environment, worker_id)
        capacity = endpoints.decide_capacity(breaker, self._settings.concurrency, unfinished, now)
        troubled = breaker.failures > 0
        if not capacity:
            return _Taken(key, [], more=True, troubled=troubled, missed=False)
        limit = min(capacity, CLAIMED_AT_ONCE)
        ready = ready_at_endpoint(tx, environment, sorted(by_id), limit)
        if not ready:
            return None
        # Leases last as long as the requests, which may be different for each function.
        groups: dict[tuple[bool, int], list[str]] = {}
        for run_id, function_id in ready:
            target = by_id[function_id].push
            if target is not None:
                budget_ms = self._settings.budget.of(target, by_id[function_id].policy.timeout_ms)
                groups.setdefault((target.checkpoints, budget_ms), []).append(run_id)
        jobs: list[tuple[Startable, Assignment]] = []
        missed = False
        for (ours, budget_ms), run_ids in groups.items():
            lease_ms = budget_ms + rules.LEASE_MARGIN_MS
            holder = Holder(worker_id, "", acked=True, lease_ms=lease_ms, ours=ours, node=self._settings.node)
            claimed, locked = self._jobs.matcher.claims.claim(tx, holder, run_ids, now)
            jobs += [(by_id[job.function_id], job) for job in claimed]
            missed |= locked
        return _Taken(key, jobs, len(ready) == limit, troubled, missed)

    def _begin(self, taken: list[_Taken]) -> None:
        """After the commit of `_take`."""
        if self._stopped:
            # The next start of a server takes them over, as those of a process that was killed.
            return
        for each in taken:
            if not each.jobs and each.key not in self._endpoints:
                continue
            endpoint = self._endpoints.get(each.key) or _Endpoint(each.key, self)
            self._endpoints[each.key] = endpoint
            endpoint.more, endpoint.troubled = endpoint.more or each.more, endpoint.troubled or each.troubled
            for function, job in each.jobs:
                endpoint.held.hold([job.job_id])
                endpoint.functions[job.job_id] = function.id
                task = asyncio.create_task(self._execute(endpoint, function, job))
                endpoint.tasks[job.job_id] = task
            if each.missed and not self._closed:
                asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._look_again, each.key)
            elif each.more and each.jobs:
                self._look_again(each.key)

    def ended(self, endpoint: _Endpoint) -> None:
        """An execution has ended: another may begin."""
        if endpoint.more or not self._settings.is_alone:
            endpoint.more = False
            self._look_again(endpoint.key)
        if not endpoint.held.ids and not endpoint.tasks:
            self._endpoints.pop(endpoint.key, None)

    def _look_again(self, key: Key) -> None:
        if self._closed:
            return
        for function in self._index.pushed_to(*key):
            self._db.notify("jobs", job_key(function.environment, function.id), local=True)

    def held_jobs(self, endpoint: _Endpoint) -> HeldJobs:
        environment, url = endpoint.key
        now = self._clock.now()
        worker = WorkerRow(
            environment, endpoints.endpoint_id(url), url, (), self._settings.concurrency, {}, "", "", "push", now, now
        )
        return HeldJobs(self._jobs, self._clock, Call(environment, now), worker, endpoint, acked=True)

    # Executing.

    async def _execute(self, endpoint: _Endpoint, function: Startable, job: Assignment) -> None:
        try:
            report = await self._answer(endpoint, function, job)
            endpoint.tasks.pop(job.job_id, None)
            if report is None:
                # The run is paused, cancelled, or another's; a lease that is live all the same ends by itself.
                endpoint.held.release(job.job_id)
            else:
                endpoint.held.enqueue(report)
        except asyncio.CancelledError:
            self.outcomes["given up"] += 1
            endpoint.tasks.pop(job.job_id, None)
            endpoint.held.release(job.job_id)
            raise
        finally:
            endpoint.tasks.pop(job.job_id, None)

    async def _answer(self, endpoint: _Endpoint, function: Startable, job: Assignment) -> PendingReport | None:
        """The report of an execution; what its request failed with, too, is a failure of the run's attempt."""
        target = function.push
        assert target is not None
        environment = endpoint.key[0]
        try:
            budget_ms = self._settings.budget.of(target, function.policy.timeout_ms)
            body, headers = self._request(environment, target, job, budget_ms)
            bytes_max = self._settings.answer_bytes_max
            answer = await self._poster.post(target.url, headers, body, budget_ms / 1000, bytes_max)
            report = rules.decide_answer(job, answer)
        except RequestFailed as fault:
            self.outcomes[fault.code] += 1
            await self._failed(endpoint, target, job, fault)
            return rules.failed_report(job, fault)
        self.outcomes[report.ended if report is not None else "dropped"] += 1
        if endpoint.troubled:
            endpoint.troubled = False
            await self._recorded(lambda tx: endpoints.succeeded(tx, *endpoint.key, self._clock.now()))
        return report

    def _request(
        self, environment: str, target: PushTarget, job: Assignment, budget_ms: int
    ) -> tuple[bytes, dict[str, str]]:
        callback = None
        if target.checkpoints:
            url = self._settings.url() + contract.REPORTS_PATH
            callback = rules.callback_of(job, url, environment, budget_ms)
        body = rules.body_of(rules.request_of(job, callback))
        headers = _JSON | rules.trace_headers(job)
        if keys := self._settings.keys(environment, job.function_id):
            headers[HEADER] = sign_request(body, keys, self._clock.now() // 1000)
        return body, headers

    async def _failed(self, endpoint: _Endpoint, target: PushTarget, job: Assignment, fault: RequestFailed) -> None:
        """Counts the failure before it is reported: the next attempt finds the breaker as it is after it."""
        endpoint.troubled = True
        level = logging.WARNING if isinstance(fault, RubbishAnswer) else logging.INFO
        about = {"run_id": job.run_id, "endpoint": target.url, "error": fault.code, "fault": fault.message}
        logger.log(level, "push failed", extra=about)
        default = self._settings.limits
        limits = Limits(
            target.failure_threshold or default.failure_threshold,
            target.open_ms or default.open_ms,
            target.max_open_ms or default.max_open_ms,
        )
        await self._recorded(
            lambda tx: endpoints.failed(tx, *endpoint.key, limits, f"{fault.code}: {fault.message}", self._clock.now())
        )

    async def _recorded(self, change: Callable[[Tx], object]) -> None:
        try:
            await self._db.write(change)
        except Unavailable as unavailable:
            # The breaker learns of it from a later request.
            logger.warning("breaker not recorded", extra={"error": unavailable.message})
