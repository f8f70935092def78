"""`ironflow emit`, `invoke`, `run`, `event`, `function` and `server` against a real server and worker."""

import uuid

import pytest

from ironflow.sync import Client
from tests.support.rest_chain import a_chain
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")


def the_run(result):
    """The id of the one run that an emit with --json started."""
    (run_id,) = result.json["run_ids"]
    return run_id


def ended(ironflow, run_id):
    """The status with which a run ended, as `run watch` waits for it."""
    return ironflow("run", "watch", run_id, "--json").json["status"]


def test_emitting_answers_at_once_with_the_event_and_its_runs(ironflow):
    result = ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}')

    assert result.code == 0
    (event_name, event_id), (runs_name, run_id) = (line.split() for line in result.out.splitlines())
    assert (event_name, event_id[:4], runs_name, run_id[:4]) == ("event", "evt_", "runs", "run_")
    assert ended(ironflow, run_id) == "completed"


def test_waiting_shows_how_the_run_ended(ironflow):
    result = ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--wait")

    assert result.code == 0
    headings, row = result.out.splitlines()
    assert headings.split() == ["STATUS", "RUN", "FUNCTION", "TOOK", "RESULT"]
    assert row.split()[0] == "completed"
    assert row.endswith('{"greeting":"Hello Ada"}')


def test_waiting_for_a_run_that_fails_ends_with_1_and_shows_the_next_command(ironflow):
    result = ironflow("emit", "visitor.refused", "--wait")

    assert result.code == 1
    assert "the door is shut" in result.out
    assert result.err.startswith("To inspect it: ironflow run get run_")


def test_a_wait_that_times_out_ends_with_75_and_the_run_continues(ironflow):
    result = ironflow("emit", "visitor.tired", "--wait", "--timeout", "300ms")

    assert result.code == 75
    assert result.err.startswith("To inspect it: ironflow run watch run_")
    run_id = result.err.split()[-1]
    assert ironflow("run", "get", run_id, "--json").json["status"] == "paused"


def test_an_event_that_triggers_nothing_is_recorded_with_a_note(ironflow):
    result = ironflow("emit", "visitor.unknown")

    assert result.code == 0
    assert "No active function is triggered by visitor.unknown. The event is recorded." in result.err


def test_the_same_idempotency_key_answers_the_first_ids(ironflow):
    key = uuid.uuid4().hex
    first = ironflow("emit", "visitor.arrived", "-d", '{"name": "a"}', "--idempotency-key", key, "--json").json
    second = ironflow("emit", "visitor.arrived", "-d", '{"name": "a"}', "--idempotency-key", key, "--json").json

    assert second == first | {"duplicate": True}


def test_invoking_starts_one_function_and_can_wait_for_it(ironflow):
    result = ironflow("invoke", "add", "--data", "[1, 2, 39]", "--wait", "--json")

    assert result.code == 0
    assert result.json["result"]["output"] == 42
    assert ironflow("invoke", "add", "--data", "[1]", "--no-wait").out.startswith("run    run_")
    assert ironflow("invoke", "subtract").code == 4


def test_data_of_another_shape_fails_the_run_clearly(ironflow):
    result = ironflow("invoke", "add", "--data", '"one"', "--wait")

    assert result.code == 1
    assert "array" in result.out


def test_a_run_is_shown_with_its_steps_over_time(ironflow):
    run_id = the_run(ironflow("emit", "visitor.stumbled", "--json"))
    assert ended(ironflow, run_id) == "completed"

    lines = ironflow("run", "get", run_id).out.splitlines()
    assert lines[0].split() == ["run", run_id]
    assert lines[1].split() == ["status", "completed"]
    assert any(line.startswith("attempt") and line.endswith("2 of 3") for line in lines)
    assert any(line.startswith("output") and line.endswith('"through"') for line in lines)
    assert lines[-1].split()[:2] == ["✓", "walk"]
    assert "━" in lines[-1]


def test_a_sleeping_run_shows_until_when(ironflow):
    run_id = the_run(ironflow("emit", "visitor.tired", "--json"))
    eventually(lambda: "a nap" in ironflow("run", "get", run_id).out)

    shown = ironflow("run", "get", run_id).out
    assert "waits for  a nap sleeps until" in shown
    assert "(in 9 min)" in shown


