"""`ironflow stream` against a real server."""

import uuid

import pytest


@pytest.fixture
def entity(ironflow):
    """A new stream of three events."""
    name = f"order-{uuid.uuid4().hex[:8]}"
    for number in range(3):
        appended = ironflow("stream", "append", name, "order.changed", "--type", "order", "-d", f'{{"n":{number}}}')
        assert appended.code == 0
        assert appended.out.split()[:3] == ["version", str(number + 1), "event"]
    return name


def rows(result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


def test_events_are_read_in_either_direction_and_in_pages(ironflow, entity):
    read = rows(ironflow("stream", "read", entity))
    assert read[0] == ["VERSION", "EVENT", "WHEN", "SOURCE", "DATA"]
    assert [(row[0], row[1], row[-1]) for row in read[1:]] == [
        ("1", "order.changed", '{"n":0}'),
        ("2", "order.changed", '{"n":1}'),
        ("3", "order.changed", '{"n":2}'),
    ]
    page = ironflow("stream", "read", entity, "--backward", "--limit", "2")
    assert [row[0] for row in rows(page)[1:]] == ["3", "2"]
    assert page.err == "There is more: --from-version 1\n"
    last = ironflow("stream", "read", entity, "--backward", "--from-version", "1")
    assert ([row[0] for row in rows(last)[1:]], last.err) == (["1"], "")


def test_an_append_that_expects_another_version_is_refused_with_exit_code_5(ironflow, entity):
    refused = ironflow("stream", "append", entity, "order.changed", "--expect", "2")
    assert (refused.code, refused.out) == (5, "")
    assert "version conflict" in refused.err
    assert "is at version 3" in refused.err
    assert ironflow("stream", "append", entity, "order.changed", "--expect", "0").code == 5
    assert ironflow("stream", "append", entity, "order.changed", "--expect", "3").code == 0
    assert ironflow("stream", "append", entity, "order.changed", "--expect", "-1", "--json").json["entity_version"] == 5


def test_a_repeated_append_returns_the_first_response(ironflow, entity):
    first, again = (
        ironflow("stream", "append", entity, "order.paid", "--idempotency-key", "k", "--json").json for _ in range(2)
    )
    assert again == {**first, "duplicate": True}
    assert first["entity_version"] == 4


def test_a_stream_is_shown_and_listed(ironflow, entity):
    shown = ironflow("stream", "info", entity).out
    assert [line.split()[:2] for line in shown.splitlines()][:4] == [
        ["entity", entity],
        ["type", "order"],
        ["version", "3"],
        ["events", "3"],
    ]
    assert rows(ironflow("stream", "list", "--search", entity))[1][:4] == [entity, "order", "3", "3"]
    assert ironflow("stream", "list", "--type", "ship", "--json").json == {"streams": [], "total_count": 0}


def test_a_missing_stream_is_reported(ironflow):
    missing = ironflow("stream", "info", "missing")
    assert (missing.code, missing.err) == (4, "error: stream not found\n")
    assert ironflow("stream", "snapshot", "get", "missing").code == 4
    for command in ("read", "history"):
        result = ironflow("stream", command, "missing")
        assert (result.code, result.out, result.err) == (0, "", "no events\n")


def test_the_history_shows_the_runs_that_events_started(ironflow, worker, entity):
    ironflow("stream", "append", entity, "visitor.arrived", "-d", '{"name":"ann"}')

    lines = rows(ironflow("stream", "history", entity))
    assert lines[0] == ["VERSION", "EVENT", "WHEN", "FUNCTION", "STATUS", "TOOK", "RUN"]
    assert [line[:2] for line in lines[1:4]] == [[str(version), "order.changed"] for version in (1, 2, 3)]
    assert lines[4][:2] == ["4", "visitor.arrived"]
    assert "greet" in lines[4]
    assert lines[4][-1].startswith("run_")


def test_snapshots_are_stored_and_read(ironflow, entity):
    for version in ("1", "3"):
        assert ironflow("stream", "snapshot", "create", entity, version, f'{{"at":{version}}}').code == 0

    newest = ironflow("stream", "snapshot", "get", entity, "--json").json
    assert (newest["entity_version"], newest["state"]) == (3, {"at": 3})
    older = ironflow("stream", "snapshot", "get", entity, "--before-version", "2").out
    assert '{"at":1}' in older
    assert ironflow("stream", "snapshot", "create", entity, "9", "null").code == 2


def test_a_file_is_appended_in_one_commit_or_not_at_all(ironflow, entity, tmp_path):
    other = f"ship-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "events.jsonl"
    file.write_text(
        f'{{"entity_id": "{entity}", "name": "order.paid", "expected_version": 3}}\n\n'
        f'{{"entity_id": "{other}", "entity_type": "ship", "name": "ship.sailed", "data": {{"to": "Oslo"}}}}\n'
    )

    appended = ironflow("stream", "append", "--file", str(file), "--idempotency-key", f"k-{other}")
    again = ironflow("stream", "append", "--file", str(file))

    assert [row[:2] for row in rows(appended)] == [["ENTITY", "VERSION"], [entity, "4"], [other, "1"]]
    assert (again.code, again.out) == (5, "")
    assert f"line 1 of {file} is refused; no event was appended." in again.err
    assert f"for the stream of '{entity}'" in again.err
    assert ironflow("stream", "info", other, "--json").json["version"] == 1


def test_a_file_of_other_lines_is_refused_before_it_is_sent(ironflow, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"entity_id": "a", "name": "n"}\n[1]\n')
    refused = ironflow("stream", "append", "--file", str(file))
    assert refused.code == 2
    assert "line 2 is no event to append" in refused.err
    for beside in (("a",), ("--expect", "0"), ("--type", "thing"), ("--version", "2"), ("--data", "1")):
        assert "--file is given alone" in ironflow("stream", "append", *beside, "--file", str(file)).err
    assert "give the entity" in ironflow("stream", "append").err
    assert ironflow("stream", "append", "--file", str(tmp_path / "missing")).code == 2
