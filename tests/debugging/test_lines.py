"""Breakpoints on lines of the user's files, where these lines call steps that a run has recorded."""

import pytest
from pytest import raises

from tests.debugging.editor import Editor, Refusal
from tests.support.work import Work, step

ORDERS = {"name": "orders.py", "path": "/app/orders.py"}


async def lines_of(server: Work) -> str:
    """A recorded run whose steps are called at lines 10, 14 and 20 of ORDERS, two of them in one fact."""
    run = await server.a_run(recording=True)
    job = await server.claim()
    both = [step(job, name, line) | {"source": f"/app/orders.py:{line}"} for name, line in (("a", 10), ("b", 14))]
    await server.report(job, "progress", *both)
    await server.report(job, "completed", step(job, "c", 20) | {"source": "/app/orders.py:20"}, output=1)
    return run.id


async def test_lines_of_files_that_call_steps_take_breakpoints_or_the_next_below_does(server: Work):
    editor = Editor(server, await lines_of(server))
    await editor.begin()
    wanted = [{"line": 10}, {"line": 15, "condition": "step.output == 20"}, {"line": 21}]
    answer = (await editor.ask("setBreakpoints", source=ORDERS, breakpoints=wanted))["breakpoints"]

    assert [(each["line"], each["verified"]) for each in answer] == [(10, True), (20, True), (21, False)]
    assert answer[2]["reason"] == "pending"
    assert "function breakpoint" in answer[2]["message"]
    lines = (await editor.ask("breakpointLocations", source=ORDERS, line=1, endLine=19))["breakpoints"]
    assert lines == [{"line": 10}, {"line": 14}]

    stops = [await editor.move("continue"), await editor.move("continue"), await editor.move("reverseContinue")]
    assert [each.get("hitBreakpointIds") for each in stops] == [[1], [2], [1]]
    assert [each["reason"] for each in stops] == ["breakpoint"] * 3
    # Two steps are in the fact: it shows the one of the breakpoint.
    top = (await editor.frames())[0]
    assert (top["name"], top["line"], top["source"]) == ("a (completed)", 10, ORDERS)
    await editor.ask("setBreakpoints", source=ORDERS, breakpoints=[])
    assert (await editor.move("continue"))["description"] == "The run has ended: completed"


@pytest.mark.parametrize("path", ["/app/../app/orders.py", "/app/other.py"])
async def test_a_file_is_known_by_its_path_however_it_is_spelled(server: Work, path: str):
    editor = Editor(server, await lines_of(server))
    await editor.begin(client={"linesStartAt1": False})
    (answer,) = (await editor.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 9}]))["breakpoints"]

    assert (answer["line"], answer["verified"]) == (9, "other" not in path)


async def test_breakpoints_in_files_that_come_before_the_run_are_placed_with_it(server: Work):
    editor = Editor(server, await lines_of(server))
    await editor.ask("initialize")
    wanted = [{"line": 12, "logMessage": "{step.name} gave {step.output}"}, {"line": 16}]
    answer = (await editor.ask("setBreakpoints", source=ORDERS, breakpoints=wanted))["breakpoints"]
    assert [each["verified"] for each in answer] == [False, False]
    await editor.ask("launch", stopOnEntry=False)
    await editor.ask("configurationDone")

    changed = [each["breakpoint"] for each in editor.events("breakpoint")]
    assert changed == [{"id": 1, "verified": True, "line": 14}, {"id": 2, "verified": True, "line": 20}]
    assert editor.printed == '"b" gave 14\n'
    assert editor.stop["hitBreakpointIds"] == [2]


async def test_a_live_run_pauses_where_a_line_is_reached_that_was_pending(server: Work):
    run = await server.a_run(recording=True)
    editor = Editor(server, run.id)
    await editor.begin("attach")
    (answer,) = (await editor.ask("setBreakpoints", source=ORDERS, breakpoints=[{"line": 12}]))["breakpoints"]
    assert not answer["verified"]
    job = await server.claim()
    await server.report(job, "progress", step(job, "a", 1) | {"source": "/app/orders.py:10"})
    await editor.poll()
    assert (editor.session.following, editor.events("breakpoint")) == (True, [])
    await server.report(job, "progress", step(job, "b", 2) | {"source": "/app/orders.py:14"})
    await editor.poll()

    assert [each["breakpoint"]["line"] for each in editor.events("breakpoint")] == [14]
    assert editor.stop["hitBreakpointIds"] == [1]
    assert (await server.run(run.id)).pause_requested


async def test_a_source_without_a_path_is_refused(server: Work):
    editor = Editor(server)
    await editor.ask("initialize")
    with raises(Refusal, match="neither a path nor a reference"):
        await editor.ask("setBreakpoints", source={"name": "orders.py"}, breakpoints=[{"line": 3}])
