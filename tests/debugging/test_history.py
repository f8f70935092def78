"""Moments, branches, differences and previews: the pure parts of both debuggers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ironflow.base.json import Json
from ironflow.debugging.branches import branch_of, branches, labels
from ironflow.debugging.changes import ABSENT, Change, differences
from ironflow.debugging.expressions import holds, rendered
from ironflow.debugging.history import History
from ironflow.debugging.preview import preview
from ironflow.features.time_travel.contract import RunState, StepState, TimelineEvent

START = datetime(2026, 1, 1, tzinfo=UTC)


def entry(fact: int, place: int, type_: str, *, step: str = "", second: int = 0, failed: bool = False) -> TimelineEvent:
    return TimelineEvent(
        id=f"aud_1_{fact}_{place}",
        event_type=type_,
        step_id=f"run_1:{step}:0" if step else "",
        step_name=step,
        summary=f"{step or 'run'} {type_.rpartition('.')[2]}",
        significant=True,
        timestamp=START + timedelta(seconds=second),
        failed=failed,
    )


def a_step(name: str, sequence: int, status: str = "completed", **more: Any) -> StepState:
    output = more.pop("output", None)
    return StepState(
        id=f"row_{sequence}",
        step_id=more.pop("step_id", f"run_1:{name}:0"),
        name=name,
        type="invoke",
        sequence=sequence,
        status=status,
        attempt=1,
        output=Json(msgspec.json.encode(output)),
        **more,
    )


def a_state(state: str, *steps: StepState) -> RunState:
    return RunState(
        run_id="run_1",
        function_id="pay",
        function_version=1,
        recording="all",
        status=state.partition(":")[0],
        state=state,
        attempt=1,
        max_attempts=3,
        event_id="evt_1",
        event_name="paid",
        steps=list(steps),
        timestamp=START,
        created_at=START,
    )


def a_history() -> History:
    return History(
        [
            entry(1, 0, "run.created"),
            entry(2, 0, "step.started", step="reserve", second=1),
            entry(2, 1, "step.completed", step="reserve", second=1),
            entry(3, 0, "step.failed", step="charge", second=2, failed=True),
            entry(4, 0, "run.status_changed", second=2, failed=True),
        ]
    )


def test_the_entries_of_one_fact_are_one_moment():
    history = a_history()

    assert [each.summary for each in history.moments] == [
        "run created", "reserve completed", "charge failed", "run status_changed",
    ]  # fmt: skip
    assert [each.failed for each in history.moments] == [False, False, True, True]
    assert [each.uncaught for each in history.moments] == [False, False, False, True]


def test_entries_that_come_later_go_on_where_the_history_ends():
    known, whole = a_history(), a_history()
    split = History(whole.entries[:2])

    assert split.add(whole.entries[2:]) == 2
    assert split.moments == known.moments


@pytest.mark.parametrize(("second", "number"), [(-1, 0), (0, 0), (1, 1), (2, 3), (99, 3)])
def test_a_time_is_the_last_moment_until_then(second: int, number: int):
    assert a_history().at(START + timedelta(seconds=second)) == number


def test_moments_are_found_by_failure_step_and_text():
    history = a_history()

    assert history.first_failure() == 2
    assert (history.of_step("charge"), history.of_step("nothing"), history.of_step("")) == (2, None, None)
    assert history.matching("RESERVE") == [1]


@pytest.mark.parametrize(
    ("step_id", "branch"),
    [
        ("run_1:fetch:0", ""),
        ("run_1:pay:2:charge:0", "pay[2]"),
        ("run_1:pay:2:inner:0:charge:1", "pay[2]/inner[0]"),
        (r"run_1:a\:b:1:charge:0", "a:b[1]"),
        ("run_1:compensate:charge:0", ""),
        ("run_1:pay:2:compensate:charge:0", "pay[2]"),
        ("run_1:pay:x:charge:0", ""),
        ("run_2:pay:2:charge:0", ""),
        ("c0ffee", ""),
        ("", ""),
    ],
)
def test_a_branch_is_read_from_a_step_id(step_id: str, branch: str):
    assert branch_of(step_id, "run_1") == branch


def test_steps_of_one_name_have_labels_of_their_own():
    steps = [
        a_step("charge", 0),
        a_step("charge", 1, step_id="run_1:charge:1"),
        a_step("charge", 2, step_id="run_1:pay:1:charge:0"),
    ]

    assert list(labels(steps, "run_1").values()) == ["charge", "charge#2", "pay[1]/charge"]
    assert branches(steps, "run_1") == ["", "pay[1]"]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, [Change("a.b", 1, 3), Change("a.c", 2, ABSENT)]),
        ([1, 2], [1, 3, 4], [Change("[1]", 2, 3), Change("[2]", ABSENT, 4)]),
        (1, True, [Change("", 1, True)]),
        ({"a": None}, {}, [Change("a", None, ABSENT)]),
        ([], {}, [Change("", [], {})]),
    ],
)
def test_differences_are_the_innermost_values_that_differ(before: Any, after: Any, found: list[Change]):
    assert list(differences(before, after)) == found


def test_a_resume_from_a_step_runs_it_and_all_later_steps_again_and_invokes_anew():
    state = a_state("failed", a_step("a", 0), a_step("b", 1, child_run_id="run_2"), a_step("c", 2, "failed"))

    found = preview(state, "resume", "run_1:b:0")
    assert ([each.name for each in found.again], [each.name for each in found.kept]) == (["b", "c"], ["a"])
    assert (found.undone_children, found.refused) == (["run_2"], "")
    assert [each.name for each in preview(state, "resume").again] == ["c"]
    assert [each.name for each in preview(state, "retry").again] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("state", "action", "refused"),
    [
        ("completed", "resume", "only paused and failed runs are resumed"),
        ("waiting: sleep", "resume", "only paused and failed runs are resumed"),
        ("paused: injection", "retry", "only failed runs are retried"),
        ("paused: injection", "resume", ""),
    ],
)
def test_a_preview_shows_why_it_cannot_be_done(state: str, action: Any, refused: str):
    found = preview(a_state(state), action).refused
    assert found.endswith(refused)
    assert bool(found) == bool(refused)


def test_large_integers_and_missing_values_do_not_stop_a_condition():
    assert holds("outputs.a > 5", {"outputs": {"a": 2**70}})
    assert not holds("outputs.b > 5", {"outputs": {"a": 2**70}})
    assert rendered("{outputs.a} {outputs.b} {1 +}", {"outputs": {"a": 7}}, str) == "7 {outputs.b} {1 +}"
