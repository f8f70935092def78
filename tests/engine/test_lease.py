"""Who may write to a run: claims, fences, heartbeats, lost leases and the function's timeout."""

from typing import Any

import msgspec
import pytest

from ironflow.engine.commands import Cancel, Fence, GiveBack, Renew
from ironflow.engine.errors import StaleExecution
from tests.engine.life import BROKEN, HOPELESS, LEASE_MS, LOSSES_MAX, RESERVATION_MS, Life, step


def state(life: Life) -> tuple[str, str | None]:
    """The run's status and that of its lease."""
    return life.run.status, life.run.lease.state if life.run.lease else None


def test_a_new_run_is_ready_to_be_claimed():
    assert state(Life()) == ("pending", "ready")


def test_a_claim_reserves_the_run_and_its_ack_begins_the_execution():
    life = Life(timeout_ms=600_000)

    fence = life.claim(acked=False)
    assert state(life) == ("running", "reserved")
    assert life.run.lease is not None
    assert life.run.lease.expires_at == life.now + RESERVATION_MS

    life.later(10_000)
    life.ack(fence)

    assert state(life) == ("running", "held")
    assert life.run.lease.expires_at == life.now + LEASE_MS
    assert life.run.lease.deadline_at == life.now + 600_000


def test_an_acked_claim_begins_at_once():
    life = Life()
    life.claim(acked=True)
    assert state(life) == ("running", "held")


def test_a_repeated_ack_changes_nothing():
    life = Life()
    fence = life.claim(acked=False)
    life.ack(fence)
    life.later(5_000)

    assert life.ack(fence).facts == ()


def test_a_run_that_is_not_ready_is_not_claimed():
    life = Life()
    fence = life.claim("w1")

    assert life.claim("w2") == fence
    assert life.run.worker_id == "w1"


def test_every_execution_has_a_higher_number_than_those_before():
    life = Life()
    numbers: list[int] = []
    for _ in range(5):
        numbers.append(life.claim().execution_seq or 0)
        life.lose_lease()

    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "wrong", [{"token": "another"}, {"execution_seq": 2}, {"execution_seq": None}, {"job_id": "job_1_9"}, {"token": ""}]
)
@pytest.mark.parametrize("word", ["ack", "progress", "completed", "failed", "yielded"])
def test_a_wrong_fence_is_refused_and_changes_nothing(word: str, wrong: dict[str, Any]):
    life = Life()
    fence = msgspec.structs.replace(life.claim(), **wrong)
    before = life.run

    with pytest.raises(StaleExecution):
        say(life, word, fence)

    assert life.run == before


@pytest.mark.parametrize("word", ["ack", "progress", "completed", "failed", "yielded"])
def test_a_late_report_from_an_old_lease_changes_nothing(word: str):
    life = Life()
    old = life.claim("w1")
    life.lose_lease()
    life.claim("w2")
    before = life.run

    with pytest.raises(StaleExecution):
        say(life, word, old)

    assert life.run == before


@pytest.mark.parametrize("word", ["ack", "progress", "failed", "yielded"])
def test_nothing_is_heard_after_the_end(word: str):
    life = Life()
    fence = life.claim()
    life.report(fence, "completed", output="1")
    before = life.run

    with pytest.raises(StaleExecution):
        say(life, word, fence)

    assert life.run == before


def test_a_cancelled_run_refuses_its_worker():
    life = Life()
    fence = life.claim()
    life.do(Cancel(cause="not wanted"))

    with pytest.raises(StaleExecution):
        life.report(fence, "completed", step("charge"), output="1")

    assert (life.run.status, life.run.steps) == ("cancelled", {})


def say(life: Life, word: str, fence: Fence) -> None:
    match word:
        case "ack":
            life.ack(fence)
        case "failed":
            life.fail(fence, BROKEN, step("late"))
        case "yielded":
            life.sleep(fence, life.now + 1_000, step("late"))
        case _:
            life.report(fence, word, step("late"))


def test_a_heartbeat_renews_the_lease_of_a_held_job():
    life = Life()
    fence = life.claim()
    life.later(60_000)

    life.renew(fence)

    assert life.run.lease is not None
    assert life.run.lease.expires_at == life.now + LEASE_MS


@pytest.mark.parametrize(("job", "worker"), [("job_1_1", "w2"), ("job_1_2", "w1"), ("", "w1")])
def test_a_heartbeat_of_another_worker_or_job_renews_nothing(job: str, worker: str):
    life = Life()
    life.claim("w1")
    life.later(60_000)

    assert life.do(Renew(job, worker, LEASE_MS)).facts == ()


