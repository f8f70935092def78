"""Every fact is told in the words of the audit trail."""

from typing import Any, get_args

import pytest

from ironflow.base.json import read_json, write_json
from ironflow.engine import commands
from ironflow.engine.facts import AnyFact, tag_of
from ironflow.engine.model import ErrorValue
from ironflow.features.time_travel.rules import history
from ironflow.features.time_travel.telling import KINDS, Entry, entries
from tests.engine.life import HOPELESS, Life, step

AT = 1_000_000


def told(life: Life, since: int = 0) -> list[Entry]:
    """Entries of the facts after the first `since`."""
    past = history(enumerate(life.facts, start=1))
    return [entry for entry in entries(past) if entry.version > since]


def words(life: Life, since: int = 0) -> list[tuple[str, str]]:
    return [(entry.type, entry.summary) for entry in told(life, since)]


def data(entry: Entry) -> dict[str, Any]:
    """What is told, as a reader gets it."""
    return read_json(write_json({name: value for name, value in entry.data.items() if value is not None}))


def running(**policy: Any) -> tuple[Life, commands.Fence, int]:
    """A run at a worker, and how many facts that took."""
    life = Life(**policy)
    fence = life.claim()
    return life, fence, len(life.facts)


def test_a_new_run_is_told_with_what_started_it():
    (entry,) = told(Life())

    assert (entry.id, entry.type, entry.at, entry.significant) == ("aud_1_1_0", "run.created", AT, True)
    assert entry.summary == "Created for charge by order.placed"
    assert data(entry) == {
        "status": "pending",
        "function_id": "charge",
        "function_version": 1,
        "event_id": "evt_1",
        "event_name": "order.placed",
    }


def test_the_first_execution_starts_the_run_and_later_ones_let_it_go_on():
    life, fence, since = running()
    life.sleep(fence, AT + 50)
    life.do(commands.SleepOver("run_1:nap:0"))
    life.claim("w2")

    assert [(entry.type, entry.summary) for entry in told(life, 1)] == [
        ("run.started", "Worker w1 began"),
        ("step.started", "'nap' sleeps until 1970-01-01T00:16:40.050Z"),
        ("run.status_changed", "Sleeps in 'nap'"),
        ("step.completed", "'nap' completed"),
        ("run.status_changed", "Back in the queue"),
        ("run.status_changed", "Worker w2 went on, execution 2"),
    ]
    started, waits = told(life, 1)[0], told(life, since)[1]
    assert data(started) == {
        "old_status": "pending",
        "new_status": "running",
        "worker_id": "w1",
        "execution_seq": 1,
        "attempt": 1,
    }
    assert data(waits) == {
        "old_status": "running",
        "new_status": "waiting",
        "reason": "sleep",
        "step_id": "run_1:nap:0",
        "until": "1970-01-01T00:16:40.050000Z",
    }


def test_a_step_reported_when_it_is_done_began_and_ended_at_once():
    life, fence, since = running()
    life.report(
        fence, "progress", step("reserve", '{"seat":12}', duration_ms=1_234, started_at=AT - 1_234, ended_at=AT)
    )

    began, ended = told(life, since)
    assert (began.type, began.summary, began.significant) == ("step.started", "'reserve' began", False)
    assert (ended.type, ended.summary, ended.significant) == ("step.completed", "'reserve' completed in 1.23s", True)
    assert ended.step is life.run.steps["run_1:reserve:0"]
    assert data(ended) == {
        "step_name": "reserve",
        "step_type": "invoke",
        "status": "completed",
        "sequence": 0,
        "attempt": 1,
        "started_at": "1970-01-01T00:16:38.766000Z",
        "ended_at": "1970-01-01T00:16:40Z",
        "duration_ms": 1_234,
        "output": {"seat": 12},
    }


def test_an_output_is_told_byte_for_byte():
    life, fence, since = running()
    life.report(fence, "progress", step("big", '{"b": 1e2,"a":123456789012345678901234567890}'))

    assert b'"output":{"b": 1e2,"a":123456789012345678901234567890}' in write_json(told(life, since)[1].data)


