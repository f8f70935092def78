"""`ironflow replay` over runs that a real server recorded."""

import sys
from types import SimpleNamespace

import pytest

from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

SAME = """
from ironflow import function

print("imported")


@function("greet", on="visitor.arrived")
async def greet(ctx, visitor: dict):
    print("handled")
    name = await ctx.step.run("look up", lambda: 1 / 0)
    return await ctx.step.run("compose", lambda: {"greeting": f"Real {name}"})
"""


@pytest.fixture
def greeted(ironflow, folder):
    """The id of a completed run, and `app.py` whose code fits it."""
    (folder / "same_app.py").write_text(SAME)
    (folder / "planted_app.py").write_text(SAME.replace('"look up"', '"search"'))
    (run_id,) = ironflow("emit", "visitor.arrived", "--data", '{"name": "ada"}', "--json").json["run_ids"]
    eventually(lambda: ironflow("run", "get", run_id, "--json").json["status"] == "completed")
    return run_id


def test_an_untouched_run_fits(ironflow, greeted):
    result = ironflow("replay", greeted, "same_app.py")

    assert result.code == 0
    assert "the code fits" in result.out
    assert "handled" not in result.out
    assert "handled" in result.err


def test_a_planted_divergence_is_found(ironflow, greeted):
    result = ironflow("replay", greeted, "planted_app.py", "--json")

    assert result.code == 1
    assert result.json["verdict"] == "diverges"
    (divergence,) = result.json["divergences"]
    assert (divergence["kind"], divergence["step"]) == ("new_step", "search")
    assert "not_asked" not in ironflow("replay", greeted, "planted_app.py").out


def test_many_runs_before_a_deploy(ironflow, greeted):
    for name in ("bob", "eve"):
        (run_id,) = ironflow("emit", "visitor.arrived", "--data", f'{{"name": "{name}"}}', "--json").json["run_ids"]
        eventually(lambda run_id=run_id: ironflow("run", "get", run_id, "--json").json["status"] == "completed")

    fits = ironflow("replay", "--function", "greet", "--last", "2", "same_app.py", "--json")
    planted = ironflow("replay", "--function", "greet", "--last", "3", "planted_app.py")

    assert (fits.code, fits.json["runs"], fits.json["fits"]) == (0, 2, 2)
    assert planted.code == 1
    assert ["new_step", "3"] in [line.split() for line in planted.out.splitlines()]


def test_a_run_is_replayed_as_it_was(ironflow, greeted):
    begun = ironflow("replay", greeted, "same_app.py", "--at", "+0s", "--json")
    ended = ironflow("replay", greeted, "same_app.py", "--at", "+1h", "--json")

    assert (begun.json["verdict"], begun.json["next_steps"]) == ("fits", ["look up"])
    assert (ended.json["verdict"], ended.json["next_steps"]) == ("fits", [])
    assert ironflow("replay", greeted, "same_app.py", "--at", "+soon").code == 2
    assert ironflow("replay", "--function", "greet", "--at", "1h", "same_app.py").code == 2


def test_until_and_a_real_step(ironflow, greeted):
    stopped = ironflow("replay", greeted, "same_app.py", "--until", "compose", "--json").json
    real = ironflow("replay", greeted, "same_app.py", "--run-step", "compose", "--json").json

    assert (stopped["verdict"], stopped["end"], stopped["asked"]) == ("fits", "stopped", 2)
    (step,) = real["real"]
    assert (step["output"], step["recorded"]) == ({"greeting": "Real Ada"}, {"greeting": "Hello Ada"})
    assert (real["verdict"], real["other_output"]) == ("fits", True)


def test_debug_waits_for_a_debugger_and_is_refused_without_debugpy(ironflow, greeted, monkeypatch):
    done = []
    monkeypatch.setattr("ironflow.cli.run.replay.find_spec", lambda name: None)
    missing = ironflow("replay", greeted, "same_app.py", "--debug")
    monkeypatch.setattr("ironflow.cli.run.replay.find_spec", lambda name: object())
    there = SimpleNamespace(listen=done.append, wait_for_client=lambda: done.append("attached"))
    monkeypatch.setitem(sys.modules, "debugpy", there)
    attached = ironflow("replay", greeted, "same_app.py", "--debug", "--debug-port", "5999")

    assert missing.code == 2
    assert "pip install 'ironflow-engine[debug]'" in " ".join(missing.err.split())
    assert (attached.code, done) == (0, [("127.0.0.1", 5999), "attached"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run_none", "same_app.py"), 4, "run_none"),
        (("run_none",), 2, "write `ironflow replay RUN app.py`"),
        (("--function", "absent", "same_app.py"), 2, "has no function 'absent'. Its functions: greet."),
        (("--function", "greet", "--last", "0", "same_app.py"), 2, "--last is 0"),
        (("--function", "greet", "--run-step", "compose", "same_app.py"), 2, "are for one run"),
    ],
)
def test_what_cannot_be_replayed_is_refused(ironflow, greeted, arguments, code, message):
    result = ironflow("replay", *arguments)

    assert result.code == code
    assert message in " ".join(result.err.split())
