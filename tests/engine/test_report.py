"""What follows from the report of a worker: checkpoints, ends, repetitions, and which result of a step counts."""

from typing import Any

import pytest

from ironflow.engine.commands import Pause, Resume, SleepDue, StepReport
from ironflow.engine.effects import SetTimer
from ironflow.engine.errors import StaleExecution
from tests.engine.driver import BROKEN, LEASE_MS, RunDriver, step

SLEEP_OVER = SleepDue(step_id="run_1:nap:0")
FAILURE = '{"message":"declined","retryable":true}'


def test_a_completed_run_keeps_its_output_and_steps():
    driver = RunDriver()

    driver.report(driver.claim(), "completed", step("charge", '{"paid":1}'), output='{"ok":true}')

    assert (driver.run.status, driver.run.output, driver.run.ended_at) == ("completed", '{"ok":true}', driver.now)
    assert driver.run.lease is None
    assert driver.steps == {"charge": (0, "completed", '{"paid":1}')}


def test_an_output_that_was_not_sent_is_null():
    driver = RunDriver()
    driver.report(driver.claim(), "completed")
    assert driver.run.output == "null"


@pytest.mark.parametrize("kind", ["completed", "failed", "yielded"])
def test_the_same_terminal_report_again_changes_nothing_and_is_no_error(kind: str):
    driver = RunDriver()
    fence = driver.claim()

    def send() -> tuple[object, ...]:
        if kind == "yielded":
            return driver.sleep(fence, driver.now + 1_000, step("charge")).facts
        return driver.report(fence, kind, step("charge"), output="1", error=BROKEN).facts

    first = send()
    before = driver.run
    driver.later(10)

    assert first
    assert send() == ()
    assert driver.run == before


def test_a_repeated_yield_is_recognised_even_when_the_next_execution_is_under_way():
    driver = RunDriver()
    old = driver.claim()
    until = driver.now + 1_000
    driver.sleep(old, until)
    driver.later(1_000)
    driver.do(SLEEP_OVER)
    driver.claim()
    before = driver.run

    assert driver.sleep(old, until).facts == ()
    assert driver.run == before


def test_another_terminal_report_than_the_first_is_refused():
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "completed", output="1")

    with pytest.raises(StaleExecution):
        driver.fail(fence)

    assert driver.run.status == "completed"


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (step("charge", '"a"'), step("charge", '"b"'), ("completed", '"a"')),
        (step("charge", '"a"'), step("charge", error=FAILURE), ("completed", '"a"')),
        (step("charge", error=FAILURE), step("charge", '"b"'), ("completed", '"b"')),
        (step("charge", error=FAILURE), step("charge", error=FAILURE), ("failed", None)),
    ],
    ids=["completed stays", "never downgraded", "completed replaces failed", "failed stays failed"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one report", "two reports"])
def test_the_first_completed_result_of_a_step_wins(
    first: StepReport, then: StepReport, kept: tuple[str, str | None], together: bool
):
    driver = RunDriver()
    fence = driver.claim()

    if together:
        driver.report(fence, "progress", first, then)
    else:
        driver.report(fence, "progress", first)
        driver.report(fence, "progress", then)

    assert driver.steps == {"charge": (0, *kept)}


def test_a_newer_failure_of_a_step_is_the_one_to_show():
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "progress", step("charge", error='{"message":"first"}', ended_at=1))
    driver.report(fence, "progress", step("charge", error='{"message":"second"}', ended_at=2))

    assert driver.run.steps["run_1:charge:0"].error == '{"message":"second"}'


def test_steps_resent_after_a_lost_answer_are_recorded_once():
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "progress", step("a"), step("b"))
    driver.report(fence, "progress", step("a"), step("b"), step("c"))

    assert [(name, row[0]) for name, row in driver.steps.items()] == [("a", 0), ("b", 1), ("c", 2)]