def test_a_failed_run_shows_the_error(ironflow):
    run_id = the_run(ironflow("emit", "visitor.refused", "--json"))
    assert ended(ironflow, run_id) == "failed"

    shown = ironflow("run", "get", run_id).out
    assert "the door is shut" in shown
    assert "✗  knock" in shown


def test_watching_shows_the_changes_and_its_exit_code_follows_the_run(ironflow):
    done = the_run(ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--json"))
    watched = ironflow("run", "watch", done)
    assert watched.code == 0
    assert watched.out.splitlines()[-1].endswith("run  completed")

    failed = the_run(ironflow("emit", "visitor.refused", "--json"))
    assert ironflow("run", "watch", failed).code == 1


def test_steps_are_listed_with_their_outputs(ironflow):
    run_id = the_run(ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--json"))
    ended(ironflow, run_id)

    lines = ironflow("run", "steps", run_id).out.splitlines()
    assert lines[0].split() == ["#", "STEP", "TYPE", "STATUS", "ATTEMPT", "TOOK", "OUTPUT"]
    assert lines[1].endswith('"Ada"')
    assert lines[2].endswith('{"greeting":"Hello Ada"}')
    assert [step["name"] for step in ironflow("run", "steps", run_id, "--json").json["steps"]] == ["look up", "compose"]


def test_runs_are_listed_by_function_status_event_and_page(ironflow):
    sent = ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--json").json
    assert ended(ironflow, sent["run_ids"][0]) == "completed"

    def listed(*arguments):
        return [run["id"] for run in ironflow("run", "list", *arguments, "--json").json["runs"]]

    assert listed("--event", sent["event_id"]) == sent["run_ids"]
    assert sent["run_ids"][0] in listed("--function", "greet", "--status", "completed", "--since", "1h")
    assert sent["run_ids"][0] not in listed("--status", "failed", "--status", "cancelled")
    assert listed("--until", "2020-01-01") == []
    first = ironflow("run", "list", "--limit", "1")
    assert len(first.out.splitlines()) == 2
    assert "There is more: --cursor " in first.err
    again = ironflow("run", "list", "--limit", "1", "--cursor", first.err.split()[-1])
    assert again.out.splitlines()[1] != first.out.splitlines()[1]


def test_a_list_shows_why_a_run_is_pending(ironflow, server):
    with Client(server) as client:
        client.functions.register(id="unserved", triggers=[{"event": "visitor.unserved"}], mode="pull")
    run_id = the_run(ironflow("emit", "visitor.unserved", "--json"))

    row = ironflow("run", "list", "--function", "unserved").out.splitlines()[1]
    assert row.startswith("pending (no_worker)")
    assert run_id in row


def test_a_run_is_cancelled_once(ironflow):
    run_id = the_run(ironflow("emit", "visitor.tired", "--json"))

    assert ironflow("run", "cancel", run_id, "--reason", "changed my mind").out == f"cancelled {run_id}\n"

    shown = ironflow("run", "get", run_id).out
    assert "changed my mind" in shown
    assert ironflow("run", "cancel", run_id).code == 5
    assert ironflow("run", "watch", run_id).code == 1


def test_events_are_listed_shown_and_counted(ironflow):
    name = f"test.{uuid.uuid4().hex[:8]}"
    sent = ironflow("emit", name, "--data", '{"n": 1}', "--metadata", '{"by": "me"}', "--version", "2", "--json").json

    headings, row = ironflow("event", "list", "--name", name).out.splitlines()
    assert headings.split() == ["EVENT", "NAME", "WHEN", "SOURCE", "DATA"]
    assert row.startswith(sent["event_id"])
    assert row.endswith('{"n": 1}')
    shown = ironflow("event", "get", sent["event_id"]).out
    assert '{"by": "me"}' in shown
    assert ["version", "2"] in [line.split() for line in shown.splitlines()]
    assert [name, "1"] in [line.split() for line in ironflow("event", "names").out.splitlines()]
    assert ironflow("event", "list", "--name", "test.nothing").err == "no events\n"


def test_functions_are_listed_and_shown(ironflow):
    rows = {line.split()[1]: line for line in ironflow("function", "list").out.splitlines()[1:]}
    assert rows["greet"].split()[:3] == ["active", "greet", "visitor.arrived"]
    assert "invoke only" in rows["add"]

    shown = ironflow("function", "get", "stumble").out
    assert "3 attempts, first delay 20ms" in shown


def test_a_paused_function_starts_no_runs_until_it_is_activated(ironflow):
    assert ironflow("function", "pause", "fail").out == "fail is paused\n"
    try:
        assert ironflow("emit", "visitor.refused", "--json").json["run_ids"] == []
        assert ironflow("invoke", "fail").code == 5
    finally:
        assert ironflow("function", "activate", "fail").out == "fail is active\n"

    assert len(ironflow("emit", "visitor.refused", "--json").json["run_ids"]) == 1


def test_the_server_shows_its_state(ironflow):
    assert ironflow("server", "health").out.splitlines()[0] == "status   ok"
    assert ironflow("server", "ready").code == 0
    assert ironflow("server", "info", "--json").json["database"] == "sqlite"
    assert "polling-workers" in ironflow("server", "capabilities").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "get", "run_none"], ["run", "steps", "run_none"], ["run", "watch", "run_none"],
        ["run", "cancel", "run_none"], ["event", "get", "evt_none"], ["function", "get", "none"],
        ["function", "pause", "none"], ["function", "delete", "none"],
    ],
)  # fmt: skip
def test_a_missing_object_ends_with_4_and_one_line(ironflow, arguments):
    result = ironflow(*arguments)

    assert (result.code, result.out) == (4, "")
    assert result.err.count("\n") == 1


