"""What is told of runs: `system.run.<id>.completed`, `system.run.<id>.step.<step>.failed`, and so on.

Decisions are kept as they are and become words only when somebody listens: the hot path pays for a list.
Source: protocol/connectrpc.md 7.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import to_datetime
from ironflow.engine import facts
from ironflow.engine.decide import Decision
from ironflow.engine.model import Run, Step
from ironflow.features.runs.rules import pause_reason, shown_status

# About what a decision keeps in memory besides its payloads.
OVERHEAD_BYTES = 2_000

# A fact that ends or begins something has a word of its own; others that clients can see are an update.
_WORDS: dict[type[facts.Fact], str] = {
    facts.RunCreated: "created",
    facts.RunResumed: "resumed",
    facts.RunCompleted: "completed",
    facts.RunFailed: "failed",
    facts.RunCancelled: "cancelled",
}
_UPDATES = (
    facts.Leased,
    facts.LeaseLost,
    facts.JobReturned,
    facts.Waiting,
    facts.Woken,
    facts.AttemptFailed,
    facts.RetryStarted,
    facts.PauseRequested,
    facts.RunPaused,
)


class RunChanges:
    """Decisions of one save."""

    __slots__ = ("_decisions",)

    def __init__(self, decisions: list[Decision]) -> None:
        self._decisions = decisions

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


def notices_of(decision: Decision) -> Iterator[Notice]:
    """What is told of one decision, in the order in which it happened; several updates at once are one."""
    run = decision.run
    words: list[str] = []
    updated = False
    for fact in decision.facts:
        match fact:
            case facts.StepsRecorded(steps=steps):
                yield from (_of_step(run, step, step.status, fact) for step in steps)
            case facts.StepInjected(step=step):
                yield _of_step(run, step, "injected", fact)
            case facts.StepPatched(step=step):
                yield _of_step(run, step, "patched", fact)
            case _:
                word = _WORDS.get(type(fact))
                if word is not None:
                    words.append(word)
                updated = updated or isinstance(fact, _UPDATES)
    if updated and not words:
        words.append("updated")
    for word in words:
        yield Notice(run.environment, ("run", run.id, word), _run_text(run), run.updated_at)


def deleted(environment: str, run_id: str, at: int) -> Notice:
    return Notice(environment, ("run", run_id, "deleted"), write_json_text({"run_id": run_id, "runId": run_id}), at)


def _of_step(run: Run, step: Step, word: str, fact: facts.Fact) -> Notice:
    return Notice(run.environment, ("run", run.id, "step", step.step_id, word), _step_text(run, step), fact.at)


def _run_text(run: Run) -> str:
    said: dict[str, Any] = {
        **_both("run_id", run.id),
        **_both("function_id", run.function_id),
        **_both("event_id", run.event_id),
        "status": shown_status(run.status, run.reason).sent,
        "attempt": run.attempt,
        **_both("updated_at", to_datetime(run.updated_at)),
    }
    if pause_reason(run):
        said |= _both("pause_reason", pause_reason(run))
    if run.parent_run_id is not None:
        said |= _both("parent_run_id", run.parent_run_id)
    if run.cancellation_cause is not None:
        said |= _both("cancellation_cause", run.cancellation_cause)
    return write_json_text(said | _payloads(run.output, run.error))


def _step_text(run: Run, step: Step) -> str:
    said: dict[str, Any] = {
        **_both("run_id", run.id),
        **_both("function_id", run.function_id),
        **_both("step_id", step.step_id),
        "name": step.name,
        "type": step.type,
        "status": step.status,
        "attempt": step.attempt,
    }
    if step.duration_ms is not None:
        said |= _both("duration_ms", step.duration_ms)
    return write_json_text(said | _payloads(step.output, step.error))


def _payloads(output: str | None, error: str | None) -> dict[str, msgspec.Raw]:
    found = {"output": output, "error": error}
    return {name: msgspec.Raw(text.encode()) for name, text in found.items() if text is not None}


def _both(name: str, value: object) -> dict[str, object]:
    """Under the names of both styles: clients of either read it."""
    head, *rest = name.split("_")
    return {name: value, head + "".join(word.title() for word in rest): value}
