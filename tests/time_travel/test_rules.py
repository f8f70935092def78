"""A recorded run at a moment is the fold of what had been recorded by then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.engine import commands
from ironflow.engine.model import Run
from ironflow.engine.recording import is_kept
from ironflow.features.time_travel.contract import RecordingExpired, RunNotRecorded, StepsNotRecorded
from ironflow.features.time_travel.rules import (
    check_recorded,
    check_steps_recorded,
    history,
    run_at,
    step_meant,
    steps_in_order,
)
from tests.engine.driver import LEASE_MS, RunDriver, step

GAPS_MS = st.lists(st.sampled_from([0, 0, 1, 500, 60_000, -3_600_000]), min_size=9, max_size=9)


def past(driver: RunDriver):
    return history(enumerate(driver.facts, start=1))


def a_driven_run(gaps_ms: list[int]) -> tuple[RunDriver, list[tuple[int, Run]]]:
    """A run that sleeps, fails once, is paused, patched, resumed and completes, with a gap before each; and what it was
    at the latest moment that its clock had shown, after each."""
    driver = RunDriver()
    seen: list[tuple[int, Run]] = []
    latest = driver.now

    def then(gap_ms: int) -> None:
        nonlocal latest
        seen.append((latest, driver.run))
        driver.later(gap_ms)
        latest = max(latest, driver.now)

    gaps = iter(gaps_ms)
    then(next(gaps))
    fence = driver.claim()
    then(next(gaps))
    driver.report(fence, "progress", step("reserve", '{"table":12}'))
    then(next(gaps))
    driver.sleep(fence, driver.now + 10**9)
    then(next(gaps))
    driver.do(commands.SleepDue("run_1:nap:0"))
    then(next(gaps))
    driver.do(commands.Pause())
    then(next(gaps))
    driver.do(commands.Patch("run_1:reserve:0", '{"table":13}', "a better table", "ann"))
    then(next(gaps))
    driver.do(commands.Resume("", None))
    then(next(gaps))
    fence = driver.claim()
    then(next(gaps))
    driver.report(fence, "completed", step("ship"), output='"done"')
    seen.append((latest, driver.run))
    return driver, seen


@given(gaps_ms=GAPS_MS)
def test_at_every_moment_the_run_is_what_it_was_then_even_when_the_clock_is_set_back(gaps_ms: list[int]):
    driver, seen = a_driven_run(gaps_ms)
    last_of_moment = dict(seen)

    assert {moment: run_at(past(driver), moment) for moment in last_of_moment} == last_of_moment


def test_between_two_facts_it_is_what_the_first_one_made_it():
    driver, seen = a_driven_run([1_000] * 9)

    assert [run_at(past(driver), moment + 999) for moment, _ in seen] == [run for _, run in seen]


def test_before_its_creation_there_is_nothing():
    driver = RunDriver()
    assert run_at(past(driver), driver.now - 1) is None
    assert run_at(past(driver), driver.now) == driver.run


def test_a_clock_that_was_set_back_does_not_reorder_what_happened():
    driver = RunDriver()
    created = driver.now
    driver.later(-3_600_000)
    driver.claim()

    assert [kept.at for kept in past(driver)] == [created, created]
    assert run_at(past(driver), created) == driver.run


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("run_1:reserve:0", "run_1:reserve:0"),
        ("reserve", "run_1:reserve:0"),
        ("step_1_1", "run_1:ship:0"),
        ("run_1:reserve:0 ", None),
        ("step_2_1", None),
        ("nothing", None),
    ],
)
def test_a_step_is_meant_by_row_id_step_id_or_name(named: str, meant: str | None):
    driver = RunDriver()
    driver.report(driver.claim(), "progress", step("reserve"), step("ship"))

    found = step_meant(driver.run, named)
    assert (found.step_id if found else None) == meant


def test_an_id_wins_over_a_step_that_has_it_for_its_name():
    driver = RunDriver()
    driver.report(driver.claim(), "progress", step("run_1:ship:0"), step("ship"))

    found = step_meant(driver.run, "run_1:ship:0")
    assert found is not None
    assert found.name == "ship"


def test_steps_are_in_the_order_of_their_sequence():
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "progress", step("second"), step_offset=5)
    driver.report(fence, "progress", step("third"))

    assert [each.name for each in steps_in_order(driver.run)] == ["second", "third"]


@pytest.mark.parametrize(
    ("recording", "kept"),
    [
        ("all", ["RunCreated", "Leased", "StepsRecorded", "LeaseRenewed", "StepsRecorded", "RunCompleted"]),
        ("steps", ["RunCreated", "Leased", "StepsRecorded", "StepsRecorded", "RunCompleted"]),
        ("run_lifecycle", ["RunCreated", "Leased", "RunCompleted"]),
        ("expired", []),
        ("", []),
    ],
)
def test_a_profile_keeps_its_facts(recording, kept: list[str]):
    driver = RunDriver()
    fence = driver.claim()
    driver.later(LEASE_MS // 2)
    driver.report(fence, "progress", step("reserve"))
    driver.report(fence, "completed", step("ship"))

    assert [type(fact).__name__ for fact in driver.facts if is_kept(fact, recording)] == kept


@pytest.mark.parametrize("recording", ["all", "steps", "run_lifecycle"])
def test_whatever_the_profile_the_status_is_known_at_every_moment(recording):
    driver, seen = a_driven_run([1_000] * 9)
    kept = history((n, fact) for n, fact in enumerate(driver.facts, start=1) if is_kept(fact, recording))

    then = [run_at(kept, moment) for moment, _ in seen]
    assert [(run.status, run.reason, run.attempt) for run in then if run] == [
        (run.status, run.reason, run.attempt) for _, run in seen
    ]


@pytest.mark.parametrize("recording", ["all", "steps"])
def test_both_profiles_that_keep_steps_know_them_at_every_moment(recording):
    driver, seen = a_driven_run([1_000] * 9)
    kept = history((n, fact) for n, fact in enumerate(driver.facts, start=1) if is_kept(fact, recording))

    then = [run_at(kept, moment) for moment, _ in seen]
    assert [run.steps for run in then if run] == [run.steps for _, run in seen]


def test_a_run_without_a_recording_is_refused_with_what_to_do():
    with pytest.raises(RunNotRecorded, match="Register the function with recording on"):
        check_recorded("run_1", "charge", "")
    with pytest.raises(RecordingExpired, match="recording_retention of function 'charge' is over"):
        check_recorded("run_1", "charge", "expired")
    check_recorded("run_1", "charge", "run_lifecycle")


def test_a_recording_without_steps_has_no_outputs_of_steps():
    with pytest.raises(StepsNotRecorded, match="recording_profile steps or all"):
        check_steps_recorded("charge", "run_lifecycle")
    check_steps_recorded("charge", "all")
