"""The table of what is a divergence."""

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.durable.job.report import Completed, Failed, RunFailure, Sleep, Yielded
from ironflow.sdk.replaying.divergence import Course, RecordedEnd, RecordedStep, decide_divergences, name_of
from ironflow.sdk.values.payload import NOTHING

COMPLETED, FAILED, RUNNING = RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.RUNNING
DONE = Completed(NOTHING)
WAITS = Yielded((Sleep(step_id="r:nap:0", step_name="nap", until=to_datetime(0)),))


def fails(error_class="ValueError"):
    return Failed(RunFailure(message="no", code="ERROR", retryable=True, error_class=error_class))


def rows(*texts):
    """Steps from texts such as `a`, `a:sleep`, and `a?` for one that is not needed."""
    found = []
    for text in texts:
        name, _, kind = text.rstrip("?").partition(":")
        found.append(RecordedStep(f"r:{name}:0", name, kind or "invoke", not text.endswith("?")))
    return found


def course(outcome, *asked, left=(), stopped=False):
    kinds = {f"r:{text.partition(':')[0]}:0": text.partition(":")[2] or "invoke" for text in asked}
    return Course(kinds, left, outcome, stopped=stopped)


@pytest.mark.parametrize(
    ("steps", "end", "met", "expected"),
    [
        (rows("a", "b"), COMPLETED, course(DONE, "a", "b"), []),
        (rows("a", "b"), COMPLETED, course(DONE, "a"), [("not_asked", "b")]),
        (rows("a", "b?"), COMPLETED, course(DONE, "a"), []),
        (rows("a", "b"), COMPLETED, course(None, "a", "new"), [("new_step", "new")]),
        (rows("a", "b"), COMPLETED, course(None, "a", "b", "new"), []),
        (rows("a", "b"), RUNNING, course(None, "a", "b", "new"), []),
        (rows("a", "b"), RUNNING, course(WAITS, "a", "b", "nap:sleep"), []),
        (rows("a", "b"), COMPLETED, course(WAITS, "a", "nap:sleep"), [("new_step", "nap")]),
        (rows("a", "b:sleep"), COMPLETED, course(None, "a", "b"), [("other_type", "b")]),
        (rows("a", "b"), COMPLETED, course(None, "a", stopped=True), []),
        (rows("a", "b"), COMPLETED, course(DONE, "a", left=("r:b:",)), []),
        (rows("a"), COMPLETED, course(fails(), "a"), [("other_outcome", "")]),
        (rows("a"), FAILED, course(DONE, "a"), [("other_outcome", "")]),
        (rows("a"), FAILED, course(fails(), "a"), []),
        (rows("a"), FAILED, course(fails("KeyError"), "a"), [("other_outcome", "")]),
        (rows("a"), FAILED, course(None, "a", "new"), []),
        (rows("a"), RUNNING, course(DONE, "a"), []),
        (rows("a", "u:compensate"), FAILED, course(fails(), "a"), [("not_asked", "u")]),
        (rows("a", "u:compensate"), FAILED, course(fails(), "a", "u:compensate"), []),
        (rows("a", "u:compensate"), FAILED, course(None, "a", "new"), []),
        (rows("a"), FAILED, course(fails(), "a", "u:compensate"), []),
        (rows("a"), RunStatus.CANCELLED, course(DONE, "a"), []),
    ],
)
def test_what_is_a_divergence(steps, end, met, expected):
    recorded = RecordedEnd(end, "ValueError" if end is FAILED else "", "no" if end is FAILED else "")

    assert [(each.kind.value, each.step) for each in decide_divergences(steps, recorded, met)] == expected


def test_a_run_under_way_whose_attempt_failed_may_fail_again():
    met = course(fails(), "a")

    assert decide_divergences(rows("a"), RecordedEnd(RUNNING, "ValueError", "no"), met) == []
    (found,) = decide_divergences(rows("a"), RecordedEnd(RUNNING), met)
    assert found.message == "The run is on its way, and the code fails: ValueError: no"


@pytest.mark.parametrize(
    ("step_id", "name"),
    [
        ("r:charge:0", "charge"),
        ("r:outer:0:inner:2:leaf:0", "leaf"),
        ("r:a\\:b:0", "a:b"),
        ("r:a\\\\b:0", "a\\b"),
        ("r:publish:orders.x:0", "publish:orders.x"),
        ("r:compensate:charge:0", "compensate:charge"),
    ],
)
def test_the_name_in_a_step_id(step_id, name):
    assert name_of(step_id) == name
