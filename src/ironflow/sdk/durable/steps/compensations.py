"""Undoing what a run did before it failed for good, newest first. Source: protocol/step-semantics.md 9."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import RunFailure


class Compensation(NamedTuple):
    """fn undoes the step called step_name."""

    step_name: str
    fn: Callable[[], Any]

    @property
    def name(self) -> str:
        return f"compensate:{self.step_name}"


class Compensations:
    """What a handler registered so far."""

    def __init__(self) -> None:
        self._registered: list[Compensation] = []

    def add(self, step_name: str, fn: Callable[[], Any]) -> None:
        self._registered.append(Compensation(step_name, fn))

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
