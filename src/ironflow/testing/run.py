"""What a test asks of a run that has ended, and of the steps of any run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ironflow.engine.errors import StepNotFound
from ironflow.features.runs.contract import RunStatus, StepType
from ironflow.sdk.client.views import Failure, Step


@dataclass(frozen=True)
class TestRun:
    """One run that a TestClient has brought to its end.

    status: completed, failed, cancelled for `cancel_at=`, or paused: for `on_exhausted="pause"`, and for a handler
    whose steps diverged. steps: in the order in which they were recorded; a step that was tried again stands there
    once, as it ended. children: runs of invoked functions that were not mocked. restarted_from: the run that
    restarted as this one.
    """

    __test__: ClassVar[bool] = False

    id: str
    function_id: str
    status: RunStatus
    output: Any = None
    error: Failure | None = None
    attempt: int = 1
    steps: list[Step] = field(default_factory=list)
    children: "list[TestRun]" = field(default_factory=list)
    restarted_from: "TestRun | None" = None

    @property
    def compensations(self) -> list[str]:
        """Names of the steps whose compensations ran, in the order in which they ran."""
        return compensated(self.steps)

    def step(self, name: str, index: int = 0) -> Step:
        """The step called `name`; index: of several with that name, from 0. Raises StepNotFound."""
        return step_named(self.steps, name, index)

    def step_output(self, name: str, index: int = 0) -> Any:
        """What that step gave; None when it failed. Raises StepNotFound."""
        return self.step(name, index).output


def step_named(steps: Sequence[Step], name: str, index: int) -> Step:
    """The step number `index` of those called `name`. Raises StepNotFound saying which steps there are."""
    found = [each for each in steps if each.name == name]
    if index >= len(found):
        which = f"only {len(found)} steps called {name!r}" if found else f"no step called {name!r}"
        there = ", ".join(dict.fromkeys(repr(each.name) for each in steps)) or "none"
        raise StepNotFound(f"The run has {which}. Its steps: {there}.")
    return found[index]


def compensated(steps: Sequence[Step]) -> list[str]:
    return [each.compensation_for or each.name for each in steps if each.step_type is StepType.COMPENSATE]
