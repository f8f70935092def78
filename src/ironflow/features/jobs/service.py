"""The operations of workers: register, poll, ack, report."""

import logging
import math
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.time import Clock, Millis, to_datetime
from ironflow.base.trace_context import RunTracing
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Step
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs import contract, report_rules, rules, sightings, store
from ironflow.features.jobs.matcher import Matcher
from ironflow.features.jobs.recording import Applied, PendingCommand, ReportRecorder
from ironflow.features.jobs.revocations import Revocations
from ironflow.features.jobs.rules import Timing as Timing
from ironflow.features.jobs.rules import WorkerRow
from ironflow.features.log_lines.in_tx import Keeping
from ironflow.features.runs.in_tx import Change, LiveSteps, RunRepository, revoked_key
from ironflow.features.secrets.in_tx import Vault
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

# A worker's row is read again after this long, in case another node registered it anew.
KNOWN_MS = 5_000
# The most workers that are cached.
KNOWN_MAX = 10_000
# A poll shows that the worker is alive; this is stored at most this often.
SEEN_EVERY_MS = 10_000
# Leases that are ended in one transaction.
LOST_AT_ONCE = 500
# The most ids of runs that are logged with jobs that never arrived.
SHOWN = 10
OK = contract.WorkerStatus(status="ok")


