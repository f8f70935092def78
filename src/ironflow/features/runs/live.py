"""Steps that run at this moment, as streaming workers tell. In memory of the node that has the worker's stream.

What is recorded is in the database; this only lets people watch.
"""

from dataclasses import dataclass

from ironflow.base.time import Millis


@dataclass(frozen=True, slots=True)
class LiveStep:
    """A step whose body runs. name: as the worker said it."""

    step_id: str
    name: str
    started_at: Millis


class LiveSteps:
    """Running steps by run."""

    def __init__(self) -> None:
        self._by_run: dict[str, dict[str, LiveStep]] = {}

    def began(self, run_id: str, step: LiveStep) -> None:
        self._by_run.setdefault(run_id, {})[step.step_id] = step

    def ended(self, run_id: str, step_id: str) -> LiveStep | None:
        """The step that was running, None when nobody said that it began."""
        steps = self._by_run.get(run_id)
        found = steps.pop(step_id, None) if steps is not None else None
        if steps is not None and not steps:
            del self._by_run[run_id]
        return found

    def forget(self, run_id: str) -> None:
        self._by_run.pop(run_id, None)

    def of(self, run_id: str) -> list[LiveStep]:
        """The running steps of a run, the longest running first."""
        return sorted(self._by_run.get(run_id, {}).values(), key=lambda step: step.started_at)
