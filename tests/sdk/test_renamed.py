"""Public names that were renamed keep their old name for one release, with a warning."""

import importlib

import pytest

from ironflow.projection import ProjectionRunner, RunnerTiming, projection
from ironflow.worker import Worker, WorkerTiming, function


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("ironflow.worker", "Pace", "WorkerTiming"),
        ("ironflow.projection", "RunnerPace", "RunnerTiming"),
        ("ironflow.testing", "World", "TimeMachine"),
        ("ironflow.testing", "WorldRun", "TimeMachineRun"),
    ],
)
def test_an_old_name_gives_the_new_class_and_warns(module: str, old: str, new: str):
    home = importlib.import_module(module)

    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is called {module}.{new} now"):
        found = getattr(home, old)

    assert found is getattr(home, new)


@function("renamed", on="renamed")
async def handler(ctx):
    return None


@projection("renamed", events=["renamed"], initial_state=dict)
def fold(state, event):
    return state


async def test_a_worker_takes_the_old_parameter_names_and_warns():
    with pytest.warns(DeprecationWarning, match="pace= is called timing= now"):
        Worker([handler], pace=WorkerTiming())
    with pytest.warns(DeprecationWarning, match="projection_pace= is called projection_timing= now"):
        Worker(projections=[fold], projection_pace=RunnerTiming())


async def test_a_projection_runner_takes_the_old_parameter_name_and_warns():
    with pytest.warns(DeprecationWarning, match="pace= is called timing= now"):
        ProjectionRunner(fold, pace=RunnerTiming())
