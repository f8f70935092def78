"""System notices about runs: `system.run.<id>.completed`, `system.run.<id>.step.<step>.failed`, and so on.

Decisions are kept as they are, and become notices only when a client listens: the hot path pays for a list.
Source: protocol/connectrpc.md 7.
"""

from collections.abc import Iterator
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis, to_datetime
from ironflow.engine import facts
from ironflow.engine.decide import Decision
from ironflow.engine.model import Run, RunValue, Step
from ironflow.features.runs.live import LiveStep
from ironflow.features.runs.rules import pause_reason, shown_status

# About what a decision keeps in memory besides its payloads.
OVERHEAD_BYTES = 2_000

# Types of steps that have a body: its start is published, with its end where a worker did not report it before.
_BODIES = ("invoke", "compensate")
# What a step is before it has ended.
_UNENDED: dict[str, Any] = {
    "status": "running",
    "output": None,
    "error": None,
    "duration_ms": None,
    "ended_at": None,
}


class RunChanges:
    """Decisions of one save."""

    __slots__ = ("_decisions",)

    def __init__(self, decisions: list[Decision]) -> None:
        self._decisions = decisions

    @property
    def decisions(self) -> list[Decision]:
        return self._decisions

    @property
    def weight(self) -> int:
        return len(self._decisions)

    @property
    def size_bytes(self) -> int:
        # A loop and no more: this is the hot path.
        size = OVERHEAD_BYTES * len(self._decisions)
        for decision in self._decisions:
            run = decision.run
            if run.output is not None:
                size += len(run.output)
            for step in run.steps.values():
                if step.output is not None:
                    size += len(step.output)
        return size

    def notices(self) -> list[Notice]:
        return [notice for decision in self._decisions for notice in notices_of(decision)]


class LongRuns:
    """Runs that have just had more steps than is good for them; no notice, but a line in the log."""

    weight = 0
    size_bytes = 0

    __slots__ = ("runs",)

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs

    def notices(self) -> list[Notice]:
        return []


class StepsStarted:
    """Steps whose bodies run: they are published before anything of them is recorded."""

    __slots__ = ("_run", "_steps")

    def __init__(self, run: Run, steps: list[LiveStep]) -> None:
        self._run = run
        self._steps = steps

    @property
    def weight(self) -> int:
        return len(self._steps)

    @property
    def size_bytes(self) -> int:
        return OVERHEAD_BYTES * len(self._steps)

    def notices(self) -> list[Notice]:
        return [
            _of_step(self._run, self._running(step), verb, step.started_at)
            for step in self._steps
            for verb in ("created", "started")
        ]

    def _running(self, step: LiveStep) -> Step:
        return Step(
            step_id=step.step_id,
            name=step.name,
            type=step.type,
            status="running",
            sequence=self._run.next_sequence,
            number=self._run.step_count,
            attempt=self._run.attempt,
            created_at=step.started_at,
            updated_at=step.started_at,
            started_at=step.started_at,
        )


