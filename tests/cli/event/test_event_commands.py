"""`ironflow event` against a real server: list, get, tail, export, import, redact."""

import io
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from ironflow.features.functions.contract import RegisterFunction, Trigger
from ironflow.sync import Client
from tests.support.waiting import eventually


@pytest.fixture
def name():
    return f"event-{uuid.uuid4().hex[:8]}"


def emit(server: str, name: str, count: int) -> list[str]:
    with Client(server) as client:
        return [each.event_id for each in client.emit_batch([{"name": name, "data": n} for n in range(count)])]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def copies(path: Path, name: str, count: int) -> list[str]:
    """Writes a file of events that no server knows; returns their ids."""
    ids = [f"{name}-{n}" for n in range(count)]
    text = [
        {"id": each, "name": name, "data": {"n": n}, "timestamp": "2020-01-01T00:00:00Z"} for n, each in enumerate(ids)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in text))
    return ids


def recorded(server: str, name: str) -> list[str]:
    """The ids of all events of that name, oldest first."""
    with Client(server) as client:
        return [event.id for event in client.events.list(name=name)][::-1]


def test_an_export_continues_after_its_last_complete_line(ironflow, server, name, tmp_path):
    file = tmp_path / "events.jsonl"
    ids = emit(server, name, 3)
    assert ironflow("event", "export", str(file), "--name", name).code == 0
    assert [each["id"] for each in lines(file)] == ids

    refused = ironflow("event", "export", str(file), "--name", name)
    assert (refused.code, "--resume" in refused.err) == (2, True)
    ids += emit(server, name, 2)
    # The state after a kill.
    with file.open("ab") as cut:
        cut.write(b'{"id":"half')
    assert ironflow("event", "export", str(file), "--name", name, "--resume").code == 0
    assert [each["id"] for each in lines(file)] == ids
    position = str(lines(file)[3]["position"])
    out = ironflow("event", "export", "--name", name, "--after", position).out
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids[4:]


def test_an_import_is_idempotent_and_names_the_bad_line(ironflow, server, name, tmp_path):
    file = tmp_path / "in.jsonl"
    ids = copies(file, name, 5)
    good = file.read_text()
    file.write_text(
        good + "\n" + json.dumps({"id": f"{name}-x", "name": "no name", "timestamp": "2020-01-01T00:00:00Z"})
    )

    refused = ironflow("event", "import", str(file), "--batch", "2")

    assert refused.code == 2
    assert "line 7 cannot be imported: 'no name' is no event name" in refused.err
    assert recorded(server, name) == ids[:4]
    file.write_text(good)
    assert ironflow("event", "import", str(file), "--json").json == {"lines": 5, "imported": 1, "known": 4, "runs": 0}
    assert recorded(server, name) == ids


def test_lines_come_from_standard_input_and_may_start_runs(ironflow, worker, monkeypatch):
    key = uuid.uuid4().hex
    line = {"id": key, "name": "visitor.arrived", "data": {"name": "ada"}, "timestamp": "2020-01-01T00:00:00Z"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(line).encode())))

    done = ironflow("event", "import", "--trigger", "--json")
    assert done.json["runs"] == 1

    (run_id,) = ironflow("event", "get", key, "--json").json["run_ids"]
    assert run_id in ironflow("event", "get", key).out


def test_redaction_asks_first_and_is_listed(ironflow, server, name):
    (event_id,) = emit(server, name, 1)

    assert ironflow("event", "redact", event_id).code == 2
    assert ironflow("event", "redact", event_id, "--yes", "--reason", "asked to").code == 0

    assert ironflow("event", "get", event_id, "--json").json["data"]["$redacted"] is True
    assert "asked to" in ironflow("event", "redactions", "--target", event_id).out


def test_a_run_is_redacted_once_it_has_ended(ironflow, worker):
    done = ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--wait", "--json").json
    run_id = done["results"][0]["run_id"]

    assert ironflow("run", "redact", run_id).code == 2
    assert ironflow("run", "redact", run_id, "--yes").code == 0

    shown = ironflow("run", "get", run_id, "--json").out
    assert "Hello" not in shown


