"""Attempts of a step: which reports are news, and what the step is after each."""

from typing import Any

import pytest
from msgspec.structs import replace

from ironflow.engine import commands, facts
from ironflow.engine.effects import SetTimer
from ironflow.engine.evolve import evolve
from ironflow.engine.model import Policy, Run, Step
from ironflow.engine.report import decide_steps
from ironflow.engine.step_attempts import (
    ATTEMPTS_SHOWN,
    decide_next_result,
    decide_progress,
    next_attempt,
    read_attempts,
    redacted_attempts,
    rests,
    with_attempt,
)

NOW = 1_000
ERROR = '{"message":"away","code":"AWAY","error_class":"Away","retryable":true,"stack":"long"}'


def step(**more: Any) -> Step:
    fields: dict[str, Any] = {"status": "completed", "attempt": 1, **more}
    return Step(step_id="r:a:0", name="a", type="invoke", sequence=0, number=0, created_at=0, updated_at=NOW, **fields)


def report(**more: Any) -> commands.StepReport:
    fields: dict[str, Any] = {"status": "failed", "output": None, "error": ERROR, **more}
    return commands.StepReport(step_id="r:a:0", name="a", type="invoke", **fields)


@pytest.mark.parametrize(
    ("status", "known", "reported", "news"),
    [
        ("retrying", 1, 1, False),
        ("retrying", 1, 2, True),
        ("pending", 2, 2, False),
        ("pending", 2, 3, True),
        ("running", 2, 2, True),
        # A worker that knows no attempts of steps.
        ("retrying", 1, 0, True),
    ],
)
def test_an_attempt_that_is_recorded_is_no_news(status: str, known: int, reported: int, news: bool):
    assert decide_next_result(step(status=status, attempt=known), report(attempt=reported)) is news


def test_a_failed_attempt_that_another_follows_rests_from_now():
    failed = step(status="failed", error=ERROR, failure="kept", started_at=10, ended_at=20)
    resting = with_attempt(failed, None, report(attempt=1, attempts_max=3, retry_in_ms=500), NOW)
    assert (resting.status, resting.failure, resting.sleep_until, resting.attempts_max) == ("retrying", "", 1_500, 3)
    assert rests((resting,)) == (SetTimer(kind="rest", due_at=1_500, step_id="r:a:0"),)
    (first,) = read_attempts(resting.attempts or "")
    assert (first.attempt, first.error.message, first.error.code, first.error.error_class) == (
        1,
        "away",
        "AWAY",
        "Away",
    )
    assert (first.error.stack, first.started_at, first.ended_at) == ("", 10, 20)
    assert next_attempt(replace(resting, status="pending")) == 2
    assert next_attempt(replace(resting, status="running")) == 1


def test_the_last_attempts_are_shown_with_the_step():
    known: Step | None = None
    for number in range(1, ATTEMPTS_SHOWN + 6):
        failed = step(status="failed", error=ERROR, attempt=number)
        known = with_attempt(failed, known, report(attempt=number, attempts_max=99, retry_in_ms=1), NOW)
    assert known is not None
    shown = [each.attempt for each in read_attempts(known.attempts or "")]
    assert shown == list(range(6, ATTEMPTS_SHOWN + 6))
    assert "away" not in (redacted_attempts(known.attempts, "gone") or "")


def test_a_step_without_a_retry_of_its_own_is_as_it_was():
    plain = step(status="failed", error=ERROR, failure="kept")
    assert with_attempt(plain, None, report(), NOW) is plain


def run_with(*steps: Step) -> Run:
    created = facts.RunCreated(
        at=0, run_id="r", environment="e", function_id="f", function_version=1, event_id="v", event_name="n",
        policy=Policy(),
    )  # fmt: skip
    return replace(evolve(None, created), steps={each.step_id: each for each in steps}, step_count=len(steps))


SHOWN = commands.StepProgress(step_id="r:a:0", name="a", type="invoke", details="7", attempt=2, attempts_max=5)


def test_progress_makes_a_running_step_or_is_kept_with_an_unfinished_one():
    (fresh,) = decide_progress(run_with(), (SHOWN,), NOW)
    assert (fresh.status, fresh.progress, fresh.attempt, fresh.attempts_max) == ("running", "7", 2, 5)
    pending = step(status="pending", attempts="[]")
    assert decide_progress(run_with(pending), (SHOWN,), NOW) == (replace(pending, progress="7", updated_at=NOW),)
    released = step(status="failed", failure="released", progress="3")
    (again,) = decide_progress(run_with(released), (SHOWN,), NOW)
    assert (again.status, again.progress, again.number) == ("running", "7", 0)


def test_progress_of_a_step_that_has_ended_is_ignored():
    assert decide_progress(run_with(step()), (SHOWN,), NOW) == ()
    assert decide_progress(run_with(step(status="failed", failure="kept")), (SHOWN,), NOW) == ()


def test_progress_counts_lost_leases_on():
    run = replace(run_with(), losses=3)
    assert evolve(run, facts.StepsProgressed(at=NOW, steps=(step(status="running"),))).losses == 3


@pytest.mark.parametrize(("measured", "shown", "handler_at"), [(900, 900, None), (5_000, NOW, 5_000)])
def test_the_handler_goes_on_with_the_time_that_its_worker_measured(measured: int, shown: int, handler_at: int | None):
    fence = commands.Fence("job", 1, "token")
    ended = report(status="completed", output="1", error=None, started_at=measured - 1, ended_at=measured)
    command = commands.Report(fence=fence, kind="progress", lease_ms=1, steps=(ended,))
    (recorded,) = decide_steps(run_with(), command, NOW)
    assert (recorded.ended_at, recorded.handler_at) == (shown, handler_at)
