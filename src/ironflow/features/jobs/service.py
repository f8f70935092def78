"""What happens between workers and the queue."""

import math
from itertools import islice
from typing import Any, NamedTuple

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.time import Clock, Millis, to_datetime
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import StaleExecution
from ironflow.features.jobs import contract, rules, store
from ironflow.features.jobs.desk import Desk
from ironflow.features.jobs.informing import Informer
from ironflow.features.jobs.notices import worker_notice
from ironflow.features.jobs.rules import Timing, WorkerRow
from ironflow.features.runs.ledger import Change, Ledger, gather
from ironflow.storage.port import Database, Tx

# A worker's row is read again after this long, in case another node registered it anew.
KNOWN_MS = 5_000
# How many workers are kept in mind at most; the rest is in the database.
KNOWN_MAX = 10_000
# A poll is a sign of life; it is written down at most this often.
SEEN_EVERY_MS = 10_000
OK = contract.WorkerStatus(status="ok")


class _Word(NamedTuple):
    """A command of an execution, waiting for the next commit."""

    run_id: str
    command: commands.Report | commands.Ack
    now: Millis


class Jobs:
    """The jobs room. bytes_max: the largest output of a step or run that is accepted."""

    def __init__(
        self, db: Database, ledger: Ledger, informer: Informer, ids: Ids, clock: Clock, timing: Timing, bytes_max: int
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._informer = informer
        self._timing = timing
        self._output_bytes_max = bytes_max
        self.desk = Desk(db, ledger, ids, clock, timing)
        self._known: dict[tuple[str, str], tuple[WorkerRow, Millis]] = {}
        self._seen: dict[tuple[str, str], Millis] = {}
        self._apply_words = self._apply

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.register: self.register,
            contract.heartbeat: self.heartbeat,
            contract.poll: self.poll,
            contract.ack: self.ack,
            contract.update: self.update,
            contract.report: self.report,
            contract.list_workers: self.list_workers,
        }

    async def register(self, call: Call, request: contract.RegisterWorker) -> contract.WorkerStatus:
        await self.admit(call, request, "polling")
        return OK

    async def admit(self, call: Call, request: contract.RegisterWorker, transport: str) -> WorkerRow:
        """Registers a worker that is reached by `transport`. Raises InvalidWorker."""
        rules.check_worker_id(request.worker)
        if not request.function_ids:
            raise contract.InvalidWorker(f"Worker {request.worker!r} lists no functions. Send function_ids.")
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
        )

        def change(tx: Tx) -> None:
            store.save_worker(tx, worker)
            about = {"hostname": worker.hostname, "functionIds": worker.function_ids, "transport": worker.transport}
            tx.tell(worker_notice(worker.environment, worker.id, "registered", about, call.now))

        await self._db.write(change)
        place = (call.environment, worker.id)
        self._known[place] = (worker, call.now)
        self._seen[place] = call.now
        return worker

    async def heartbeat(self, call: Call, request: contract.Heartbeat) -> contract.WorkerStatus:
        await self._worker(call, request.worker)
        await self.renew(call, request.worker, [job.job_id for job in request.jobs])
        return OK

    async def renew(self, call: Call, worker_id: str, job_ids: list[str]) -> dict[str, rules.LeaseSight]:
        """A sign of life of a worker with these jobs; what became of the lease of each."""
        listed = {rules.run_id_of(job_id): job_id for job_id in job_ids}

        def change(tx: Tx) -> dict[str, rules.LeaseSight]:
            store.mark_seen(tx, call.environment, worker_id, call.now)
            runs = self._ledger.load(tx, list(listed)) if listed else {}
            changes: list[Change] = []
            for run in runs.values():
                renew = commands.Renew(listed[run.id], worker_id, self._timing.lease_ms)
                changes.append((run, decide(run, renew, call.now)))
            self._ledger.save(tx, changes, call.now)
            return {job_id: rules.lease_sight(runs.get(run_id), job_id) for run_id, job_id in listed.items()}

        sights = await self._db.write(change)
        self._seen[call.environment, worker_id] = call.now
        return sights

    async def give_back(self, call: Call, job_id: str) -> None:
        """A worker that cannot take a job: it goes back into the queue, and no attempt is used."""

        def change(tx: Tx) -> None:
            run = self._ledger.load(tx, [rules.run_id_of(job_id)]).get(rules.run_id_of(job_id))
            if run is not None:
                self._ledger.save(tx, [(run, decide(run, commands.GiveBack(job_id=job_id), call.now))], call.now)

        await self._db.write(change)

    async def lost(self, call: Call, job_id: str) -> None:
        """The worker that had the job has it no more: its lease is over now."""

        def change(tx: Tx) -> None:
            run = self._ledger.load(tx, [rules.run_id_of(job_id)]).get(rules.run_id_of(job_id))
            if run is not None:
                expired = commands.LeaseExpired(losses_max=self._timing.losses_max, job_id=job_id)
                self._ledger.save(tx, [(run, decide(run, expired, call.now))], call.now)

        await self._db.write(change)

    async def poll(self, call: Call, request: contract.PollJobs) -> contract.Assignments:
        worker = await self._worker(call, request.worker)
        await self._mark_seen(call, worker.id)
        hold_s = min(request.wait, rules.POLL_HOLD_S_MAX)
        jobs = await self.desk.ask(worker, request.available, request.acked, hold_s, call.is_there)
        return contract.Assignments(jobs=jobs, held_s=math.ceil(hold_s) or None)

    async def ack(self, call: Call, request: contract.AckJob) -> contract.WorkerStatus:
        fence = commands.Fence(request.job, request.execution_seq, request.lease_token)
        word = _Word(rules.run_id_of(request.job), commands.Ack(fence, self._timing.lease_ms), call.now)
        await self._say(word)
        return OK

    async def update(self, call: Call, request: contract.UpdateJob) -> contract.WorkerStatus:
        await self._say(self._word(call, request))
        return OK

    async def report(self, call: Call, request: contract.Reports) -> contract.Verdicts:
        said: list[_Word | IronflowError] = []
        for each in request.reports:
            try:
                said.append(self._word(call, each))
            except IronflowError as refusal:
                said.append(refusal)
        words = [each for each in said if isinstance(each, _Word)]
        # They are one item of the commit, so that they need no task for each.
        answers = iter(await self._db.write_many(self._apply_words, words) if words else ())
        verdicts: list[contract.Verdict] = []
        for asked, each in zip(request.reports, said, strict=True):
            refused = next(answers) if isinstance(each, _Word) else each
            verdicts.append(_verdict(asked.job, refused))
        return contract.Verdicts(results=verdicts)

    async def list_workers(self, call: Call, request: contract.ListWorkers) -> contract.Workers:
        oldest = call.now - self._timing.evict_ms

        def look(tx: Tx) -> tuple[list[WorkerRow], dict[str, int]]:
            found = store.workers_after(tx, call.environment, request.cursor, request.limit, oldest)
            return found, store.active_by_worker(tx, call.environment)

        found, active = await self._db.read(look)
        workers = [_worker_message(each, active.get(each.id, 0)) for each in found]
        more = found[-1].id if len(found) == request.limit else None
        return contract.Workers(workers=workers, count=len(workers), next_cursor=more)

    def _word(self, call: Call, request: contract.UpdateJob) -> _Word:
        """Raises InvalidReport, OutputTooLarge."""
        command = rules.report_of(request, self._timing.lease_ms, self._output_bytes_max, call.now)
        return _Word(rules.run_id_of(request.job), command, call.now)

    async def _say(self, word: _Word) -> None:
        (refused,) = await self._db.write_many(self._apply_words, [word])
        if refused is not None:
            raise refused

    def _apply(self, tx: Tx, said: list[list[_Word]]) -> list[list[IronflowError | None]]:
        """Acks and reports of one commit, in order, by request; None or the refusal of each."""
        words = [word for each in said for word in each]
        runs = self._ledger.load(tx, [word.run_id for word in words], _steps_touched(words))
        changes: dict[str, Change] = {}
        answers: list[IronflowError | None] = []
        for word in words:
            run = runs.get(word.run_id)
            try:
                if run is None:
                    raise StaleExecution(f"Job {word.command.fence.job_id!r} belongs to no run here. Drop the job.")
                run = self._informer.with_history(tx, run, word.command)
                decision = decide(run, self._informer.informed(tx, run, word.command, word.now), word.now)
            except IronflowError as refusal:
                answers.append(refusal)
                continue
            answers.append(None)
            gather(changes, run, decision)
            runs[run.id] = decision.run
        if changes:
            self._ledger.save(tx, list(changes.values()), words[-1].now)
        answered = iter(answers)
        return [list(islice(answered, len(each))) for each in said]

    async def _worker(self, call: Call, worker_id: str) -> WorkerRow:
        place = (call.environment, worker_id)
        known = self._known.get(place)
        if known is not None and call.now - known[1] < KNOWN_MS:
            return known[0]
        worker = await self._db.peek(lambda tx: store.worker(tx, call.environment, worker_id))
        if worker is None:
            self._known.pop(place, None)
            raise contract.WorkerNotFound(
                f"There is no worker {worker_id[:140]!r} in environment {call.environment!r}. Register it again."
            )
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
            self._seen.clear()
        self._known[place] = (worker, call.now)
        return worker

    async def _mark_seen(self, call: Call, worker_id: str) -> None:
        place = (call.environment, worker_id)
        if call.now - self._seen.get(place, 0) >= SEEN_EVERY_MS:
            self._seen[place] = call.now
            await self._db.write(lambda tx: store.mark_seen(tx, call.environment, worker_id, call.now))


def _verdict(job_id: str, refused: IronflowError | None) -> contract.Verdict:
    if refused is None:
        return contract.Verdict(job_id=job_id, status="ok")
    return contract.Verdict(job_id=job_id, status="refused", error=refused.code, message=refused.message)


def _steps_touched(words: list[_Word]) -> dict[str, set[str]]:
    touched: dict[str, set[str]] = {}
    for word in words:
        if isinstance(word.command, commands.Report):
            names = touched.setdefault(word.run_id, set())
            names.update(step.step_id for step in word.command.steps)
            if word.command.yielded is not None:
                names.add(word.command.yielded.step_id)
    return touched


def _worker_message(worker: WorkerRow, active: int) -> contract.Worker:
    return contract.Worker(
        id=worker.id,
        hostname=worker.hostname,
        function_ids=list(worker.function_ids),
        active_jobs=active,
        max_concurrent=worker.jobs_max,
        labels=worker.labels,
        version=contract.WorkerVersion(sdk=worker.sdk, runtime=worker.runtime),
        transport=worker.transport,
        registered_at=to_datetime(worker.registered_at),
        last_heartbeat=to_datetime(worker.seen_at),
    )
