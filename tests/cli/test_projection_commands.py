"""`ironflow projection` against a real server."""

import json
import uuid

import pytest

from ironflow import sync
from ironflow.base.json import Json
from ironflow.features.projections import contract


@pytest.fixture
def name(ironflow, server):
    """A projection of two events; one of them is saved."""
    name, event = f"totals-{uuid.uuid4().hex[:8]}", f"order.{uuid.uuid4().hex[:8]}"
    with sync.Client(server) as client:
        for n in (1, 2):
            client.emit(event, {"n": n})
        client.call(contract.register, contract.Register(name=name, events=[event]))
        first = client.call(contract.poll, contract.Poll(name=name)).events[0]
        state = contract.SaveState(
            name=name, state=json_of({"count": 1}), last_event_seq=first.seq or 0, last_event_id=first.id or ""
        )
        client.call(contract.save, state)
    return name


def json_of(value):
    return Json(json.dumps(value).encode())


def test_a_projection_is_listed_and_shown_with_its_status(ironflow, name):
    assert name in ironflow("projection", "list").out
    assert ironflow("projection", "get", name, "--json").json["state"]["state"] == {"count": 1}
    assert json.loads(ironflow("projection", "get", name).out) == {"count": 1}
    before = ironflow("projection", "get", name, "--as-of", "10m")
    assert (before.code, before.out) == (0, "")
    assert ironflow("projection", "get", name, "--as-of", "soon").code == 2
    assert ironflow("projection", "status", name, "--json").json["lag"] == 1
    assert ironflow("projection", "partitions", name).out == "__global__\n"


def test_a_state_that_was_not_recorded_is_answered_with_the_one_kept_before_it(ironflow, name):
    # The second event came before that time, and is not saved.
    result = ironflow("projection", "get", name, "--as-of", "0s")

    assert (result.code, json.loads(result.out)) == (0, {"count": 1})
    assert "the last one kept before it, of 20" in result.err
    answer = ironflow("projection", "get", name, "--as-of", "0s", "--json").json
    assert (answer["as_of"]["exact"], answer["state"]["state"]) == (False, {"count": 1})


def test_a_projection_is_paused_resumed_rebuilt_cancelled_and_deleted(ironflow, name):
    assert ironflow("projection", "pause", name).out == f"{name} is paused\n"
    assert ironflow("projection", "resume", name).out == f"{name} is active\n"
    assert ironflow("projection", "rebuild", name, "--dry-run").out == "2 events would be read\n"
    assert ironflow("projection", "rebuild", name).out == f"{name} is rebuilding: 2 events\n"
    assert "0 of 2 events (0%)" in ironflow("projection", "status", name).out
    assert ironflow("projection", "rebuild", name).code == 5
    assert ironflow("projection", "cancel", name).out == f"{name} is active\n"
    assert ironflow("projection", "delete", name).code == 2
    assert ironflow("projection", "delete", name, "--yes").out == f"deleted projection {name}\n"
    assert ironflow("projection", "status", name).code == 4


def test_waiting_for_a_projection_shows_whether_it_caught_up(ironflow, name):
    assert ironflow("projection", "wait", name, "--seq", str(1)).code == 0
    late = ironflow("projection", "wait", name, "--timeout", "10ms")
    assert (late.code, "1 events behind" in late.out) == (75, True)
    assert ironflow("projection", "wait", name, "--seq", "1", "--event", "x").code == 2


def test_changes_of_a_projection_are_watched(ironflow, name):
    result = ironflow("projection", "watch", name, "--replay", "1", "--count", "1", "--json")

    change = json.loads(result.out)
    assert (result.code, change["topic"]) == (0, f"system.projection.{name}.__global__.updated")
    assert change["data"]["state"] == {"count": 1}


def test_a_rebuild_is_cancelled_by_its_published_name(ironflow, name):
    assert ironflow("projection", "rebuild", name).out == f"{name} is rebuilding: 2 events\n"
    assert ironflow("projection", "rebuild", "cancel", name).out == f"{name} is active\n"
    assert ironflow("projection", "rebuild", name, "other").code == 2


def test_a_watch_of_what_has_no_state_is_refused_with_where_to_look(ironflow, server):
    assert ironflow("projection", "watch", "missing").code == 4

    tables, elsewhere = f"rows{uuid.uuid4().hex[:8]}", f"mails-{uuid.uuid4().hex[:8]}"
    statement = f"INSERT INTO proj_{tables} VALUES (1)"
    made = ["--sql", f"CREATE TABLE proj_{tables} (a INT)", "--event-handler", f"a.b={statement}"]
    assert ironflow("projection", "create", tables, *made).code == 0
    with sync.Client(server) as client:
        client.call(contract.register, contract.Register(name=elsewhere, events=["a.b"], mode="external"))

    for name, sentence in ((tables, f"ironflow sql-projection query {tables}"), (elsewhere, "is external")):
        watched = ironflow("projection", "watch", name, "--replay", "1")
        assert (watched.code, sentence in watched.err) == (2, True), watched.err
        shown = ironflow("projection", "get", name)
        assert (shown.code, shown.out, sentence in shown.err) == (0, "", True), shown.err
