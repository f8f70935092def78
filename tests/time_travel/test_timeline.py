"""Every fact has an entry in the timeline, with the event type of the audit trail."""

from typing import Any, get_args

import pytest
from msgspec.structs import replace

from ironflow.base.json import read_json, write_json
from ironflow.engine import commands
from ironflow.engine.facts import Fact, tag_of
from ironflow.engine.model import ErrorValue
from ironflow.features.time_travel.messages import timeline_event
from ironflow.features.time_travel.rules import history
from ironflow.features.time_travel.timeline import KINDS, Entry, entries
from tests.engine.driver import HOPELESS, RunDriver, step

AT = 1_000_000


def timeline_of(driver: RunDriver, since: int = 0) -> list[Entry]:
    """Entries of the facts after the first `since`."""
    past = history(enumerate(driver.facts, start=1))
    return [entry for entry in entries(past) if entry.version > since]


def summaries(driver: RunDriver, since: int = 0) -> list[tuple[str, str]]:
    return [(entry.type, entry.summary) for entry in timeline_of(driver, since)]


def data(entry: Entry) -> dict[str, Any]:
    """The entry's data, as a reader gets it."""
    return read_json(write_json({name: value for name, value in entry.data.items() if value is not None}))


def running(**policy: Any) -> tuple[RunDriver, commands.Fence, int]:
    """A run at a worker, and how many facts that took."""
    driver = RunDriver(**policy)
    fence = driver.claim()
    return driver, fence, len(driver.facts)


def test_the_entry_of_a_new_run_has_what_started_it():
    (entry,) = timeline_of(RunDriver())

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
    driver, fence, since = running()
    driver.sleep(fence, AT + 50)
    driver.do(commands.SleepDue("run_1:nap:0"))
    driver.claim("w2")

    assert [(entry.type, entry.summary) for entry in timeline_of(driver, 1)] == [
        ("run.started", "Worker w1 began"),
        ("step.started", "'nap' sleeps until 1970-01-01T00:16:40.050Z"),
        ("run.status_changed", "Sleeps in 'nap'"),
        ("step.completed", "'nap' completed"),
        ("run.status_changed", "Back in the queue"),
        ("run.status_changed", "Worker w2 went on, execution 2"),
    ]
    started, waits = timeline_of(driver, 1)[0], timeline_of(driver, since)[1]
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
    driver, fence, since = running()
    driver.later(1_234)
    driver.report(
        fence, "progress", step("reserve", '{"table":12}', duration_ms=1_234, started_at=AT, ended_at=AT + 1_234)
    )

    began, ended = timeline_of(driver, since)
    assert (began.type, began.summary, began.significant) == ("step.started", "'reserve' began", False)
    assert (ended.type, ended.summary, ended.significant) == ("step.completed", "'reserve' completed in 1.23s", True)
    assert ended.step is driver.run.steps["run_1:reserve:0"]
    assert data(ended) == {
        "step_name": "reserve",
        "step_type": "invoke",
        "status": "completed",
        "sequence": 0,
        "attempt": 1,
        "started_at": "1970-01-01T00:16:40Z",
        "ended_at": "1970-01-01T00:16:41.234000Z",
        "duration_ms": 1_234,
        "output": {"table": 12},
    }


def test_an_entry_has_the_output_byte_for_byte():
    driver, fence, since = running()
    driver.report(fence, "progress", step("big", '{"b": 1e2,"a":123456789012345678901234567890}'))

    assert b'"output":{"b": 1e2,"a":123456789012345678901234567890}' in write_json(timeline_of(driver, since)[1].data)


def test_the_entries_of_attempts_have_their_errors():
    driver, fence, since = running(max_attempts=2)
    driver.fail(fence, ErrorValue(message="declined", code="NO", retryable=True), step("charge", error='"declined"'))
    driver.later(1_000)
    driver.retry()
    driver.fail(driver.claim(), HOPELESS)

    assert summaries(driver, since) == [
        ("step.started", "'charge' began"),
        ("step.failed", "'charge' failed: declined"),
        ("run.status_changed", "Attempt 1 failed: declined; the next one at 1970-01-01T00:16:41.000Z"),
        ("run.status_changed", "Attempt 2 is in the queue"),
        ("run.status_changed", "Worker w1 went on, execution 2"),
        ("run.status_changed", "Failed: no such card"),
    ]
    assert data(timeline_of(driver, since)[-1]) == {
        "old_status": "running",
        "new_status": "failed",
        "error": {"message": "no such card", "code": "NO_CARD"},
    }


def test_a_step_that_runs_again_begins_again():
    driver, fence, since = running()
    driver.report(fence, "progress", step("charge", error='"no"', ended_at=1))
    driver.report(fence, "progress", step("charge", '"yes"', ended_at=2))

    assert [kind for kind, _ in summaries(driver, since)] == [
        "step.started",
        "step.failed",
        "step.started",
        "step.completed",
    ]