def notices_of(decision: Decision) -> Iterator[Notice]:
    """The notices of one decision, in the order of its facts. Several updates at once are one notice.

    A fact that begins or ends a run has a verb of its own. Other facts that clients can see are an update.
    """
    run = decision.run
    verbs: list[str] = []
    updated = False
    for fact in decision.facts:
        match fact:
            case facts.StepsRecorded(steps=steps, announced=announced):
                for step in steps:
                    if step.status == "pending":
                        # The rest of a step is over; its next attempt has notices of its own.
                        continue
                    # Readers find a failing step as one that was created and never completed.
                    if step.created_at == fact.at and step.step_id not in announced:
                        yield _of_step(run, replace(step, **_UNENDED), "created", step.created_at)
                    if step.type in _BODIES and step.step_id not in announced:
                        began = replace(step, **_UNENDED)
                        yield _of_step(run, began, "started", step.started_at or fact.at)
                    yield _of_step(run, step, step.status, fact.at)
            case facts.ValuesSet(values=values):
                for value in values:
                    yield _of_value(run, value)
            case facts.StepInjected(step=step):
                yield _of_step(run, step, "injected", fact.at)
            case facts.StepPatched(step=step):
                yield _of_step(run, step, "patched", fact.at)
            case facts.RunCreated():
                verbs.append("created")
            case facts.RunResumed():
                verbs.append("resumed")
            case facts.RunCompleted():
                verbs.append("completed")
            case facts.RunFailed():
                verbs.append("failed")
            case facts.RunCancelled():
                verbs.append("cancelled")
            case (
                facts.Leased()
                | facts.LeaseLost()
                | facts.JobReturned()
                | facts.Waiting()
                | facts.Woken()
                | facts.AttemptFailed()
                | facts.RetryStarted()
                | facts.PauseRequested()
                | facts.PauseWithdrawn()
                | facts.RunPaused()
                | facts.CancelRequested()
                | facts.CompensationStarted()
            ):
                updated = True
            case (
                facts.Admitted()
                | facts.LeaseRenewed()
                | facts.StepsProgressed()
                | facts.StepsReleased()
                | facts.StepsUnasked()
                | facts.StateChanged()
                | facts.StepsDropped()
                | facts.WakeScheduled()
            ):
                # Clients do not see these.
                pass
            case _:
                assert_never(fact)
    if updated and not verbs:
        verbs.append("updated")
    for verb in verbs:
        yield Notice(run.environment, ("run", run.id, verb), _run_text(run), run.updated_at)


def deleted(environment: str, run_id: str, at: int) -> Notice:
    text = write_json_text({"id": run_id, **_both("run_id", run_id)})
    return Notice(environment, ("run", run_id, "deleted"), text, at)


def _of_step(run: Run, step: Step, verb: str, at: Millis) -> Notice:
    return Notice(run.environment, ("run", run.id, "step", step.step_id, verb), _step_text(run, step), at)


def _of_value(run: Run, value: RunValue) -> Notice:
    fields = {**_both("run_id", run.id), **_both("function_id", run.function_id), "name": value.name}
    text = write_json_text({**fields, "value": msgspec.Raw(value.value.encode())})
    return Notice(run.environment, ("run", run.id, "value", value.name), text, value.updated_at)


def _run_text(run: Run) -> str:
    fields: dict[str, Any] = {
        "id": run.id,
        **_both("run_id", run.id),
        **_both("function_id", run.function_id),
        **_both("event_id", run.event_id),
        **_both("created_at", to_datetime(run.created_at)),
        "status": shown_status(run).sent,
        "attempt": run.attempt,
        **_both("updated_at", to_datetime(run.updated_at)),
    }
    for name, at in (("started_at", run.started_at), ("ended_at", run.ended_at)):
        if at is not None:
            fields |= _both(name, to_datetime(at))
    if pause_reason(run):
        fields |= _both("pause_reason", pause_reason(run))
    if run.parent_run_id is not None:
        fields |= _both("parent_run_id", run.parent_run_id)
    if run.restarted_from is not None:
        fields |= _both("restarted_from", run.restarted_from)
    if run.restarted_as is not None:
        fields |= _both("restarted_as", run.restarted_as)
    if run.cancellation_cause is not None:
        fields |= _both("cancellation_cause", run.cancellation_cause)
    return write_json_text(fields | _payloads(run.output, run.error))


def _step_text(run: Run, step: Step) -> str:
    fields: dict[str, Any] = {
        **_both("run_id", run.id),
        **_both("function_id", run.function_id),
        **_both("step_id", step.step_id),
        "name": step.name,
        "type": step.type,
        "status": step.status,
        "attempt": step.attempt,
    }
    for name, at in (("started_at", step.started_at), ("ended_at", step.ended_at)):
        if at is not None:
            fields |= _both(name, to_datetime(at))
    if step.duration_ms is not None:
        fields |= _both("duration_ms", step.duration_ms)
    return write_json_text(fields | _payloads(step.output, step.error))


def _payloads(output: str | None, error: str | None) -> dict[str, msgspec.Raw]:
    found = {"output": output, "error": error}
    return {name: msgspec.Raw(text.encode()) for name, text in found.items() if text is not None}


def _both(name: str, value: object) -> dict[str, object]:
    """Under the names of both styles: clients of either read it."""
    head, *rest = name.split("_")
    return {name: value, head + "".join(part.title() for part in rest): value}
