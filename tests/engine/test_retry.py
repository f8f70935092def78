"""When a failed attempt is tried again: the table of delays, and who gets no other attempt."""

import pytest

from ironflow.engine.commands import Cancel
from ironflow.engine.effects import SetTimer
from ironflow.engine.model import ErrorValue, Policy
from ironflow.engine.retry import decide_retry_at, decide_retry_delay
from tests.engine.driver import BROKEN, HOPELESS, RunDriver


@pytest.mark.parametrize(
    ("attempt", "delay_ms"),
    [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (8, 128_000), (9, 256_000), (10, 300_000), (10_000, 300_000)],
)
def test_the_delay_doubles_with_each_attempt_up_to_its_maximum(attempt: int, delay_ms: int):
    assert decide_retry_delay(Policy(), attempt, retry_after_ms=None) == delay_ms


@pytest.mark.parametrize("attempt", [1, 2, 50, 10_000])
def test_a_factor_of_one_keeps_the_delay(attempt: int):
    assert decide_retry_delay(Policy(initial_delay_ms=700, backoff_factor=1), attempt, None) == 700


@pytest.mark.parametrize(
    ("factor", "attempt"), [(1e10, 40), (1e300, 3), (1.7976931348623157e308, 2), (2.0, 1_100), (10.0, 100_000)]
)
def test_a_power_that_no_number_holds_is_the_maximum(factor: float, attempt: int):
    assert decide_retry_delay(Policy(backoff_factor=factor), attempt, None) == 300_000


def test_a_factor_below_one_ends_at_no_delay():
    policy = Policy(initial_delay_ms=1_000, backoff_factor=0.5)
    assert [decide_retry_delay(policy, attempt, None) for attempt in (1, 2, 3, 2_000)] == [1_000, 500, 250, 0]


@pytest.mark.parametrize(
    ("retry_after_ms", "delay_ms"), [(5_000, 5_000), (1, 1), (300_000, 300_000), (9_000_000, 300_000), (0, 2_000)]
)
def test_a_hint_of_the_handler_replaces_the_backoff_within_the_maximum(retry_after_ms: int, delay_ms: int):
    assert decide_retry_delay(Policy(), 2, retry_after_ms) == delay_ms


@pytest.mark.parametrize(
    ("attempt", "error", "at"),
    [
        (1, BROKEN, 11_000),
        (2, BROKEN, 12_000),
        (3, BROKEN, None),
        (4, BROKEN, None),
        (1, HOPELESS, None),
        (1, ErrorValue(message="busy", retryable=True, retry_after_ms=30_000), 40_000),
    ],
)
def test_another_attempt_needs_a_retryable_error_and_budget(attempt: int, error: ErrorValue, at: int | None):
    assert decide_retry_at(Policy(max_attempts=3), attempt, error, now=10_000) == at


def test_a_failed_attempt_waits_for_its_delay_and_then_the_next_one_starts():
    driver = RunDriver()

    decision = driver.fail(driver.claim())

    assert (driver.run.status, driver.run.reason, driver.run.attempt) == ("waiting", "retry", 1)
    assert driver.run.next_at == driver.now + 1_000
    assert driver.run.lease is None
    assert list(decision.effects) == [SetTimer(kind="retry", due_at=driver.now + 1_000)]

    driver.later(1_000)
    driver.retry()

    assert (driver.run.status, driver.run.attempt, driver.run.next_at) == ("pending", 2, None)
    assert driver.run.lease is not None
    assert driver.run.lease.state == "ready"


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
def test_a_run_makes_exactly_as_many_attempts_as_it_may_and_then_fails(attempts: int):
    driver = RunDriver(max_attempts=attempts)
    made = 0
    while not driver.run.ended:
        driver.fail(driver.claim())
        made += 1
        driver.retry()

    assert made == attempts
    assert driver.run.status == "failed"
    assert driver.run.error == '{"message":"the card service is down","code":"DOWN","retryable":true}'


def test_with_on_exhausted_pause_the_run_waits_for_a_person():
    driver = RunDriver(max_attempts=1, on_exhausted="pause")

    decision = driver.fail(driver.claim())

    assert (driver.run.status, driver.run.reason, driver.run.ended_at) == ("paused", "exhausted", None)
    assert decision.effects == ()


@pytest.mark.parametrize("on_exhausted", ["fail", "pause"])
def test_an_error_that_is_not_retryable_fails_the_run_at_once(on_exhausted: str):
    driver = RunDriver(on_exhausted=on_exhausted)

    driver.fail(driver.claim(), HOPELESS)

    assert (driver.run.status, driver.run.attempt) == ("failed", 1)


def test_a_retry_timer_that_comes_twice_starts_one_attempt():
    driver = RunDriver()
    driver.fail(driver.claim())
    driver.retry()
    before = driver.run

    decision = driver.retry()

    assert decision.facts == ()
    assert driver.run is before


def test_a_run_that_was_cancelled_while_it_waited_is_not_retried():
    driver = RunDriver()
    driver.fail(driver.claim())
    driver.do(Cancel(cause="not wanted"))

    assert driver.retry().facts == ()
    assert driver.run.status == "cancelled"