def test_compensations_have_types_of_their_own():
    driver, fence, since = running()
    undone = step("compensate:book", "null", type="compensate", compensation_for="book")
    stuck = step("compensate:pay", type="compensate", compensation_for="pay", error='{"message":"bank closed"}')
    driver.fail(fence, HOPELESS, undone, stuck)

    assert summaries(driver, since)[:-1] == [
        ("saga.compensation.started", "Undoing 'book' began"),
        ("saga.compensation.completed", "Undoing 'book' completed"),
        ("saga.compensation.started", "Undoing 'pay' began"),
        ("saga.compensation.failed", "Undoing 'pay' failed: bank closed"),
    ]


def test_entries_of_what_people_do_have_their_reasons():
    driver, fence, since = running()
    driver.report(fence, "progress", step("reserve", "1"), step("charge", "2"))
    driver.do(commands.Pause())
    driver.report(fence, "progress")
    began = len(driver.facts)
    driver.do(commands.Inject("run_1:reserve:0", "10", "typo"))
    driver.do(commands.Patch("run_1:reserve:0", "100", "another", "key:apikey_1"))
    driver.do(commands.Resume("charge", 1))
    driver.do(commands.Cancel("not wanted"))

    assert ("run.pause_requested", "To be paused at the next step boundary") in summaries(driver, since)
    assert ("run.paused", "Paused: by hand") in summaries(driver, since)
    assert summaries(driver, began) == [
        ("step.injected", "'reserve' injected: typo"),
        ("step.patched", "'reserve' patched by key:apikey_1: another"),
        ("steps.dropped", "Steps to run again: 'charge'"),
        ("run.resumed", "Resumed from step 'charge'"),
        ("run.status_changed", "Cancelled: not wanted"),
    ]
    injected, patched, *_ = timeline_of(driver, began)
    assert (injected.actor, patched.actor) == (None, "key:apikey_1")
    replaced = ("previous_output", "new_output", "original_output", "reason")
    assert [data(injected)[name] for name in replaced] == [1, 10, 1, "typo"]
    assert [data(patched)[name] for name in replaced] == [10, 100, 1, "another"]


def test_pauses_and_resumes_have_their_actor_and_reason():
    driver, fence, since = running()
    driver.do(commands.Pause("ada", "rain"))
    driver.do(commands.Resume(by="ada", note="no rain"))
    driver.do(commands.Pause("bob"))
    driver.report(fence, "progress")
    driver.do(commands.Resume(note="over"))
    driver.do(commands.Pause("ada", "rain"))

    asked = [each for each in timeline_of(driver, since) if "pause" in each.type or "resume" in each.type]
    assert [(each.type, each.summary, each.actor, data(each).get("note")) for each in asked] == [
        ("run.pause_requested", "To be paused at the next step boundary (ada: rain)", "ada", "rain"),
        ("run.pause_withdrawn", "The requested pause is withdrawn (ada: no rain)", "ada", "no rain"),
        ("run.pause_requested", "To be paused at the next step boundary (bob)", "bob", None),
        ("run.paused", "Paused: by hand", None, None),
        ("run.resumed", "Resumed (over)", None, "over"),
        ("run.paused", "Paused: by hand (ada: rain)", "ada", "rain"),
    ]


def test_lost_workers_and_returned_jobs_have_entries():
    driver, _, since = running()
    driver.lose_lease()
    driver.do(commands.GiveBack(driver.claim("w2", acked=False).job_id))

    assert summaries(driver, since) == [
        ("run.status_changed", "Worker w1 fell silent; back in the queue"),
        ("run.status_changed", "Worker w2 went on, execution 2"),
        ("run.status_changed", "Worker w2 gave the job back"),
    ]


def test_heartbeats_have_no_entry():
    driver, fence, since = running()
    driver.later(1)
    driver.renew(fence)

    assert len(driver.facts) == since + 1
    assert timeline_of(driver, since) == []


def test_a_step_that_has_shown_progress_has_begun_when_it_ends_and_names_its_line():
    driver, fence, since = running()
    shown = commands.StepProgress(step_id="run_1:copy:0", name="copy", type="invoke", details="7")
    driver.report(fence, "progress", progress=(shown,))
    driver.report(fence, "progress", replace(step("copy", "1"), source="/app/orders.py:7"))

    found = timeline_of(driver, since)
    assert [each.type for each in found] == ["step.started", "step.completed"]
    assert {timeline_event(each, each.at).source for each in found} == {"/app/orders.py:7"}


@pytest.mark.parametrize("kind", [fact.__struct_config__.tag for fact in get_args(Fact)])
def test_a_kind_of_fact_has_an_event_type_or_is_a_heartbeat(kind: str):
    silent = ("execution.renewed", "run.wake_scheduled", "steps.released", "steps.progressed")
    assert kind in silent or any(kind in kinds for kinds in KINDS.values())


def test_entries_come_from_the_kinds_that_their_event_type_names():
    driver, fence, _ = running(max_attempts=2)
    driver.fail(fence, HOPELESS, step("charge", error='"no"'), step("compensate:x", "1", type="compensate"))
    kinds = {version: tag_of(fact) for version, fact in enumerate(driver.facts, start=1)}

    assert [entry for entry in timeline_of(driver) if kinds[entry.version] not in KINDS[entry.type]] == []
