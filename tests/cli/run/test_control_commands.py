"""`ironflow run pause`, `resume`, `inject` and their like, `run bulk`, `debounce` and `topic` against a real server."""

import uuid

import pytest

from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")


def started(ironflow, event, data="null"):
    """The id of the one run that an event started."""
    (run_id,) = ironflow("emit", event, "--data", data, "--json").json["run_ids"]
    return run_id


def reason(ironflow, run_id):
    return ironflow("run", "why", run_id, "--json").json["reason"]


@pytest.fixture
def waiting(ironflow):
    """A run that waits for `visitor.answered` at a door of its own, after its step `price` gave 100."""
    door = uuid.uuid4().hex
    run_id = started(ironflow, "visitor.asked", f'{{"door": "{door}"}}')
    eventually(lambda: reason(ironflow, run_id) == "wait_event")
    return run_id, door


def answer(ironflow, door):
    ironflow("emit", "visitor.answered", "--data", f'{{"door": "{door}", "says": "yes"}}')


def test_a_run_is_paused_inspected_injected_and_resumed(ironflow, waiting):
    run_id, door = waiting
    assert ironflow("run", "pause", run_id, "--reason", "a wrong price").out == f"paused {run_id}\n"
    assert "(a wrong price)" in ironflow("run", "why", run_id).out

    lines = ironflow("run", "paused-state", run_id).out.splitlines()
    assert lines[0].split() == ["reason", "injection"]
    assert lines[1].split() == ["comes", "next", "answer"]
    headings, row = lines[3:]
    assert headings.split() == ["ROW", "STEP", "TYPE", "STATUS", "FINISHED", "OUTPUT"]
    step_id = row.split()[0]
    assert row.split()[1:4] == ["price", "run", "completed"]
    assert row.endswith("100")

    injected = ironflow("run", "inject", run_id, step_id, "--output", '"90 euros"', "--reason", "a discount")
    assert injected.out == f"injected into {step_id}, which was 100\n"
    assert "completed (injected)" in ironflow("run", "paused-state", run_id).out
    assert "a resume: ironflow" in ironflow("run", "get", run_id).out

    assert ironflow("run", "resume", run_id).out == f"resumed {run_id}\n"
    answer(ironflow, door)
    assert ironflow("run", "watch", run_id, "--json").json["output"] == {"price": "90 euros", "answer": "yes"}


def test_injecting_into_a_run_that_is_not_paused_is_refused(ironflow, waiting):
    result = ironflow("run", "inject", waiting[0], "price", "--output", "1")

    assert (result.code, result.out) == (5, "")
    assert "pause it" in result.err


def test_a_patched_step_keeps_its_original_and_is_used_after_a_resume(ironflow, waiting):
    run_id, door = waiting
    result = ironflow("run", "patch", f"{run_id}:price:0", "--output", '{"euros": 80}', "--reason", "sale")
    assert result.out == f"patched price of {run_id}: ironflow run resume {run_id}\n"
    assert "patched" in ironflow("run", "get", run_id).out

    answer(ironflow, door)
    assert ironflow("run", "watch", run_id, "--json").json["output"]["price"] == {"euros": 80}
    (price, _) = ironflow("run", "steps", run_id, "--json").json["steps"]
    assert (price["output"], price["original_output"]) == ({"euros": 80}, 100)


def test_a_patched_step_can_resume_its_run(ironflow, waiting):
    run_id, door = waiting
    ironflow("run", "pause", run_id)
    result = ironflow("run", "patch", f"{run_id}:price:0", "--output", "80", "--resume")
    assert result.out == f"patched price of {run_id}: resumed\n"

    answer(ironflow, door)
    assert ironflow("run", "watch", run_id, "--json").json["output"]["price"] == 80


def test_a_resume_from_a_step_runs_it_again(ironflow, waiting):
    run_id, door = waiting
    ironflow("run", "pause", run_id)
    ironflow("run", "inject", run_id, "price", "--output", "1")

    assert ironflow("run", "resume", run_id, "--from-step", "price").code == 0
    eventually(lambda: reason(ironflow, run_id) == "wait_event")
    answer(ironflow, door)

    assert ironflow("run", "watch", run_id, "--json").json["output"]["price"] == 100


def test_a_failed_run_is_retried(ironflow):
    run_id = started(ironflow, "visitor.refused")
    assert ironflow("run", "watch", run_id).code == 1

    assert ironflow("run", "retry", run_id).out == f"retrying {run_id}\n"
    assert ironflow("run", "watch", run_id).code == 1
    assert ironflow("run", "get", run_id, "--json").json["attempt"] == 1
    assert ironflow("run", "retry", run_id, "--from-step", "nothing").code == 4


