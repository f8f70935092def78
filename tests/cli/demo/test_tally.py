"""The demo's counts: violated guarantees are found."""

import msgspec
import pytest

from ironflow.base.time import to_datetime
from ironflow.cli.demo.tally import CalledOutside, recorded_steps, tally
from ironflow.features.runs.contract import Run, RunStatus, Step, StepStatus, StepType

AT = to_datetime(1_767_225_600_000)
NAMES = ("reserve", "charge", "send")
FIRST, SECOND = 101, 102


def a_run(number, status=RunStatus.COMPLETED):
    return Run(
        id=f"run_{number}", function_id="f", event_id="e", status=status, attempt=1, max_attempts=3,
        created_at=AT, updated_at=AT,
    )  # fmt: skip


def steps_of(run, names=NAMES, status=StepStatus.COMPLETED):
    return [
        Step(id=n, run_id=run.id, step_id=n, name=n, step_type=StepType.INVOKE, sequence=i, status=status)
        for i, n in enumerate(names)
    ]


def called(run, step, *whats, worker=FIRST):
    return [CalledOutside(at=0, run=run.id, step=step, what=what, worker=worker) for what in whats]


def consistent_demo():
    """Two orders that succeed, one that fails; the first worker was killed during the second."""
    one, two, bad = a_run(1), a_run(2), a_run(3, RunStatus.FAILED)
    steps = {one.id: steps_of(one), two.id: steps_of(two), bad.id: steps_of(bad, NAMES[:1])}
    calls = [call for name in NAMES for call in called(one, name, "started", "finished")]
    calls += called(two, "reserve", "started", "finished") + called(two, "charge", "started")
    at_kill = recorded_steps({one.id: steps[one.id], two.id: []})
    calls += [call for name in NAMES for call in called(two, name, "started", "finished", worker=SECOND)]
    calls += called(bad, "reserve", "started", "finished", worker=SECOND)
    calls += called(bad, "charge", "started", "refused", worker=SECOND) * 3
    return {
        "runs_of_orders": {"ord_1": ["run_1"], "ord_2": ["run_2"], "ord_3": ["run_3"]},
        "runs": [one, two, bad],
        "steps": steps,
        "calls": calls,
        "recorded_at_kill": at_kill,
        "killed": [FIRST],
        "hopeless": 1,
    }


def test_consistent_counts_have_no_fault():
    counted = tally(**consistent_demo())

    assert counted.wrong == []
    assert counted.statuses == {"completed": 2, "failed": 1}
    assert (counted.executed, counted.recorded) == (12, 7)
    assert (counted.refused, counted.cut_short, counted.repeated) == (3, 1, 1)
    assert counted.executed == counted.recorded + counted.refused + counted.cut_short + counted.repeated


def spoil_order_without_run(day):
    day["runs_of_orders"]["ord_1"] = []


def spoil_order_with_two_runs(day):
    day["runs_of_orders"]["ord_1"].append("run_9")


def spoil_run_not_ended(day):
    day["runs"][0] = msgspec.structs.replace(day["runs"][0], status=RunStatus.RUNNING)


def spoil_second_failure(day):
    day["runs"][0] = msgspec.structs.replace(day["runs"][0], status=RunStatus.FAILED)


def spoil_recorded_step_run_again(day):
    day["calls"] += called(day["runs"][0], "charge", "started", worker=SECOND)


def spoil_step_finished_twice_by_a_living_worker(day):
    day["calls"] += called(day["runs"][1], "send", "started", "finished", worker=SECOND)


def spoil_step_finished_twice_by_the_killed_worker(day):
    day["calls"] += called(day["runs"][0], "send", "started", "finished", worker=FIRST)


def spoil_recorded_step_that_never_ran(day):
    day["steps"]["run_3"] = steps_of(day["runs"][2])


def spoil_result_lost(day):
    day["steps"]["run_2"].pop()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_order_without_run, "not exactly one run, such as ord_1"),
        (spoil_order_with_two_runs, "not exactly one run, such as ord_1"),
        (spoil_run_not_ended, "1 runs have not ended, such as run_1"),
        (spoil_second_failure, "2 runs failed and 1 should have"),
        (spoil_recorded_step_run_again, "ran again after they were recorded, such as charge of run_1"),
        (spoil_step_finished_twice_by_a_living_worker, "finished twice without a crash between"),
        (spoil_step_finished_twice_by_the_killed_worker, "finished twice without a crash between"),
        (spoil_recorded_step_that_never_ran, "did not finish"),
        (spoil_result_lost, "did not finish"),
    ],
)
def test_every_violated_guarantee_is_found(spoil, complaint):
    day = consistent_demo()
    spoil(day)

    assert any(complaint in each for each in tally(**day).wrong)


def test_only_results_of_steps_that_ran_count_as_recorded():
    run = a_run(1)
    steps = steps_of(run, ["reserve"]) + steps_of(run, ["charge"], StepStatus.FAILED)
    slept = msgspec.structs.replace(steps[0], name="rest", step_type=StepType.SLEEP)

    assert recorded_steps({run.id: [*steps, slept]}) == {("run_1", "reserve")}