class Jobs:
    """The jobs feature. bytes_max: the largest output of a step or run that is accepted."""

    def __init__(
        self,
        db: Database,
        repository: RunRepository,
        index: FunctionIndex,
        recorder: ReportRecorder,
        ids: Ids,
        clock: Clock,
        timing: Timing,
        live: LiveSteps,
        bytes_max: int,
        vault: Vault,
        keeping: Keeping,
        tracing: RunTracing | None = None,
    ) -> None:
        self._db = db
        self._repository = repository
        self._recorder = recorder
        self._timing = timing
        self._live = live
        self._output_bytes_max = bytes_max
        self.revocations = Revocations(db)
        self.matcher = Matcher(db, repository, index, ids, clock, timing, vault, keeping.wanted_level, tracing)
        self._index = index
        self._known: dict[tuple[str, str], tuple[WorkerRow, Millis]] = {}
        self._seen: dict[tuple[str, str], Millis] = {}

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.register: self.register,
            contract.heartbeat: self.heartbeat,
            contract.poll: self.poll,
            contract.ack: self.ack,
            contract.update: self.update,
            contract.report: self.report,
            contract.control: self.control,
            contract.leave: self.leave,
            contract.list_workers: self.list_workers,
        }

    async def register(self, call: Call, request: contract.RegisterWorker) -> contract.WorkerStatus:
        await self.admit(call, request, "polling")
        return OK

    async def admit(self, call: Call, request: contract.RegisterWorker, transport: str) -> WorkerRow:
        """Registers a worker that is reached by `transport`. Raises InvalidWorker."""
        rules.check_worker_id(request.worker)
        rules.check_code_versions(request.code_versions)
        version = request.version or contract.WorkerVersion()
        worker = WorkerRow(
            environment=call.environment,
            id=request.worker,
            hostname=request.hostname,
            function_ids=tuple(dict.fromkeys(request.function_ids)),
            jobs_max=request.max_concurrent_jobs,
            labels=request.labels,
            sdk=version.sdk,
            runtime=version.runtime,
            transport=transport,
            registered_at=call.now,
            seen_at=call.now,
            code_versions=request.code_versions,
            registered_by=call.principal.name,
        )

        def change(tx: Tx) -> None:
            sightings.came(tx, worker, call.now)
            if worker.code_versions:
                code_versions.seen(tx, call.environment, worker.code_versions, call.now)
            store.keep_actors(tx, worker, [each for each in worker.function_ids if self._serves(worker, each)])

        await self._db.write(change)
        key = (call.environment, worker.id)
        self._known[key] = (worker, call.now)
        self._seen[key] = call.now
        return worker

    def _serves(self, worker: WorkerRow, function_id: str) -> bool:
        function = self._index.get(worker.environment, function_id)
        return function is None or not rules.missing_labels(worker.labels, function.labels)

    async def heartbeat(self, call: Call, request: contract.Heartbeat) -> contract.WorkerStatus:
        await self._worker(call, request.worker)
        rules.check_incarnation(request.incarnation)
        over = rules.Channel(request.incarnation, request.polls_before)
        await self.renew(call, request.worker, [job.job_id for job in request.jobs], over, no_loss=request.answer_lost)
        return OK

    async def renew(
        self,
        call: Call,
        worker_id: str,
        job_ids: list[str],
        before: rules.Channel = rules.NO_CHANNEL,
        *,
        no_loss: bool = False,
    ) -> dict[str, rules.LeaseSight]:
        """Renews the leases of a worker that is alive. Returns, by job, whether its lease could be renewed.

        before: the worker's other leases of earlier channels of the same process end: it has only these jobs of them.
        no_loss: an answer to it was lost, so that this counts as no loss.
        """
        listed = {rules.run_id_of(job_id): job_id for job_id in job_ids}
        if before.incarnation:
            # First: what they claim from now on is given back.
            self.matcher.end_before(call.environment, worker_id, before)

        def change(tx: Tx) -> tuple[dict[str, rules.LeaseSight], list[str]]:
            sightings.seen(tx, call.environment, worker_id, call.now)
            runs = self._repository.load_held(tx, list(listed), {}) if listed else {}
            changes: list[Change] = []
            for run in runs.values():
                renew = commands.Renew(listed[run.id], worker_id, self._timing.lease_ms)
                changes.append((run, decide(run, renew, call.now)))
            self._repository.save(tx, changes, call.now)
            sights: dict[str, rules.LeaseSight] = {}
            for run_id, job_id in listed.items():
                sights[job_id] = rules.lease_sight(runs.get(run_id), job_id)
            ended = self._end_undelivered(tx, call, worker_id, before, job_ids, no_loss) if before.incarnation else []
            return sights, ended

        sights, ended = await self._db.write(change)
        if ended:
            fields = {"environment": call.environment, "worker_id": worker_id, "run_ids": ended[:SHOWN]}
            logger.info("jobs never arrived", extra={**fields, "runs": len(ended)})
        self._seen[call.environment, worker_id] = call.now
        return sights

    def _end_undelivered(
        self, tx: Tx, call: Call, worker_id: str, before: rules.Channel, job_ids: list[str], no_loss: bool
    ) -> list[str]:
        """Ends leases of jobs that did not arrive at their worker. Returns the ids of their runs."""
        leases = store.leases_of(tx, call.environment, worker_id)
        lost = rules.decide_undelivered(leases, *before, set(job_ids))
        if not lost:
            return []
        ended = {rules.run_id_of(job_id): job_id for job_id in lost}
        changes: list[Change] = []
        for loaded in self._repository.load(tx, list(ended)).values():
            run = self._repository.with_open_steps(tx, loaded)
            expired = commands.LeaseExpired(self._timing.losses_max, ended[run.id], no_loss=no_loss)
            changes.append((run, decide(run, expired, call.now)))
        self._repository.save(tx, changes, call.now)
        return sorted(ended)

    async def give_back(self, call: Call, job_id: str) -> None:
        """Returns a job that its worker cannot take to the queue, without using an attempt."""

        def change(tx: Tx) -> None:
            run = self._repository.load(tx, [rules.run_id_of(job_id)]).get(rules.run_id_of(job_id))
            if run is not None:
                run = self._recorder.with_ends(tx, run)
                self._repository.save(tx, [(run, decide(run, commands.GiveBack(job_id=job_id), call.now))], call.now)

        await self._db.write(change)

    async def lost(self, call: Call, job_id: str) -> None:
        """Ends the lease of a job that its worker lost."""

        def change(tx: Tx) -> None:
            run = self._repository.load(tx, [rules.run_id_of(job_id)]).get(rules.run_id_of(job_id))
            if run is not None:
                run = self._repository.with_open_steps(tx, run)
                expired = commands.LeaseExpired(losses_max=self._timing.losses_max, job_id=job_id)
                self._repository.save(tx, [(run, decide(run, expired, call.now))], call.now)

        await self._db.write(change)

    async def take_over(self, node: str, now: Millis) -> None:
        """Ends the leases of executions that ended with an incarnation of a node: its streams, and its requests."""
        after = ""

        def change(tx: Tx) -> str:
            held = store.held_by_node(tx, node, after, LOST_AT_ONCE)
            runs = self._repository.load(tx, list(held)) if held else {}
            changes: list[Change] = []
            for loaded in runs.values():
                run = self._repository.with_open_steps(tx, loaded)
                losses_max = self._timing.losses_max
                expired = commands.LeaseExpired(losses_max=losses_max, job_id=held[run.id], no_loss=True)
                changes.append((run, decide(run, expired, now)))
                if run.lease is not None:
                    # One that only lost its connection for a while stops what it executes.
                    tx.notify("job_revoked", revoked_key(run.environment, run.lease))
            self._repository.save(tx, changes, now)
            return max(held, default="")

        while after := await self._db.write(change):
            pass

    async def poll(self, call: Call, request: contract.PollJobs) -> contract.Assignments:
        worker = await self._worker(call, request.worker)
        await self._mark_seen(call, worker.id)
        rules.check_incarnation(request.incarnation)
        hold_s = min(request.wait, rules.POLL_HOLD_S_MAX)
        jobs = await self.matcher.poll(
            worker,
            request.available,
            request.acked,
            hold_s,
            call.is_there,
            request.grace_ms,
            channel=rules.Channel(request.incarnation, request.number),
        )
        return contract.Assignments(jobs=jobs, held_s=math.ceil(hold_s) or None)

    async def control(self, call: Call, request: contract.WatchJobs) -> contract.JobControls:
        worker = await self._worker(call, request.worker)
        await self._mark_seen(call, worker.id)
        hold_s = min(request.wait, rules.POLL_HOLD_S_MAX)
        return contract.JobControls(jobs=await self.revocations.wait(call.environment, worker.id, request.jobs, hold_s))

    async def leave(self, call: Call, request: contract.LeaveWorker) -> contract.WorkerStatus:
        """A worker that has left already is no error. Leases that it still has end by themselves."""
        await self._db.write(lambda tx: sightings.left(tx, call.environment, request.worker, call.now))
        self._known.pop((call.environment, request.worker), None)
        self._seen.pop((call.environment, request.worker), None)
        return OK

    async def drain(self, call: Call, worker_id: str) -> None:
        """A worker that is about to leave keeps no actors."""
        await self._db.write(lambda tx: sightings.drains(tx, call.environment, worker_id, call.now))

    async def ack(self, call: Call, request: contract.AckJob) -> contract.WorkerStatus:
        fence = commands.Fence(request.job, request.execution_seq, request.lease_token)
        command = commands.Ack(fence, self._timing.lease_ms)
        await self._submit(PendingCommand(rules.run_id_of(request.job), command, call.now))
        return OK

    async def update(self, call: Call, request: contract.UpdateJob) -> contract.WorkerStatus:
        pending = self._pending_report(call, request)
        await self._submit(pending)
        self._show(pending)
        return OK

    async def report(self, call: Call, request: contract.Reports) -> contract.Verdicts:
        asked: list[PendingCommand | IronflowError] = []
        for each in request.reports:
            try:
                asked.append(self._pending_report(call, each))
            except IronflowError as refusal:
                asked.append(refusal)
        pending = [each for each in asked if isinstance(each, PendingCommand)]
        applied = iter(await self._recorder.record(pending) if pending else ())
        verdicts: list[contract.Verdict] = []
        for update, each in zip(request.reports, asked, strict=True):
            answer = next(applied) if isinstance(each, PendingCommand) else Applied(each, None)
            if isinstance(each, PendingCommand) and answer.refusal is None:
                self._show(each)
            verdicts.append(_verdict(update.job, answer))
        return contract.Verdicts(results=verdicts)

    def _show(self, pending: PendingCommand) -> None:
        """Lets people see which steps run; after the commit of a report."""
        if isinstance(pending.command, commands.Ack):
            return
        for step in pending.command.steps:
            self._live.ended(pending.run_id, step.step_id)
        for step in pending.started:
            self._live.began(pending.run_id, step)
        if pending.command.kind != "progress":
            self._live.forget(pending.run_id)

    async def list_workers(self, call: Call, request: contract.ListWorkers) -> contract.Workers:
        oldest = call.now - self._timing.evict_ms

        def look(tx: Tx) -> tuple[list[WorkerRow], dict[str, int]]:
            found = store.workers_after(tx, call.environment, request.cursor, request.limit, oldest)
            return found, store.active_by_worker(tx, call.environment)

        found, active = await self._db.read(look)
        workers = [_worker_message(each, active.get(each.id, 0)) for each in found]
        more = found[-1].id if len(found) == request.limit else None
        return contract.Workers(workers=workers, count=len(workers), next_cursor=more)

    def _pending_report(self, call: Call, request: contract.UpdateJob) -> PendingCommand:
        """Raises what `report_of` does."""
        command = report_rules.report_of(request, self._timing.lease_ms, self._output_bytes_max, call.now)
        started = report_rules.live_steps(request, call.now) if request.started and command.kind == "progress" else []
        return PendingCommand(rules.run_id_of(request.job), command, call.now, started, request.logs)

    async def _submit(self, pending: PendingCommand) -> None:
        """Raises what the command was refused with."""
        (applied,) = await self._recorder.record([pending])
        if applied.refusal is not None:
            raise applied.refusal

    async def _worker(self, call: Call, worker_id: str) -> WorkerRow:
        key = (call.environment, worker_id)
        known = self._known.get(key)
        if known is not None and call.now - known[1] < KNOWN_MS:
            return known[0]
        worker = await self._db.peek(lambda tx: store.worker(tx, call.environment, worker_id))
        if worker is None:
            self._known.pop(key, None)
            raise contract.WorkerNotFound(
                f"There is no worker {worker_id[:140]!r} in environment {call.environment!r}. Register it again."
            )
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
            self._seen.clear()
        self._known[key] = (worker, call.now)
        return worker

    async def _mark_seen(self, call: Call, worker_id: str) -> None:
        key = (call.environment, worker_id)
        if call.now - self._seen.get(key, 0) >= SEEN_EVERY_MS:
            self._seen[key] = call.now
            await self._db.write(lambda tx: sightings.seen(tx, call.environment, worker_id, call.now))


def _verdict(job_id: str, applied: Applied) -> contract.Verdict:
    refusal = applied.refusal
    if refusal is None:
        started = [_started_message(step) for step in applied.started] if applied.started else None
        return contract.Verdict(job_id=job_id, status="ok", control=applied.control, started=started)
    return contract.Verdict(
        job_id=job_id, status="refused", error=refusal.code, message=refusal.message, control=applied.control
    )


def _started_message(step: Step) -> contract.StartedRun:
    run_id = step.child_run_id
    return contract.StartedRun(step_id=step.step_id, run_id=run_id, error=step.error if run_id is None else None)


def _worker_message(worker: WorkerRow, active: int) -> contract.Worker:
    return contract.Worker(
        id=worker.id,
        hostname=worker.hostname,
        function_ids=list(worker.function_ids),
        active_jobs=active,
        max_concurrent=worker.jobs_max,
        labels=worker.labels,
        version=contract.WorkerVersion(sdk=worker.sdk, runtime=worker.runtime),
        transport="rest-polling" if worker.transport == "polling" else worker.transport,
        registered_at=to_datetime(worker.registered_at),
        last_heartbeat=to_datetime(worker.seen_at),
        registered_by=worker.registered_by or None,
    )