def test_a_heartbeat_does_not_begin_a_reserved_job():
    life = Life()
    fence = life.claim(acked=False)

    assert life.renew(fence).facts == ()


def test_no_heartbeat_carries_an_execution_beyond_the_functions_timeout():
    life = Life(timeout_ms=100_000)
    fence = life.claim()
    began = life.now
    life.later(80_000)

    life.renew(fence)

    assert life.run.lease is not None
    assert life.run.lease.expires_at == began + 100_000


def test_a_checkpoint_renews_the_lease():
    life = Life()
    fence = life.claim()
    life.later(60_000)

    life.report(fence, "progress", step("charge"))

    assert life.run.lease is not None
    assert life.run.lease.expires_at == life.now + LEASE_MS


def test_a_checkpoint_of_a_job_that_was_not_acked_begins_it():
    life = Life(timeout_ms=600_000)
    fence = life.claim(acked=False)

    life.report(fence, "progress", step("charge"))

    assert state(life) == ("running", "held")
    assert life.run.lease is not None
    assert life.run.lease.expires_at == life.now + LEASE_MS
    assert life.run.lease.deadline_at == life.now + 600_000


def test_a_lease_that_is_not_over_is_not_taken_away():
    life = Life()
    life.claim()
    life.later(LEASE_MS - 1)

    assert life.lease_over().facts == ()


def test_a_lost_lease_puts_the_run_back_into_the_queue_with_its_steps_and_its_attempt():
    life = Life()
    life.report(life.claim(), "progress", step("charge", '"paid"'))

    life.lose_lease()

    assert state(life) == ("pending", "ready")
    assert (life.run.attempt, life.run.losses) == (1, 1)
    assert life.steps == {"charge": (0, "completed", '"paid"')}


def test_a_lost_reservation_costs_neither_an_attempt_nor_a_loss():
    life = Life()
    life.claim(acked=False)
    life.later(RESERVATION_MS)

    life.lease_over()

    assert state(life) == ("pending", "ready")
    assert (life.run.attempt, life.run.losses) == (1, 0)


def test_a_run_whose_workers_all_fall_silent_fails_in_the_end():
    life = Life()
    lost = 0
    while not life.run.ended:
        life.claim()
        life.lose_lease()
        lost += 1

    assert lost == LOSSES_MAX
    assert life.run.status == "failed"
    assert "WORKER_LOST" in (life.run.error or "")


def test_a_new_step_forgives_the_losses_before_it():
    life = Life()
    for place in range(3 * LOSSES_MAX):
        fence = life.claim()
        if place % 5 == 0:
            life.report(fence, "progress", step(f"part-{place}"))
        life.lose_lease()

    assert state(life) == ("pending", "ready")


def test_a_job_given_back_is_ready_again_and_only_its_own_execution_is():
    life = Life()
    fence = life.claim(acked=False)

    assert life.do(GiveBack(job_id="job_1_9")).facts == ()
    life.do(GiveBack(job_id=fence.job_id))

    assert state(life) == ("pending", "ready")
    assert life.do(GiveBack(job_id=fence.job_id)).facts == ()


@pytest.mark.parametrize(("attempts", "status"), [(3, "waiting"), (1, "failed")])
def test_an_execution_over_the_functions_timeout_fails_as_a_retryable_attempt(attempts: int, status: str):
    life = Life(timeout_ms=100_000, max_attempts=attempts)
    fence = life.claim()
    for _ in range(4):
        life.later(25_000)
        life.renew(fence)

    life.lease_over()

    assert life.run.status == status
    error = msgspec.json.decode(life.run.error or "")
    assert (error["code"], error["retryable"]) == ("TIMEOUT", True)
    assert "100000 ms" in error["message"]
    with pytest.raises(StaleExecution):
        life.report(fence, "completed", output="1")


def test_a_function_that_its_worker_lacks_goes_to_another_worker_without_a_loss():
    life = Life()
    fence = life.claim("w1", acked=False)

    life.report(fence, "failed", error=no_such_function(), elsewhere=True)

    assert state(life) == ("pending", "ready")
    assert life.run.lease is not None
    assert (life.run.lease.avoid, life.run.attempt, life.run.losses) == ("w1", 1, 0)


def test_a_function_that_no_worker_has_fails_its_run():
    life = Life()
    fence = life.claim("w1", acked=False)

    life.report(fence, "failed", error=no_such_function(), elsewhere=False)

    assert life.run.status == "failed"


def no_such_function() -> Any:
    return msgspec.structs.replace(HOPELESS, code="FUNCTION_NOT_FOUND")
