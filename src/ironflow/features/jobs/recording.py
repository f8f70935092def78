"""Recording acks and reports: those that come together are decided and written in one commit."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import StaleExecution
from ironflow.engine.facts import StateChanged
from ironflow.engine.model import EntityState, Run, Step
from ironflow.features.entities.in_tx import StateWriter
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs import report_rules, rules
from ironflow.features.jobs.enrichment import ReportEnricher
from ironflow.features.log_lines import in_tx as log_lines
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.log_lines.in_tx import Keeping, Writer
from ironflow.features.runs.in_tx import Change, LiveStep, RunRepository, StepsStarted, gather
from ironflow.features.secrets.in_tx import Vault, without_secrets
from ironflow.features.waits.in_tx import Looked, LookFurther
from ironflow.storage.port import Database, Tx


class PendingCommand(NamedTuple):
    """An ack or report that waits for the next commit. started: the steps that the report announces as running.

    logs: lines that the report takes along. looked: for events that its waits are for, before the commit.
    """

    run_id: str
    command: commands.Report | commands.Ack
    now: Millis
    started: list[LiveStep] = []
    logs: Sequence[ReportedLine] = ()
    looked: Looked | None = None


class Applied(msgspec.Struct, frozen=True):
    """What became of a command. refusal: why it was not applied. control: what the worker has to do now.

    started: what the report has started, as it is recorded. further: nothing became of it, until that was looked for.
    """

    refusal: IronflowError | None
    control: rules.Control | None
    started: tuple[Step, ...] = ()
    further: LookFurther | None = None


class ReportRecorder:
    """Decides commands of workers, and writes what comes of them. keys_of_short: of the matcher."""

    def __init__(
        self,
        db: Database,
        repository: RunRepository,
        index: FunctionIndex,
        enricher: ReportEnricher,
        vault: Vault,
        keeping: Keeping,
        states: StateWriter,
    ) -> None:
        self._db = db
        self._repository = repository
        self._index = index
        self._enricher = enricher
        self._vault = vault
        self._keeping = keeping
        self._states = states
        self.keys_of_short: Callable[[set[tuple[str, str]]], set[str]] = lambda _: set()

    async def record(self, pending: list[PendingCommand]) -> list[Applied]:
        """What became of each, in order: together one item of the commit, and again those that had to look further."""
        applied = await self._db.write_many(self._apply, pending)
        while further := [(number, each.further) for number, each in enumerate(applied) if each.further is not None]:
            for number, each in further:
                pending[number] = pending[number]._replace(looked=await each.look(self._db))
            again = await self._db.write_many(self._apply, [pending[number] for number, _ in further])
            for (number, _), result in zip(further, again, strict=True):
                applied[number] = result
        return applied

    def _apply(self, tx: Tx, requests: list[list[PendingCommand]]) -> list[list[Applied]]:
        """Acks and reports of one commit, in order, by request."""
        pending = [each for request in requests for each in request]
        runs = self._repository.load_held(tx, [each.run_id for each in pending], _steps_touched(pending))
        if self._vault.are_there or any(_invokes(each.command) for each in pending):
            # Another node may have registered functions that declare secrets, or those that are invoked.
            self._index.refresh(tx)
        changes: dict[str, Change] = {}
        applied: list[Applied] = []
        written: list[tuple[Writer, Sequence[ReportedLine]]] = []
        states: list[tuple[Run, EntityState]] = []
        freed: set[tuple[str, str]] = set()
        for each in pending:
            run = runs.get(each.run_id)
            fence = each.command.fence
            report = each.command if isinstance(each.command, commands.Report) else None
            try:
                if run is None:
                    raise StaleExecution(f"Job {fence.job_id!r} belongs to no run here. Drop the job.")
                command = each.command if report is None else self._prepared(tx, run, report, states)
                run = self.with_ends(tx, run)
                if run.open_waits and isinstance(command, commands.Report) and _closes_steps(command):
                    run = self._repository.with_open_steps(tx, run)
                if run.steps:
                    # New steps diverge from nothing, and most reports have no others.
                    run = self._enricher.with_history(tx, run, command)
                decision = decide(run, self._enricher.enriched(tx, run, command, each.now, each.looked), each.now)
            except LookFurther as further:
                applied.append(Applied(None, None, further=further))
                continue
            except StaleExecution as stale:
                applied.append(Applied(stale, rules.decide_control(run, fence.job_id)))
                continue
            except IronflowError as refusal:
                applied.append(Applied(refusal, None))
                continue
            after = decision.run
            if report is not None and report.state is not None:
                states += [(after, fact.state) for fact in decision.facts if isinstance(fact, StateChanged)]
            goes_on = report is not None and report.kind == "progress"
            if run.lease is not None and not goes_on:
                freed.add((run.environment, run.lease.worker_id))
            control = rules.decide_control(after, fence.job_id) if goes_on else None
            started = _started(after, report) if report is not None and report.yields else ()
            applied.append(Applied(None, control, started))
            if each.logs:
                written.append((self._writer(tx, run, fence), each.logs))
            if each.started:
                tx.publish_local(StepsStarted(after, each.started))
            gather(changes, run, decision)
            runs[run.id] = after
        if changes:
            self._save(tx, list(changes.values()), states, pending[-1].now)
        for key in self.keys_of_short(freed):
            tx.notify("jobs", key)
        if written:
            log_lines.keep(tx, written, self._keeping, pending[-1].now)
        answers = iter(applied)
        return [list(islice(answers, len(request))) for request in requests]

    def _save(self, tx: Tx, changes: list[Change], states: list[tuple[Run, EntityState]], now: Millis) -> None:
        """Writes the runs, then the states of entities, which go into the log; slots are locked last."""
        if not states:
            self._repository.save(tx, changes, now)
            return
        pools = self._repository.write(tx, changes, now)
        self._states.write(tx, states, now)
        self._repository.admit(tx, pools, now)

    def _writer(self, tx: Tx, run: Run, fence: commands.Fence) -> Writer:
        """The execution whose lines a report brings. run: as it was before the report."""
        function = self._index.get(run.environment, run.function_id)
        secrets = function.secrets if function is not None else ()
        texts = self._vault.recognized(tx, run.environment, secrets) if secrets else ()
        seq = fence.execution_seq
        return Writer(run.id, run.execution_seq if seq is None else seq, run.attempt, texts)

    def _prepared(
        self, tx: Tx, run: Run, report: commands.Report, states: Sequence[tuple[Run, EntityState]]
    ) -> commands.Report:
        """The report as it is decided on. states: that reports of the same commit bring."""
        if report.state is not None:
            report = _without_known_state(report, report.state, run, states)
        report = self._without_secrets(tx, run, report)
        return self._with_code_change(tx, run, report) if report.unasked_steps else report

    def _with_code_change(self, tx: Tx, run: Run, report: commands.Report) -> commands.Report:
        self._index.refresh(tx)
        function = self._index.get(run.environment, run.function_id)
        return report if function is None else report_rules.decide_code_change(report, function.on_code_change)

    def _without_secrets(self, tx: Tx, run: Run, report: commands.Report) -> commands.Report:
        """The report without the secrets that its function was given."""
        function = self._index.get(run.environment, run.function_id)
        if function is None or not function.secrets:
            return report
        return without_secrets(report, self._vault.recognized(tx, run.environment, function.secrets))

    def with_ends(self, tx: Tx, run: Run) -> Run:
        """A run that is to be cancelled with its open steps: they end with its last execution."""
        return self._repository.with_open_steps(tx, run) if run.winding_down else run


def _without_known_state(
    report: commands.Report, change: EntityState, run: Run, states: Sequence[tuple[Run, EntityState]]
) -> commands.Report:
    """The report without a state that an earlier report of the same commit brings: it is not written yet."""
    known = any(of.id == run.id and (change.number < state.number or change == state) for of, state in states)
    return replace(report, state=None) if known else report


def _started(run: Run, report: commands.Report) -> tuple[Step, ...]:
    """What a report starts and its handler goes on with, as it is recorded."""
    progress = report.kind == "progress"
    invokes = (each for each in report.yields if isinstance(each, commands.Invoke))
    asked = (each.step_id for each in invokes if each.handle or (each.asynchronous and progress))
    return tuple(run.steps[step_id] for step_id in asked if step_id in run.steps)


def _invokes(command: commands.Report | commands.Ack) -> bool:
    return isinstance(command, commands.Report) and any(isinstance(each, commands.Invoke) for each in command.yields)


def _closes_steps(report: commands.Report) -> bool:
    """Whether open steps can end with this report: because the run does, or the handler waits for them no more."""
    return report.kind in ("completed", "failed") or bool(report.cancels)


def _steps_touched(pending: list[PendingCommand]) -> dict[str, set[str]]:
    touched: dict[str, set[str]] = {}
    for each in pending:
        report = each.command
        if isinstance(report, commands.Report):
            names = touched.get(each.run_id)
            if names is None:
                names = touched[each.run_id] = set()
            # Most reports have few of them, and a loop over nothing takes less than a generator.
            for step in report.steps:
                names.add(step.step_id)
            for shown in report.progress:
                names.add(shown.step_id)
            for awaited in report.yields:
                names.add(awaited.step_id)
            for name in report.cancels:
                if not name.endswith(":"):
                    names.add(name)
            if report.kind != "progress":
                names.update(report.caused_by, report.uncompensated_steps)
    return touched