def test_attempts_are_told_with_their_errors():
    life, fence, since = running(max_attempts=2)
    life.fail(fence, ErrorValue(message="declined", code="NO", retryable=True), step("charge", error='"declined"'))
    life.later(1_000)
    life.retry()
    life.fail(life.claim(), HOPELESS)

    assert words(life, since) == [
        ("step.started", "'charge' began"),
        ("step.failed", "'charge' failed: declined"),
        ("run.status_changed", "Attempt 1 failed: declined; the next one at 1970-01-01T00:16:41.000Z"),
        ("run.status_changed", "Attempt 2 is in the queue"),
        ("run.status_changed", "Worker w1 went on, execution 2"),
        ("run.status_changed", "Failed: no such card"),
    ]
    assert data(told(life, since)[-1]) == {
        "old_status": "running",
        "new_status": "failed",
        "error": {"message": "no such card", "code": "NO_CARD"},
    }


def test_a_step_that_runs_again_begins_again():
    life, fence, since = running()
    life.report(fence, "progress", step("charge", error='"no"', ended_at=1))
    life.report(fence, "progress", step("charge", '"yes"', ended_at=2))

    assert [word for word, _ in words(life, since)] == ["step.started", "step.failed", "step.started", "step.completed"]


def test_compensations_have_words_of_their_own():
    life, fence, since = running()
    undone = step("compensate:book", "null", type="compensate", compensation_for="book")
    stuck = step("compensate:pay", type="compensate", compensation_for="pay", error='{"message":"bank closed"}')
    life.fail(fence, HOPELESS, undone, stuck)

    assert words(life, since)[:-1] == [
        ("saga.compensation.started", "Undoing 'book' began"),
        ("saga.compensation.completed", "Undoing 'book' completed"),
        ("saga.compensation.started", "Undoing 'pay' began"),
        ("saga.compensation.failed", "Undoing 'pay' failed: bank closed"),
    ]


def test_what_people_do_is_told_with_their_reasons():
    life, fence, since = running()
    life.report(fence, "progress", step("reserve", "1"), step("charge", "2"))
    life.do(commands.Pause())
    life.report(fence, "progress")
    began = len(life.facts)
    life.do(commands.Inject("run_1:reserve:0", "10", "typo"))
    life.do(commands.Patch("run_1:reserve:0", "100", "another", "key:apikey_1"))
    life.do(commands.Resume("charge", 1))
    life.do(commands.Cancel("not wanted"))

    assert ("run.pause_requested", "To be paused at the next step boundary") in words(life, since)
    assert ("run.paused", "Paused: by hand") in words(life, since)
    assert words(life, began) == [
        ("step.injected", "'reserve' injected: typo"),
        ("step.patched", "'reserve' patched by key:apikey_1: another"),
        ("steps.dropped", "Steps to run again: 'charge'"),
        ("run.resumed", "Resumed from step 'charge'"),
        ("run.status_changed", "Cancelled: not wanted"),
    ]
    injected, patched, *_ = told(life, began)
    assert (injected.actor, patched.actor) == (None, "key:apikey_1")
    replaced = ("previous_output", "new_output", "original_output", "reason")
    assert [data(injected)[name] for name in replaced] == [1, 10, 1, "typo"]
    assert [data(patched)[name] for name in replaced] == [10, 100, 1, "another"]


def test_workers_that_fall_silent_or_give_back_are_told():
    life, _, since = running()
    life.lose_lease()
    life.do(commands.GiveBack(life.claim("w2", acked=False).job_id))

    assert words(life, since) == [
        ("run.status_changed", "Worker w1 fell silent; back in the queue"),
        ("run.status_changed", "Worker w2 went on, execution 2"),
        ("run.status_changed", "Worker w2 gave the job back"),
    ]


def test_signs_of_life_are_not_told():
    life, fence, since = running()
    life.later(1)
    life.renew(fence)

    assert len(life.facts) == since + 1
    assert told(life, since) == []


@pytest.mark.parametrize("kind", [fact.__struct_config__.tag for fact in get_args(AnyFact)])
def test_a_kind_of_fact_has_a_word_or_is_a_sign_of_life(kind: str):
    assert kind == "execution.renewed" or any(kind in kinds for kinds in KINDS.values())


def test_entries_come_from_the_kinds_that_their_word_names():
    life, fence, _ = running(max_attempts=2)
    life.fail(fence, HOPELESS, step("charge", error='"no"'), step("compensate:x", "1", type="compensate"))
    kinds = {version: tag_of(fact) for version, fact in enumerate(life.facts, start=1)}

    assert [entry for entry in told(life) if kinds[entry.version] not in KINDS[entry.type]] == []
