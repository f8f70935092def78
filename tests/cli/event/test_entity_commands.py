"""`ironflow entity` against a real server with a worker."""

import uuid

import pytest

from ironflow.cli.process import Child
from ironflow.sync import Client
from tests.support.waiting import eventually

FUNCTIONS = """
from ironflow import entity

counter = entity("counter", key="id", initial=0)


@counter.handler
async def add(ctx, data):
    ctx.state += data or 1
    return ctx.state


functions = counter.functions
"""


@pytest.fixture
def counting(server, tmp_path_factory):
    """A worker with the entity `counter`."""
    place = tmp_path_factory.mktemp("counting")
    (place / "counting.py").write_text(FUNCTIONS)
    with (place / "log").open("wb") as log:
        process = Child(
            ["worker", "counting:functions"],
            folder=place,
            output=log,
            environment={"IRONFLOW_SERVER_URL": server},
        )
        try:
            with Client(server) as client:
                eventually(lambda: "counter.add" in {each.id for each in client.functions.list()})
            yield
        finally:
            process.stop()


def rows(result) -> list[list[str]]:
    return [line.split() for line in result.out.splitlines()]


def test_entities_are_called_read_and_listed(ironflow, counting):
    key = f"k-{uuid.uuid4().hex[:8]}"
    called = ironflow("entity", "call", "counter", key, "add", "--data", "2", "--timeout", "60s", "--json")
    assert (called.code, called.json["result"]["output"]) == (0, 2)
    sent = ironflow("entity", "call", "counter", key, "add", "--no-wait", "--json")
    assert ironflow("run", "get", sent.json["run_id"], "--json").code == 0
    again = ironflow("entity", "call", "counter", key, "add", "--timeout", "60s", "--json")
    assert again.json["result"]["output"] == 4

    found = ironflow("entity", "get", "counter", key, "--json").json
    assert (found["state"], found["version"]) == (4, 3)
    assert ["version", "3"] in rows(ironflow("entity", "get", "counter", key))
    listed = rows(ironflow("entity", "list", "counter", "--limit", "1000"))
    assert listed[0] == ["KEY", "VERSION", "CHANGED", "STATE"]
    assert key in [row[0] for row in listed]
    history = rows(ironflow("entity", "history", "counter", key, "--backward", "--limit", "2"))
    assert [(row[0], row[1], row[-1]) for row in history[1:]] == [
        ("3", "counter.state.changed", "4"),
        ("2", "counter.state.changed", "3"),
    ]


def test_what_is_not_there_is_reported(ironflow):
    missing = ironflow("entity", "get", "nothing", "k")
    assert (missing.code, missing.out) == (4, "")
    assert "No handler has set a state" in missing.err
    empty = ironflow("entity", "list", "nothing")
    assert (empty.code, empty.out, empty.err) == (0, "", "no entities\n")
    assert ironflow("entity", "call", "nothing", "k", "make").code == 4