@pytest.mark.parametrize("adds_the_base", [True, False], ids=["offset with base", "offset within the execution"])
def test_sequences_count_on_in_later_executions_however_the_worker_counts(adds_the_base: bool):
    driver = RunDriver()
    driver.report(driver.claim(), "progress", step("a"), step("b"), step("c"))
    driver.lose_lease()
    fence = driver.claim()
    assert driver.run.lease is not None
    base = driver.run.lease.sequence_base
    assert base == 3

    offset = base if adds_the_base else 0
    driver.report(fence, "progress", step("d"), step("e"), step("f"), step("g"), step_offset=offset)
    driver.report(fence, "completed", step("h"), step("i"), step_offset=offset + 4)

    assert {name: row[0] for name, row in driver.steps.items()} == dict(zip("abcdefghi", range(9), strict=True))


def test_a_sequence_above_what_is_free_is_kept():
    driver = RunDriver()
    driver.report(driver.claim(), "progress", step("a"), step("b"), step_offset=7)
    assert {name: row[0] for name, row in driver.steps.items()} == {"a": 7, "b": 8}


def test_steps_of_a_failed_attempt_stay_for_the_next_one():
    driver = RunDriver()
    driver.fail(driver.claim(), BROKEN, step("charge"), step("ship", error=FAILURE))
    driver.later(1_000)
    driver.retry()

    driver.report(driver.claim(), "completed", step("ship", '"shipped"'), output="1")

    assert driver.steps == {"charge": (0, "completed", '"done"'), "ship": (1, "completed", '"shipped"')}
    assert driver.run.steps["run_1:ship:0"].attempt == 2


def test_a_failure_without_an_error_gets_a_message():
    driver = RunDriver()
    driver.report(driver.claim(), "failed")
    assert driver.run.status == "failed"
    assert "without an error" in (driver.run.error or "")


def test_a_sleep_stores_the_step_after_those_of_its_report_and_a_timer():
    driver = RunDriver()
    until = driver.now + 60_000

    decision = driver.sleep(driver.claim(), until, step("charge"))

    assert (driver.run.status, driver.run.reason, driver.run.next_at) == ("waiting", "sleep", until)
    assert driver.run.lease is None
    assert driver.steps == {"charge": (0, "completed", '"done"'), "nap": (1, "sleeping", None)}
    assert list(decision.effects) == [SetTimer(kind="sleep", due_at=until, step_id="run_1:nap:0")]


def test_a_sleep_that_is_over_completes_its_step_and_wakes_the_run():
    driver = RunDriver()
    driver.sleep(driver.claim(), driver.now + 60_000)
    driver.later(60_000)

    driver.do(SLEEP_OVER)

    assert driver.steps == {"nap": (0, "completed", "null")}
    assert (driver.run.status, driver.run.attempt) == ("pending", 1)
    assert driver.run.lease is not None
    assert driver.run.lease.state == "ready"


def test_a_timer_that_comes_twice_wakes_once():
    driver = RunDriver()
    driver.sleep(driver.claim(), driver.now + 1)
    driver.later(1)
    driver.do(SLEEP_OVER)
    before = driver.run

    assert driver.do(SLEEP_OVER).facts == ()
    assert driver.run is before


@pytest.mark.parametrize("past_ms", [0, 1, 10**12])
def test_a_sleep_until_a_time_that_has_passed_wakes_at_once(past_ms: int):
    driver = RunDriver()

    decision = driver.sleep(driver.claim(), driver.now - past_ms)

    assert driver.steps == {"nap": (0, "completed", "null")}
    assert driver.run.status == "pending"
    assert decision.effects == ()


def test_a_sleep_slept_already_wakes_at_once():
    driver = RunDriver()
    driver.sleep(driver.claim(), driver.now + 1_000)
    driver.later(1_000)
    driver.do(SLEEP_OVER)

    decision = driver.sleep(driver.claim(), driver.now + 1_000)

    assert driver.steps == {"nap": (0, "completed", "null")}
    assert driver.run.status == "pending"
    assert decision.effects == ()


