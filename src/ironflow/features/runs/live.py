"""Steps that run at this moment, as workers report them. In memory of the node that a worker reports to.

What is recorded is in the database; this only shows what is not recorded yet.
"""

from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.engine.model import Run

# Runs whose worker died keep their entry until another execution reports; the oldest entries go first.
RUNS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class LiveStep:
    """A step whose body runs. execution_seq: of its execution, 0 where the worker does not report it."""

    step_id: str
    name: str
    type: str
    started_at: Millis
    execution_seq: int = 0


class LiveSteps:
    """Running steps by run."""

    def __init__(self) -> None:
        self._by_run: dict[str, dict[str, LiveStep]] = {}

    def began(self, run_id: str, step: LiveStep) -> None:
        if run_id not in self._by_run and len(self._by_run) >= RUNS_MAX:
            del self._by_run[next(iter(self._by_run))]
        self._by_run.setdefault(run_id, {})[step.step_id] = step

    def ended(self, run_id: str, step_id: str) -> None:
        steps = self._by_run.get(run_id)
        if steps is not None:
            steps.pop(step_id, None)
            if not steps:
                del self._by_run[run_id]

    def forget(self, run_id: str) -> None:
        self._by_run.pop(run_id, None)

    def of(self, run: Run) -> list[LiveStep]:
        """The running steps of the run's present execution, the longest running first."""
        if run.status != "running":
            return []
        steps = self._by_run.get(run.id, {}).values()
        present = [step for step in list(steps) if step.execution_seq in (0, run.execution_seq)]
        return sorted(present, key=lambda step: step.started_at)