def test_why_shows_what_a_run_waits_for_and_which_run_holds_its_slot(ironflow, waiting):
    run_id, door = waiting
    shown = {line.split()[0]: line for line in ironflow("run", "why", run_id).out.splitlines()}
    assert shown["state"].split() == ["state", "waiting"]
    assert shown["event"].split() == ["event", "visitor.answered"]
    assert "'visitor.answered'" in shown["why"]
    assert "until" in shown

    # While it is paused at a step boundary, it keeps the only slot of its door.
    holder = started(ironflow, "visitor.balked", f'{{"door": "{door}"}}')
    eventually(lambda: reason(ironflow, holder) == "exhausted")
    other = started(ironflow, "visitor.balked", f'{{"door": "{door}"}}')
    shown = ironflow("run", "why", other, "--json").json
    assert (shown["reason"], shown["held_by"]) == ("no_slot", [holder])
    assert f"the slots are held by {holder}" in ironflow("run", "get", other).out
    ironflow("run", "cancel", holder)
    eventually(lambda: reason(ironflow, other) == "exhausted")
    ironflow("run", "cancel", other)


def test_a_cancel_that_cleans_up_is_waited_for(ironflow):
    run_id = started(ironflow, "visitor.hesitated", '"open"')
    eventually(lambda: reason(ironflow, run_id) == "wait_event")

    assert ironflow("run", "cancel", run_id, "--wait", "--timeout", "soon").code == 2
    assert reason(ironflow, run_id) == "wait_event"

    done = ironflow("run", "cancel", run_id, "--reason", "it rains", "--wait")

    assert (done.code, done.out) == (0, f"cancelled {run_id}\n")
    page = {line.split("  ")[0]: line for line in ironflow("run", "get", run_id).out.splitlines() if line}
    assert page["cancelled"].split()[1:] == ["it", "rains"]
    assert page["cancelling"].endswith(": it rains")
    assert ironflow("run", "cancel", run_id).code == 5


def test_a_run_that_is_being_cancelled_is_ended_by_force(ironflow):
    run_id = started(ironflow, "visitor.hesitated", '"stuck"')
    eventually(lambda: reason(ironflow, run_id) == "wait_event")

    first = ironflow("run", "cancel", run_id)
    assert (first.code, first.out) == (0, f"cancelling {run_id}\n")
    assert f"To end it at once: ironflow run cancel {run_id} --force" in first.err
    eventually(lambda: reason(ironflow, run_id) == "cancelling")
    assert "It is being cancelled since" in ironflow("run", "why", run_id).out
    assert "cancelling" in ironflow("run", "get", run_id).out.splitlines()[1]
    bulk = ("run", "bulk", "start", "cancel", "--search", run_id, "--yes", "--wait", "--json")
    assert (ironflow(*bulk).json["changed"], ironflow(*bulk).json["refused"]) == (0, 1)

    assert ironflow(*bulk, "--force").json["changed"] == 1

    assert ironflow("run", "get", run_id, "--json").json["status"] == "cancelled"


def test_a_parent_shows_its_children_and_a_child_its_parent(ironflow):
    parent = started(ironflow, "visitor.hosted")
    eventually(lambda: ironflow("run", "get", parent, "--json").json.get("children"))
    (child,) = ironflow("run", "get", parent, "--json").json["children"]
    eventually(lambda: reason(ironflow, child) == "sleep")

    lines = ironflow("run", "get", parent).out.splitlines()
    (row,) = [line for line in lines if line.startswith("children")]
    assert row.split() == ["children", child, "slow", "paused", "(sleep)"]
    assert any(line.startswith("waits for") and f"the end of {child} (slow), at most until" in line for line in lines)
    above = [line.split() for line in ironflow("run", "get", child).out.splitlines() if line.startswith("parent")]
    assert above == [["parent", parent, "step", f"{parent}:slow:0"]]
    assert [run["id"] for run in ironflow("run", "list", "--parent", parent, "--json").json["runs"]] == [child]
    bulk = ("run", "bulk", "start", "cancel", "--parent", parent)
    assert ironflow(*bulk, "--dry-run").out == "1 run would be affected\n"
    assert ironflow("run", "get", child, "--json").json["status"] == "paused"
    assert ironflow(*bulk, "--yes", "--wait", "--json").json["changed"] == 1
    assert ironflow("run", "get", child, "--json").json["status"] == "cancelled"