def test_a_sleep_that_is_asked_for_again_keeps_its_first_end():
    driver = RunDriver()
    first = driver.now + 60_000
    driver.sleep(driver.claim(), first)
    driver.later(30_000)
    driver.do(Pause())
    driver.do(Resume(from_step="later", from_sequence=9))

    decision = driver.sleep(driver.claim(), driver.now + 60_000)

    assert (driver.run.status, driver.run.next_at) == ("waiting", first)
    assert driver.run.steps["run_1:nap:0"].sleep_until == first
    assert list(decision.effects) == [SetTimer(kind="sleep", due_at=first, step_id="run_1:nap:0")]


# Failures that are results.


def a_failure(**more: Any) -> StepReport:
    return step("charge", error=FAILURE, keeps_failure=True, **more)


def test_a_failure_is_kept_until_an_attempt_ends_because_of_it():
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "progress", a_failure())
    assert driver.run.steps["run_1:charge:0"].failure == "kept"

    driver.report(fence, "failed", error=BROKEN, caused_by=("run_1:charge:0", "run_1:unknown:0"))

    step_then = driver.run.steps["run_1:charge:0"]
    assert (step_then.status, step_then.failure, driver.run.status) == ("failed", "released", "waiting")


def test_an_attempt_that_ends_for_another_reason_keeps_the_failure():
    driver = RunDriver()
    driver.report(driver.claim(), "failed", a_failure(), error=BROKEN)
    assert driver.run.steps["run_1:charge:0"].failure == "kept"


def test_a_step_that_runs_anew_replaces_its_released_failure_in_the_same_millisecond():
    driver = RunDriver()
    driver.report(driver.claim(), "failed", a_failure(ended_at=7), error=BROKEN, caused_by=("run_1:charge:0",))
    driver.retry()

    driver.report(driver.claim(), "progress", a_failure(ended_at=7))

    assert driver.run.steps["run_1:charge:0"].failure == "kept"


# A pause, and the times of steps.


def test_a_pause_waits_for_the_bodies_that_run_beside_a_checkpoint():
    driver = RunDriver()
    fence = driver.claim()
    driver.do(Pause())
    driver.report(fence, "progress", step("a"), running=1)
    assert (driver.run.status, driver.run.pause_requested) == ("running", True)

    driver.report(fence, "progress", step("b"))

    assert (driver.run.status, driver.run.reason, driver.run.lease) == ("paused", "injection", None)


@pytest.mark.parametrize(
    ("started", "ended", "recorded"),
    [
        (100, 400, (100, 400)),
        (-50, 400, (0, 400)),
        (100, 1_000_000, (700, 1_000)),
        (-5_000_000, -4_999_700, (700, 1_000)),
        (400, 100, (100, 100)),
    ],
)
def test_a_steps_times_lie_within_its_execution(started: int, ended: int, recorded: tuple[int, int]):
    """In milliseconds from the start of the execution; it is reported after 1,000."""
    driver = RunDriver()
    fence, began = driver.claim(), driver.now
    if ended == 1_000_000:
        started = ended - 300
    driver.later(1_000)

    driver.report(fence, "progress", step("a", started_at=began + started, ended_at=began + ended))

    found = driver.run.steps["run_1:a:0"]
    assert (found.started_at, found.ended_at) == (began + recorded[0], began + recorded[1])


def test_a_lease_that_is_nearly_new_is_not_written_again_with_each_step():
    driver = RunDriver()
    fence = driver.claim()
    lease = driver.run.lease
    driver.later(LEASE_MS // 8 - 1)
    driver.report(fence, "progress", step("a"))
    assert driver.run.lease is lease

    driver.later(1)
    driver.report(fence, "progress", step("b"))

    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == driver.now + LEASE_MS
