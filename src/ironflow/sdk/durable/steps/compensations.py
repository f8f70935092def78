"""Undoing what a run did before it failed for good, newest first. Source: protocol/step-semantics.md 9."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import RunFailure
from ironflow.sdk.durable.steps.step_ids import Scope

# What a server has where compensations may wait in steps.
CLEAN_UP = "cancels-clean-up"

# The scope of the compensation whose code runs: its steps are counted by themselves, as those before it may be done.
undoing: ContextVar[Scope | None] = ContextVar("ironflow_undoing", default=None)


class Compensation(NamedTuple):
    """fn undoes the step called step_name. step_id: its own, where it is not counted among those of the run."""

    step_name: str
    fn: Callable[[], Any]
    step_id: str | None = None

    @property
    def name(self) -> str:
        return f"compensate:{self.step_name}"


class Compensations:
    """What a handler registered so far."""

    def __init__(self) -> None:
        self._registered: list[Compensation] = []

    def add(self, step_name: str, fn: Callable[[], Any]) -> None:
        self._registered.append(Compensation(step_name, fn))

    def extend(self, compensations: "list[Compensation]") -> None:
        """compensations: in the order in which they were registered."""
        self._registered += compensations

    @property
    def registered(self) -> "list[Compensation]":
        return list(self._registered)

    def undone(self, compensation: Compensation) -> None:
        """It has run, and does not run again when the run fails."""
        self._registered.remove(compensation)

    def newest_first(self) -> list[Compensation]:
        return self._registered[::-1]


def decide_compensation(failure: RunFailure, job: Assignment) -> bool:
    """Whether `failure` ends the run, as far as its worker knows: it is not to be tried again, or cannot be."""
    if failure.exhausted is True and job.on_exhausted == "pause":
        # The run is held for a person.
        return False
    attempts_used = job.on_exhausted == "fail" and 0 < job.max_attempts <= job.attempt
    return not failure.retryable or attempts_used
