"""Who may write to a run: claims, fences, heartbeats, lost leases and the function's timeout."""

from typing import Any

import msgspec
import pytest

from ironflow.engine.commands import Cancel, Fence, GiveBack, LeaseExpired, Renew
from ironflow.engine.errors import StaleExecution
from tests.engine.driver import BROKEN, HOPELESS, LEASE_MS, LOSSES_MAX, RESERVATION_MS, RunDriver, step


def state(driver: RunDriver) -> tuple[str, str | None]:
    """The run's status and that of its lease."""
    return driver.run.status, driver.run.lease.state if driver.run.lease else None


def test_a_new_run_is_ready_to_be_claimed():
    assert state(RunDriver()) == ("pending", "ready")


def test_a_claim_reserves_the_run_and_its_ack_begins_the_execution():
    driver = RunDriver(timeout_ms=600_000)

    fence = driver.claim(acked=False)
    assert state(driver) == ("running", "reserved")
    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == driver.now + RESERVATION_MS

    driver.later(10_000)
    driver.ack(fence)

    assert state(driver) == ("running", "held")
    assert driver.run.lease.expires_at == driver.now + LEASE_MS
    assert driver.run.lease.deadline_at == driver.now + 600_000


def test_an_acked_claim_begins_at_once():
    driver = RunDriver()
    driver.claim(acked=True)
    assert state(driver) == ("running", "held")


def test_a_repeated_ack_changes_nothing():
    driver = RunDriver()
    fence = driver.claim(acked=False)
    driver.ack(fence)
    driver.later(5_000)

    assert driver.ack(fence).facts == ()


def test_a_run_that_is_not_ready_is_not_claimed():
    driver = RunDriver()
    fence = driver.claim("w1")

    assert driver.claim("w2") == fence
    assert driver.run.worker_id == "w1"


def test_every_execution_has_a_higher_number_than_those_before():
    driver = RunDriver()
    numbers: list[int] = []
    for _ in range(5):
        numbers.append(driver.claim().execution_seq or 0)
        driver.lose_lease()

    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "wrong", [{"token": "another"}, {"execution_seq": 2}, {"execution_seq": None}, {"job_id": "job_1_9"}, {"token": ""}]
)
@pytest.mark.parametrize("kind", ["ack", "progress", "completed", "failed", "yielded"])
def test_a_wrong_fence_is_refused_and_changes_nothing(kind: str, wrong: dict[str, Any]):
    driver = RunDriver()
    fence = msgspec.structs.replace(driver.claim(), **wrong)
    before = driver.run

    with pytest.raises(StaleExecution):
        send(driver, kind, fence)

    assert driver.run == before


@pytest.mark.parametrize("kind", ["ack", "progress", "completed", "failed", "yielded"])
def test_a_late_report_from_an_old_lease_changes_nothing(kind: str):
    driver = RunDriver()
    old = driver.claim("w1")
    driver.lose_lease()
    driver.claim("w2")
    before = driver.run

    with pytest.raises(StaleExecution):
        send(driver, kind, old)

    assert driver.run == before


@pytest.mark.parametrize("kind", ["ack", "progress", "failed", "yielded"])
def test_nothing_is_accepted_after_the_end(kind: str):
    driver = RunDriver()
    fence = driver.claim()
    driver.report(fence, "completed", output="1")
    before = driver.run

    with pytest.raises(StaleExecution):
        send(driver, kind, fence)

    assert driver.run == before


def test_a_cancelled_run_refuses_its_worker():
    driver = RunDriver()
    fence = driver.claim()
    driver.do(Cancel(cause="not wanted"))

    with pytest.raises(StaleExecution):
        driver.report(fence, "completed", step("charge"), output="1")

    assert (driver.run.status, driver.run.steps) == ("cancelled", {})


def send(driver: RunDriver, kind: str, fence: Fence) -> None:
    match kind:
        case "ack":
            driver.ack(fence)
        case "failed":
            driver.fail(fence, BROKEN, step("late"))
        case "yielded":
            driver.sleep(fence, driver.now + 1_000, step("late"))
        case _:
            driver.report(fence, kind, step("late"))


def test_a_heartbeat_renews_the_lease_of_a_held_job():
    driver = RunDriver()
    fence = driver.claim()
    driver.later(60_000)

    driver.renew(fence)

    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == driver.now + LEASE_MS


@pytest.mark.parametrize(("job", "worker"), [("job_1_1", "w2"), ("job_1_2", "w1"), ("", "w1")])
def test_a_heartbeat_of_another_worker_or_job_renews_nothing(job: str, worker: str):
    driver = RunDriver()
    driver.claim("w1")
    driver.later(60_000)

    assert driver.do(Renew(job, worker, LEASE_MS)).facts == ()


def test_a_heartbeat_does_not_begin_a_reserved_job():
    driver = RunDriver()
    fence = driver.claim(acked=False)

    assert driver.renew(fence).facts == ()


