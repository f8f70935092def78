"""What a worker's word does to a run: checkpoints, ends, repetitions, and which result of a step counts."""

import pytest

from ironflow.engine.commands import Pause, Resume, SleepOver, StepReport
from ironflow.engine.effects import SetTimer
from ironflow.engine.errors import StaleExecution
from tests.engine.life import BROKEN, Life, step

SLEEP_OVER = SleepOver(step_id="run_1:nap:0")
FAILURE = '{"message":"declined","retryable":true}'


def test_a_completed_run_keeps_its_output_and_steps():
    life = Life()

    life.report(life.claim(), "completed", step("charge", '{"paid":1}'), output='{"ok":true}')

    assert (life.run.status, life.run.output, life.run.ended_at) == ("completed", '{"ok":true}', life.now)
    assert life.run.lease is None
    assert life.steps == {"charge": (0, "completed", '{"paid":1}')}


def test_an_output_that_was_not_sent_is_null():
    life = Life()
    life.report(life.claim(), "completed")
    assert life.run.output == "null"


@pytest.mark.parametrize("kind", ["completed", "failed", "yielded"])
def test_the_same_terminal_report_again_changes_nothing_and_is_no_error(kind: str):
    life = Life()
    fence = life.claim()

    def send() -> tuple[object, ...]:
        if kind == "yielded":
            return life.sleep(fence, life.now + 1_000, step("charge")).facts
        return life.report(fence, kind, step("charge"), output="1", error=BROKEN).facts

    first = send()
    before = life.run
    life.later(10)

    assert first
    assert send() == ()
    assert life.run == before


def test_a_repeated_yield_is_recognised_even_when_the_next_execution_is_under_way():
    life = Life()
    old = life.claim()
    until = life.now + 1_000
    life.sleep(old, until)
    life.later(1_000)
    life.do(SLEEP_OVER)
    life.claim()
    before = life.run

    assert life.sleep(old, until).facts == ()
    assert life.run == before


def test_another_terminal_report_than_the_first_is_refused():
    life = Life()
    fence = life.claim()
    life.report(fence, "completed", output="1")

    with pytest.raises(StaleExecution):
        life.fail(fence)

    assert life.run.status == "completed"


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
    life = Life()
    fence = life.claim()

    if together:
        life.report(fence, "progress", first, then)
    else:
        life.report(fence, "progress", first)
        life.report(fence, "progress", then)

    assert life.steps == {"charge": (0, *kept)}


def test_a_newer_failure_of_a_step_is_the_one_to_show():
    life = Life()
    fence = life.claim()
    life.report(fence, "progress", step("charge", error='{"message":"first"}', ended_at=1))
    life.report(fence, "progress", step("charge", error='{"message":"second"}', ended_at=2))

    assert life.run.steps["run_1:charge:0"].error == '{"message":"second"}'


def test_steps_resent_after_a_lost_answer_are_recorded_once():
    life = Life()
    fence = life.claim()
    life.report(fence, "progress", step("a"), step("b"))
    life.report(fence, "progress", step("a"), step("b"), step("c"))

    assert [(name, told[0]) for name, told in life.steps.items()] == [("a", 0), ("b", 1), ("c", 2)]


@pytest.mark.parametrize("adds_the_base", [True, False], ids=["offset with base", "offset within the execution"])
def test_sequences_count_on_in_later_executions_however_the_worker_counts(adds_the_base: bool):
    life = Life()
    life.report(life.claim(), "progress", step("a"), step("b"), step("c"))
    life.lose_lease()
    fence = life.claim()
    assert life.run.lease is not None
    base = life.run.lease.sequence_base
    assert base == 3

    offset = base if adds_the_base else 0
    life.report(fence, "progress", step("d"), step("e"), step("f"), step("g"), step_offset=offset)
    life.report(fence, "completed", step("h"), step("i"), step_offset=offset + 4)

    assert {name: told[0] for name, told in life.steps.items()} == dict(zip("abcdefghi", range(9), strict=True))


def test_a_sequence_above_what_is_free_is_kept():
    life = Life()
    life.report(life.claim(), "progress", step("a"), step("b"), step_offset=7)
    assert {name: told[0] for name, told in life.steps.items()} == {"a": 7, "b": 8}


def test_steps_of_a_failed_attempt_stay_for_the_next_one():
    life = Life()
    life.fail(life.claim(), BROKEN, step("charge"), step("ship", error=FAILURE))
    life.later(1_000)
    life.retry()

    life.report(life.claim(), "completed", step("ship", '"shipped"'), output="1")

    assert life.steps == {"charge": (0, "completed", '"done"'), "ship": (1, "completed", '"shipped"')}
    assert life.run.steps["run_1:ship:0"].attempt == 2


def test_a_failure_without_an_error_still_says_something():
    life = Life()
    life.report(life.claim(), "failed")
    assert life.run.status == "failed"
    assert "without an error" in (life.run.error or "")


def test_a_sleep_stores_the_step_after_those_of_its_report_and_a_timer():
    life = Life()
    until = life.now + 60_000

    decision = life.sleep(life.claim(), until, step("charge"))

    assert (life.run.status, life.run.reason, life.run.next_at) == ("waiting", "sleep", until)
    assert life.run.lease is None
    assert life.steps == {"charge": (0, "completed", '"done"'), "nap": (1, "sleeping", None)}
    assert list(decision.effects) == [SetTimer(kind="sleep", due_at=until, step_id="run_1:nap:0")]


def test_a_sleep_that_is_over_completes_its_step_and_wakes_the_run():
    life = Life()
    life.sleep(life.claim(), life.now + 60_000)
    life.later(60_000)

    life.do(SLEEP_OVER)

    assert life.steps == {"nap": (0, "completed", "null")}
    assert (life.run.status, life.run.attempt) == ("pending", 1)
    assert life.run.lease is not None
    assert life.run.lease.state == "ready"


def test_a_timer_that_comes_twice_wakes_once():
    life = Life()
    life.sleep(life.claim(), life.now + 1)
    life.later(1)
    life.do(SLEEP_OVER)
    before = life.run

    assert life.do(SLEEP_OVER).facts == ()
    assert life.run is before


@pytest.mark.parametrize("past_ms", [0, 1, 10**12])
def test_a_sleep_until_a_time_that_has_passed_wakes_at_once(past_ms: int):
    life = Life()

    decision = life.sleep(life.claim(), life.now - past_ms)

    assert life.steps == {"nap": (0, "completed", "null")}
    assert life.run.status == "pending"
    assert decision.effects == ()


def test_a_sleep_slept_already_wakes_at_once():
    life = Life()
    life.sleep(life.claim(), life.now + 1_000)
    life.later(1_000)
    life.do(SLEEP_OVER)

    decision = life.sleep(life.claim(), life.now + 1_000)

    assert life.steps == {"nap": (0, "completed", "null")}
    assert life.run.status == "pending"
    assert decision.effects == ()


def test_a_sleep_that_is_asked_for_again_keeps_its_first_end():
    life = Life()
    first = life.now + 60_000
    life.sleep(life.claim(), first)
    life.later(30_000)
    life.do(Pause())
    life.do(Resume(from_step="later", from_sequence=9))

    decision = life.sleep(life.claim(), life.now + 60_000)

    assert (life.run.status, life.run.next_at) == ("waiting", first)
    assert life.run.steps["run_1:nap:0"].sleep_until == first
    assert list(decision.effects) == [SetTimer(kind="sleep", due_at=first, step_id="run_1:nap:0")]
