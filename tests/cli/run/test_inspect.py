"""`ironflow inspect` against a real server, on a run that this file executes."""

from typing import Any, NamedTuple

import msgspec
import pytest

from ironflow.base.operation import Operation
from ironflow.base.spelling import reader
from ironflow.base.time import parse_time, to_datetime
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.time_travel import contract as past
from ironflow.sync import Client

FUNCTION = "inspected"


class Worked(NamedTuple):
    """A run that completed. patched_at: RFC 3339."""

    run_id: str
    patched_at: str


def just_before(at: str) -> str:
    """A millisecond before."""
    return to_datetime(parse_time(at) - 1).isoformat()


def ask(client: Client, operation: Operation[Any, Any], **fields: Any) -> Any:
    return client.call(operation, reader(operation.request).read(msgspec.json.encode(fields)))


def work(client: Client, function: str, *, patch: bool, **config: Any) -> str:
    """A run of a new function that reserves, fails to charge, is patched, and completes; its id."""
    ask(client, functions.register, id=function, retry={"maxAttempts": 1}, **config)
    ask(client, jobs.register, worker=function, function_ids=[function])
    run_id = ask(client, events.invoke, function_id=function, data={"total": 5}).run_id

    def claim() -> dict[str, Any]:
        (job,) = ask(client, jobs.poll, worker=function, available=1, wait=5, acked=True).jobs
        return {
            "worker": function,
            "job": job.job_id,
            "execution_seq": job.execution_seq,
            "lease_token": job.lease_token,
        }

    def step(name: str, **more: Any) -> dict[str, Any]:
        return {"id": f"{run_id}:{name}:0", "name": name, "type": "invoke", "duration_ms": 12, **more}

    held = claim()
    reserved = step("reserve", status="completed", output={"table": 12}, source="/srv/shop/orders.py:42")
    charged = step("charge", status="failed", error={"message": "card declined"})
    failed = {"message": "card declined", "retryable": False}
    ask(client, jobs.update, status="failed", steps=[reserved, charged], error=failed, **held)
    if patch:
        ask(client, controls.patch, step_id=f"{run_id}:reserve:0", output={"table": 13}, reason="a better table")
    ask(client, controls.resume, run_id=run_id)
    ask(client, jobs.update, status="completed", output="flown", **claim())
    return run_id


@pytest.fixture(scope="module")
def worked(server: str) -> Worked:
    with Client(server) as client:
        run_id = work(client, FUNCTION, patch=True, recording=True, metadata={"__ironflow_code_hash": "c0de"})
        shown = ask(client, past.timeline, run_id=run_id).events
    (patched,) = [each for each in shown if each.event_type == "step.patched"]
    return Worked(run_id, patched.timestamp.isoformat())


def test_a_run_is_shown_with_its_timeline_and_its_steps(ironflow, worked: Worked):
    result = ironflow("inspect", worked.run_id)

    lines = result.out.splitlines()
    assert result.code == 0
    assert lines[0].split() == ["run", worked.run_id]
    assert ["status", "completed"] in [line.split() for line in lines]
    assert any(line.startswith("function") and line.endswith("inspected  version 1, code c0de") for line in lines)
    assert any("step.completed" in line and line.endswith("'reserve' completed in 12ms") for line in lines)
    assert any(line.endswith("'reserve' patched by api: a better table") for line in lines)
    assert any(line.endswith("'charge' failed: card declined") for line in lines)
    assert 'reserve  run   completed  12 ms  {"table":13}' in result.out
    assert 'patched by api, was {"table":12}, orders.py:42' in result.out
    assert "/srv/shop/orders.py:42" in ironflow("inspect", worked.run_id, "--full").out


def test_a_moment_shows_the_run_as_it_was_and_is_marked(ironflow, worked: Worked):
    before = ironflow("inspect", worked.run_id, "--at", just_before(worked.patched_at))

    assert ["status", "failed"] in [line.split() for line in before.out.splitlines()]
    assert 'reserve  run   completed  12 ms  {"table":12}' in before.out
    assert "was {" not in before.out
    signs = [line[0] for line in before.out.splitlines() if line[:1] in "●◌━" and line]
    assert signs == sorted(signs, key="●━◌".index)
    assert signs.count("━") == 1


def test_a_moment_may_be_counted_from_the_creation(ironflow, worked: Worked):
    start = ironflow("inspect", worked.run_id, "--at", "+0s", "--json").json
    end = ironflow("inspect", worked.run_id, "--at", "+1h", "--json").json

    assert (start["status"], start["steps"]) == ("pending", [])
    assert end["status"] == "completed"


def test_minor_entries_are_shown_with_all(ironflow, worked: Worked):
    short, whole = ironflow("inspect", worked.run_id), ironflow("inspect", worked.run_id, "--all")

    assert "step.started" not in short.out
    assert f"more entries: ironflow inspect {worked.run_id} --all" in short.out
    assert "'reserve' began" in whole.out
    assert "more entries" not in whole.out


def test_programs_get_the_state_with_its_timeline(ironflow, worked: Worked):
    shown = ironflow("inspect", worked.run_id, "--json").json

    assert (shown["run_id"], shown["status"], shown["code_hash"]) == (worked.run_id, "completed", "c0de")
    assert shown["steps"][0]["output"] == {"table": 13}
    assert shown["timeline"][0]["event_type"] == "run.created"


def test_a_run_that_is_not_recorded_is_refused_with_what_to_do(ironflow, server: str):
    with Client(server) as client:
        run_id = work(client, "uninspected", patch=False)

    result = ironflow("inspect", run_id)
    assert (result.code, result.out) == (5, "")
    assert "Register the function with recording on" in result.err


@pytest.mark.parametrize(("at", "code"), [("soon", 2), ("+soon", 2), ("2020-01-01T00:00:00Z", 4)])
def test_a_moment_that_means_nothing_or_came_before_the_run_is_an_error(ironflow, worked: Worked, at: str, code: int):
    result = ironflow("inspect", worked.run_id, "--at", at)

    assert result.code == code
    assert result.err.count("\n") == 1


def test_a_run_that_is_not_there_ends_with_4(ironflow):
    assert ironflow("inspect", "run_none").code == 4