def test_no_heartbeat_carries_an_execution_beyond_the_functions_timeout():
    driver = RunDriver(timeout_ms=100_000)
    fence = driver.claim()
    began = driver.now
    driver.later(80_000)

    driver.renew(fence)

    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == began + 100_000


def test_a_checkpoint_renews_the_lease():
    driver = RunDriver()
    fence = driver.claim()
    driver.later(60_000)

    driver.report(fence, "progress", step("charge"))

    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == driver.now + LEASE_MS


def test_a_checkpoint_of_a_job_that_was_not_acked_begins_it():
    driver = RunDriver(timeout_ms=600_000)
    fence = driver.claim(acked=False)

    driver.report(fence, "progress", step("charge"))

    assert state(driver) == ("running", "held")
    assert driver.run.lease is not None
    assert driver.run.lease.expires_at == driver.now + LEASE_MS
    assert driver.run.lease.deadline_at == driver.now + 600_000


def test_a_lease_that_is_not_over_is_not_taken_away():
    driver = RunDriver()
    driver.claim()
    driver.later(LEASE_MS - 1)

    assert driver.lease_over().facts == ()


def test_a_lost_lease_puts_the_run_back_into_the_queue_with_its_steps_and_its_attempt():
    driver = RunDriver()
    driver.report(driver.claim(), "progress", step("charge", '"paid"'))

    driver.lose_lease()

    assert state(driver) == ("pending", "ready")
    assert (driver.run.attempt, driver.run.losses) == (1, 1)
    assert driver.steps == {"charge": (0, "completed", '"paid"')}


def test_a_lost_reservation_costs_neither_an_attempt_nor_a_loss():
    driver = RunDriver()
    driver.claim(acked=False)
    driver.later(RESERVATION_MS)

    driver.lease_over()

    assert state(driver) == ("pending", "ready")
    assert (driver.run.attempt, driver.run.losses) == (1, 0)


def test_a_job_that_ended_with_its_server_s_node_is_no_loss_however_often():
    driver = RunDriver()
    for _ in range(LOSSES_MAX + 1):
        fence = driver.claim()
        driver.do(LeaseExpired(losses_max=LOSSES_MAX, job_id=fence.job_id, no_loss=True))

    assert state(driver) == ("pending", "ready")
    assert (driver.run.attempt, driver.run.losses) == (1, 0)


def test_a_run_whose_workers_all_fall_silent_fails_in_the_end():
    driver = RunDriver()
    lost = 0
    while not driver.run.ended:
        driver.claim()
        driver.lose_lease()
        lost += 1

    assert lost == LOSSES_MAX
    assert driver.run.status == "failed"
    assert "WORKER_LOST" in (driver.run.error or "")


def test_a_new_step_forgives_the_losses_before_it():
    driver = RunDriver()
    for index in range(3 * LOSSES_MAX):
        fence = driver.claim()
        if index % 5 == 0:
            driver.report(fence, "progress", step(f"part-{index}"))
        driver.lose_lease()

    assert state(driver) == ("pending", "ready")


def test_a_job_given_back_is_ready_again_and_only_its_own_execution_is():
    driver = RunDriver()
    fence = driver.claim(acked=False)

    assert driver.do(GiveBack(job_id="job_1_9")).facts == ()
    driver.do(GiveBack(job_id=fence.job_id))

    assert state(driver) == ("pending", "ready")
    assert driver.do(GiveBack(job_id=fence.job_id)).facts == ()


@pytest.mark.parametrize(("attempts", "status"), [(3, "waiting"), (1, "failed")])
def test_an_execution_over_the_functions_timeout_fails_as_a_retryable_attempt(attempts: int, status: str):
    driver = RunDriver(timeout_ms=100_000, max_attempts=attempts)
    fence = driver.claim()
    for _ in range(4):
        driver.later(25_000)
        driver.renew(fence)

    driver.lease_over()

    assert driver.run.status == status
    error = msgspec.json.decode(driver.run.error or "")
    assert (error["code"], error["retryable"]) == ("TIMEOUT", True)
    assert "100000 ms" in error["message"]
    with pytest.raises(StaleExecution):
        driver.report(fence, "completed", output="1")


def test_a_function_that_its_worker_lacks_goes_to_another_worker_without_a_loss():
    driver = RunDriver()
    fence = driver.claim("w1", acked=False)

    driver.report(fence, "failed", error=no_such_function(), elsewhere=True)

    assert state(driver) == ("pending", "ready")
    assert driver.run.lease is not None
    assert (driver.run.lease.avoid, driver.run.attempt, driver.run.losses) == ("w1", 1, 0)


def test_a_function_that_no_worker_has_fails_its_run():
    driver = RunDriver()
    fence = driver.claim("w1", acked=False)

    driver.report(fence, "failed", error=no_such_function(), elsewhere=False)

    assert driver.run.status == "failed"


def no_such_function() -> Any:
    return msgspec.structs.replace(HOPELESS, code="FUNCTION_NOT_FOUND")
