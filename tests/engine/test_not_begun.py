"""Executions for compensations that could not begin: the run is undone later, and does not end with nothing undone."""

import pytest
from msgspec.structs import replace

from ironflow.engine import commands
from ironflow.engine.facts import CompensationStarted
from ironflow.engine.model import ErrorValue, NotBegun, read_error, read_not_begun
from tests.engine.driver import HOPELESS, LEASE_MS, RunDriver, step

NO_KEY = ErrorValue(message="no such key", code="CANNOT_DECODE", retryable=True)
NO_FUNCTION = ErrorValue(message="this worker has no function 'charge'", code="FUNCTION_NOT_FOUND")
NO_ANSWER = ErrorValue(message="The endpoint answered 503.", code="PUSH_REFUSED", retryable=True)


def failing(driver: RunDriver, error: ErrorValue, **more: object) -> None:
    fence = driver.claim()
    report = commands.Report(fence=fence, kind="failed", lease_ms=LEASE_MS, error=error, uncompensated=True)
    for name, value in more.items():
        report = replace(report, **{name: value})
    driver.do(report)


def a_run_to_undo(**policy: object) -> RunDriver:
    driver = RunDriver(compensation_timeout_ms=60_000, **policy)
    failing(driver, HOPELESS, steps=(step("hotel"),))
    assert driver.run.compensating is not None
    return driver


def retry_now(driver: RunDriver) -> int:
    """Milliseconds that the run waited for its next execution."""
    assert driver.run.next_at is not None
    waited = driver.run.next_at - driver.now
    driver.later(waited)
    driver.do(commands.RetryDue())
    return waited


def test_each_worker_without_the_key_delays_the_undoing_and_none_ends_it():
    driver = a_run_to_undo(max_attempts=2, initial_delay_ms=400, backoff_factor=2.0, max_delay_ms=3_000)
    waited = []
    for _ in range(6):
        failing(driver, NO_KEY)
        assert (driver.run.status, driver.run.reason) == ("waiting", "retry")
        waited.append(retry_now(driver))
    assert waited == [1_000, 1_000, 1_600, 3_000, 3_000, 3_000]
    assert (read_not_begun(driver.run.not_begun).times, driver.run.attempt) == (6, 1)

    failing(driver, HOPELESS, uncompensated=False)
    assert (driver.run.status, driver.run.not_begun) == ("failed", None)
    assert read_error(driver.run.error or "").code == "NO_CARD"


def test_a_worker_without_the_function_leaves_the_undoing_to_another():
    driver = a_run_to_undo()
    failing(driver, NO_FUNCTION, elsewhere=True)
    assert driver.run.status == "pending"
    assert driver.run.lease is not None
    assert driver.run.lease.avoid == "w1"

    failing(driver, NO_FUNCTION)
    assert isinstance(driver.facts[-1], CompensationStarted)
    assert driver.run.status == "waiting"


def test_an_endpoint_that_does_not_answer_is_asked_as_often_as_an_attempt_is_made():
    driver = a_run_to_undo(max_attempts=3)
    for _ in range(2):
        failing(driver, NO_ANSWER)
        retry_now(driver)
    failing(driver, NO_ANSWER)
    assert driver.run.status == "failed"
    assert read_error(driver.run.error or "").code == "NO_CARD"
    # It has ended, and it is known that nothing was undone, and why.
    assert read_not_begun(driver.run.not_begun) == NotBegun(3, NO_ANSWER.message)

    driver.do(commands.Resume())
    assert driver.run.not_begun is None


def test_an_endpoint_that_never_answers_has_the_run_undone_as_a_lost_worker_has():
    driver = RunDriver(compensation_timeout_ms=60_000, max_attempts=2)
    fence = driver.claim()
    driver.do(commands.Report(fence=fence, kind="progress", lease_ms=LEASE_MS, steps=(step("hotel"),)))
    driver.do(commands.Report(fence=fence, kind="failed", lease_ms=LEASE_MS, error=NO_ANSWER, uncompensated=True))
    retry_now(driver)
    failing(driver, NO_ANSWER)

    assert driver.run.status == "pending"
    assert read_error(driver.run.compensating or "").code == "PUSH_REFUSED"
    # The executions of the handler that got no answer are none of those for the compensations.
    assert driver.run.not_begun is None


@pytest.mark.parametrize(
    "error",
    [ErrorValue(message="too slow", code="TIMEOUT", retryable=True), ErrorValue(message="too large", code="TOO_LARGE")],
)
def test_what_ends_an_execution_that_has_begun_ends_the_run(error: ErrorValue):
    driver = a_run_to_undo()
    failing(driver, error)
    assert driver.run.status == "failed"


def test_a_handler_that_raises_such_an_error_has_begun():
    driver = a_run_to_undo()
    failing(driver, NO_KEY, uncompensated=False)
    assert driver.run.status == "failed"