@pytest.mark.processes
def test_tail_follows_what_is_emitted_from_now_on(server, name, tmp_path):
    emit(server, name, 1)
    command = [sys.executable, "-m", "ironflow", "event", "tail", "--name", name, "--every", "0.05", "--json"]
    out = tmp_path / "tail.out"
    emitted: list[str] = []

    def seen() -> list[str]:
        return [json.loads(line)["id"] for line in out.read_text().splitlines()]

    def shown() -> bool:
        # The command starts at some moment: events are emitted until it has shown some.
        emitted.extend(emit(server, name, 1))
        return len(seen()) >= 3

    with out.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, env={**os.environ, "IRONFLOW_SERVER_URL": server})
        try:
            eventually(shown)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    first = emitted.index(seen()[0])
    assert seen() == emitted[first : first + len(seen())]


@pytest.mark.processes
def test_an_import_that_was_killed_is_finished_by_the_next_one(ironflow, server, name, tmp_path):
    file = tmp_path / "in.jsonl"
    ids = copies(file, name, 3_000)
    command = [sys.executable, "-m", "ironflow", "event", "import", str(file), "--batch", "20"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "IRONFLOW_SERVER_URL": server}
    )
    with Client(server) as client:
        eventually(lambda: any(each.name == name and each.count for each in client.events.names()))
    process.kill()
    process.wait()

    there = recorded(server, name)
    assert there == ids[: len(there)]
    assert ironflow("event", "import", str(file)).code == 0
    assert recorded(server, name) == ids


def test_recorded_events_are_given_to_a_function_once(ironflow, server, name):
    ids = emit(server, name, 3)
    with Client(server) as client:
        client.functions.register(RegisterFunction(id=f"f-{name}", triggers=[Trigger(event=name)]))
    command = ("event", "trigger", "--function", f"f-{name}", "--name", name, "--since", "1h")

    counted = ironflow(*command, "--dry-run")
    some = ironflow(*command, "--limit", "1")
    rest = ironflow(*command, "--json")
    again = ironflow(*command)

    assert (counted.code, counted.out.split()) == (0, ["would", "start", "3"])
    assert some.out.split() == ["started", "1"]
    assert "There are more events: --cursor" in some.err
    assert (rest.json["started"], rest.json["known"], rest.json.get("next_cursor")) == (2, 1, None)
    assert again.out.split() == ["started", "0", "known", "3"]
    with Client(server) as client:
        assert {run.event_id for run in client.runs.list(function_id=f"f-{name}")} == set(ids)


def test_a_function_that_is_missing_is_not_given_events(ironflow):
    missing = ironflow("event", "trigger", "--function", "nowhere")
    assert (missing.code, "There is no function 'nowhere'" in missing.err) == (4, True)


def test_a_codec_encodes_what_is_sent_and_decodes_what_is_shown(ironflow, server, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = f"keys_{name[-8:]}"
    flip = "lambda text: bytes(each ^ 90 for each in text)"
    (tmp_path / f"{module}.py").write_text(f"from ironflow import Codec\n\ncodec = Codec({flip}, {flip})\n")
    emitted = ironflow("emit", name, "--data", '{"total": 7}', "--codec", f"{module}:codec", "--json").json

    shown = ironflow("event", "get", emitted["event_id"], "--codec", f"{module}:codec", "--json").json
    plain = ironflow("event", "get", emitted["event_id"], "--json").json

    assert (shown["data"], list(plain["data"])) == ({"total": 7}, ["$encoded"])
    missing = ironflow("event", "list", "--codec", f"{module}:other")
    assert (missing.code, f"'other' of module '{module}' is no Codec" in missing.err) == (2, True)
    assert "is not MODULE:NAME" in ironflow("event", "list", "--codec", "codec").err