def test_many_runs_are_cancelled_at_once_with_progress(ironflow):
    marker = uuid.uuid4().hex
    event_id = ironflow("emit", "visitor.tired", "--data", f'"{marker}"', "--json").json["event_id"]

    counted = ironflow("run", "bulk", "start", "cancel", "--event", event_id, "--dry-run")
    assert counted.out == "1 run would be affected\n"
    asked = ironflow("run", "bulk", "start", "cancel", "--event", event_id)
    assert (asked.code, asked.out) == (2, "")
    assert "Add --yes to cancel 1 run" in asked.err
    done = ironflow("run", "bulk", "start", "cancel", "--event", event_id, "--yes", "--wait", "--reason", marker)
    shown = {line.split()[0]: line.split()[1] for line in done.out.splitlines()}
    assert (shown["status"], shown["matched"], shown["changed"], shown["refused"]) == ("done", "1", "1", "0")

    (run,) = ironflow("run", "list", "--event", event_id, "--json").json["runs"]
    assert (run["status"], run["cancellation_cause"]) == ("cancelled", marker)
    headings, first = ironflow("run", "bulk", "list").out.splitlines()[:2]
    assert headings.split()[:3] == ["STATUS", "JOB", "ACTION"]
    assert first.split()[:6] == ["done", shown["job"], "cancel", "1", "1", "0"]
    assert ironflow("run", "bulk", "get", shown["job"], "--wait", "--json").json["changed"] == 1
    assert ironflow("run", "bulk", "stop", shown["job"]).code == 5
    assert ironflow("run", "bulk", "start", "cancel", "--yes").code == 2
    assert ironflow("run", "bulk", "start", "explode", "--yes").code == 2


def test_pending_debounced_events_are_listed_and_cancelled(ironflow):
    visitor = uuid.uuid4().hex
    event_id = ironflow("emit", "visitor.moved", "--data", f'{{"visitor": "{visitor}"}}', "--json").json["event_id"]

    rows = [line.split() for line in ironflow("debounce", "list", "--function", "gather").out.splitlines()]
    assert rows[0][:5] == ["LANE", "FUNCTION", "KEY", "EVENTS", "LAST"]
    (row,) = [row for row in rows if visitor in row]
    assert row[1:5] == ["gather", visitor, "1", event_id]

    assert ironflow("debounce", "cancel", row[0]).out == f"cancelled {row[0]}\n"
    assert ironflow("debounce", "cancel", row[0]).code == 4
    assert ironflow("debounce", "list", "--function", "greet").err == "no pending debounced events\n"


def test_a_message_is_published_once_under_its_key(ironflow):
    key = uuid.uuid4().hex
    arguments = ["topic", "publish", "visitors.seen", "--data", '{"who": "ada"}', "--idempotency-key", key]

    first, again = ironflow(*arguments).out.splitlines(), ironflow(*arguments).out.splitlines()

    assert first[0].split()[2:] == ["published"]
    assert again[0].split()[2:] == ["already", "published"]
    assert first[0].split()[1] == again[0].split()[1]
    assert first[1] == again[1]
    assert ironflow("topic", "publish", "a topic").code == 2


def test_a_function_shows_its_controls(ironflow):
    shown = ironflow("function", "get", "gather").out
    assert ["debounce", "1h", "of", "quiet", "for", "each", "visitor"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "pause", "run_none"], ["run", "resume", "run_none"], ["run", "retry", "run_none"],
        ["run", "paused-state", "run_none"], ["run", "inject", "run_none", "x", "--output", "1"],
        ["run", "patch", "run_none:x:0", "--output", "1"], ["run", "why", "run_none"],
        ["run", "bulk", "get", "bulk_none"], ["run", "bulk", "stop", "bulk_none"], ["debounce", "cancel", "deb_none"],
    ],
)  # fmt: skip
def test_a_missing_object_ends_with_4_and_one_line(ironflow, arguments):
    result = ironflow(*arguments)

    assert (result.code, result.out) == (4, "")
    assert result.err.count("\n") == 1


def test_an_emit_shows_the_run_that_it_wakes(ironflow, waiting):
    run_id, door = waiting

    result = ironflow("emit", "visitor.answered", "--data", f'{{"door": "{door}", "says": "yes"}}')

    assert result.out.splitlines()[-1].split() == ["wakes", run_id]
    assert "No active function" not in result.err