def test_the_result_of_a_run_is_its_output_alone(ironflow):
    run_id = the_run(ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--json"))

    result = ironflow("run", "result", run_id, "--wait")

    assert (result.code, result.out) == (0, '{"greeting":"Hello Ada"}\n')
    assert ironflow("run", "result", run_id, "--json").json["status"] == "completed"


def test_the_result_of_a_run_that_failed_or_goes_on_is_an_exit_code(ironflow):
    failed = the_run(ironflow("emit", "visitor.refused", "--json"))
    result = ironflow("run", "result", failed, "--wait")
    assert (result.code, result.out) == (1, "")
    assert "the door is shut" in result.err

    tired = the_run(ironflow("emit", "visitor.tired", "--json"))
    assert ironflow("run", "result", tired).code == 75
    waited = ironflow("run", "result", tired, "--wait", "--timeout", "300ms")
    assert (waited.code, waited.out) == (75, "")
    assert f"ironflow run watch {tired}" in waited.err


def test_workers_are_listed_with_their_functions(ironflow):
    result = ironflow("worker", "list")

    headings, *rows = result.out.splitlines()
    assert headings.split() == ["WORKER", "HOST", "JOBS", "SEEN", "TRANSPORT", "LABELS", "FUNCTIONS"]
    assert any("greet" in row for row in rows)
    listed = ironflow("worker", "list", "--json").json["workers"]
    assert sorted(row.split()[0] for row in rows) == sorted(each["id"] for each in listed)


def test_a_chain_of_runs_is_shown_from_any_of_its_links(ironflow, server):
    first, second, last = a_chain(server, "chain-of-runs", links=3)

    shown = ironflow("run", "get", second, "--chain")
    assert shown.code == 0
    rows = [line.split()[:3] for line in shown.out.splitlines()[1:]]
    assert rows == [["0", "restarted", first], ["1", "restarted", second], ["2", "running", last]]
    page = ironflow("run", "get", last, "--chain", "--limit", "2")
    assert page.err.split()[-2:] == ["--cursor", "1"]
    rest = ironflow("run", "get", last, "--chain", "--limit", "2", "--cursor", "1", "--json")
    assert [each["id"] for each in rest.json["runs"]] == [last]
    one = ironflow("run", "get", second)
    assert f"restarted from  {first}" in one.out
    assert f"link 1 since {first}" in one.out
    assert (
        "RUN_ENDED" in ironflow("run", "cancel", first, "--json").err + ironflow("run", "cancel", first, "--json").out
    )
    assert ironflow("run", "result", first).code == 75
