"""A session of the debug adapter for each request that it announces, on a run of a real server."""

from typing import Any

import pytest
from pytest import raises

from ironflow.base.json import read_json
from ironflow.debugging.dap.protocol import Rubbish
from ironflow.debugging.dap.session import CAPABILITIES, Session
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.debugging.editor import Editor, Refusal, an_order
from tests.support.work import Work, step


@pytest.fixture
async def editor(server: Work) -> Editor:
    """At the beginning of a run that has completed."""
    found = Editor(server, await an_order(server))
    await found.begin()
    return found


@pytest.fixture
async def failing(server: Work) -> Editor:
    """At the end of a run that has failed."""
    found = Editor(server, await an_order(server, fails=True))
    await found.begin("attach")
    return found


async def test_every_announced_request_has_a_handler():
    announced = {
        "supportsConfigurationDoneRequest": "configurationDone",
        "supportsFunctionBreakpoints": "setFunctionBreakpoints",
        "supportsExceptionInfoRequest": "exceptionInfo",
        "supportsStepBack": "stepBack",
        "supportsSetVariable": "setVariable",
        "supportsRestartFrame": "restartFrame",
        "supportsGotoTargetsRequest": "gotoTargets",
        "supportsLoadedSourcesRequest": "loadedSources",
        "supportsBreakpointLocationsRequest": "breakpointLocations",
        "supportsCompletionsRequest": "completions",
    }
    assert announced.keys() <= CAPABILITIES.keys()
    handlers = {name.removeprefix("_on_") for name in dir(Session) if name.startswith("_on_")}
    assert {*announced.values(), "reverseContinue", "goto", "source", "evaluate"} <= handlers


async def test_a_launch_stops_at_the_creation_and_names_the_run(editor: Editor):
    assert editor.stop == {
        "reason": "entry",
        "description": "Created for charge by order.placed",
        "threadId": 1,
        "allThreadsStopped": True,
    }
    assert (await editor.ask("threads"))["threads"] == [{"id": 1, "name": editor.run_id}]


async def test_a_launch_without_stop_on_entry_goes_to_the_first_breakpoint(server: Work):
    editor = Editor(server)
    await editor.ask("initialize")
    await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "reserve"}])
    await editor.ask("launch", run=await an_order(server), stopOnEntry=False)
    await editor.ask("configurationDone")

    assert editor.stop["reason"] == "function breakpoint"
    assert editor.stop["description"] == "'reserve' completed in 1ms"


@pytest.mark.parametrize(
    ("at", "found"),
    [
        ("start", "Created for charge by order.placed"),
        ("end", "Completed, 4.0s after its creation"),
        ("+2s", "'reserve' completed in 1ms"),
        ("confirm", "'confirm' completed in 1ms"),
    ],
)
async def test_a_launch_begins_at_any_moment(server: Work, at: str, found: str):
    editor = Editor(server, await an_order(server))
    await editor.begin(at=at)

    assert editor.stop["description"].startswith(found[:12])


async def test_steps_go_forth_and_back_over_facts_and_end_with_the_run(editor: Editor):
    seen = [editor.stop["description"], *[(await editor.move("next"))["description"] for _ in range(5)]]
    back = [(await editor.move("stepBack"))["description"] for _ in range(5)]

    assert back == list(reversed(seen))[1:]
    assert seen[2] == "'reserve' completed in 1ms"
    assert (await editor.move("stepBack"))["reason"] == "entry"
    assert (await editor.move("stepIn"))["description"] == seen[1]
    assert (await editor.move("stepOut"))["description"] == seen[2]


async def test_the_stack_is_step_branch_and_run_and_threads_are_branches(editor: Editor):
    await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "charge"}])
    stop = await editor.move("continue")
    threads = (await editor.ask("threads"))["threads"]

    assert [each["name"] for each in threads[1:]] == ["pay[0]"]
    assert stop["threadId"] == threads[1]["id"]
    frames = await editor.frames(stop["threadId"])
    assert [each["name"] for each in frames] == ["pay[0]/charge (completed)", "pay[0]", "charge (running)"]
    assert [each["canRestart"] for each in frames] == [True, False, True]
    assert len({each["line"] for each in frames}) == 1
    last = await editor.ask("stackTrace", threadId=stop["threadId"], startFrame=2, levels=1)
    assert (len(last["stackFrames"]), last["totalFrames"]) == (1, 3)
    # A step of a branch goes to the next moment of the branch; there is none, so to the end.
    assert (await editor.ask("next", threadId=stop["threadId"])) == {}


async def test_a_step_whose_worker_reports_it_stands_at_the_line_of_its_call(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 12) | {"source": "/app/orders.py:42"})
    await server.report(job, "completed", step(job, "confirm", "sent") | {"source": "no place"}, output=1)
    editor = Editor(server, run.id)
    await editor.begin()
    await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "reserve"}, {"name": "confirm"}])

    await editor.move("continue")
    reserved, whole = await editor.frames()
    assert (reserved["line"], reserved["source"]) == (42, {"name": "orders.py", "path": "/app/orders.py"})
    assert "sourceReference" in whole["source"]
    with raises(Refusal, match="only lines of the run's history"):
        await editor.ask("gotoTargets", source=reserved["source"], line=1)
    await editor.move("continue")
    confirmed, whole = await editor.frames()
    assert confirmed["source"] == whole["source"]


async def test_scopes_show_outputs_changes_event_and_attempts(editor: Editor):
    await editor.ask("evaluate", expression=".goto reserve", context="repl")

    assert await editor.values("Outputs") == {"reserve": '{"table":12,"guests":["Ada","Bo"]}'}
    assert (await editor.values("Step"))["status"] == '"completed"'
    assert '{"after":{"status":"completed"' in (await editor.values("Changes"))["steps.reserve"]
    assert (await editor.values("Event"))["data"] == '{"total":100}'
    assert (await editor.values("Attempts"))["run"] == '"1 of 3"'
    assert await editor.values("Waits") == {}


async def test_secrets_are_shown_as_stars(server: Work, monkeypatch: pytest.MonkeyPatch):
    from ironflow.base.time import to_datetime
    from ironflow.features.secrets.contract import Secret, Secrets

    editor = Editor(server, await an_order(server))
    real = editor._answer  # pyright: ignore[reportPrivateUsage]

    async def answer(asked: Any) -> Any:
        if asked.operation.name == "secrets.list":
            at = to_datetime(server.now)
            return Secrets(secrets=[Secret(name="API_TOKEN", revision=1, created_at=at, updated_at=at)])
        return await real(asked)

    monkeypatch.setattr(editor, "_answer", answer)
    await editor.begin()
    assert await editor.values("Secrets") == {"API_TOKEN": '"***"'}


async def test_values_are_expanded_and_paged(editor: Editor):
    await editor.ask("evaluate", expression=".goto end", context="repl")
    outputs = await editor.scope("Outputs")
    (reserve,) = [
        each
        for each in (await editor.ask("variables", variablesReference=outputs))["variables"]
        if each["name"] == "reserve"
    ]
    assert (reserve["type"], reserve["namedVariables"]) == ("object", 2)
    inner = (await editor.ask("variables", variablesReference=reserve["variablesReference"]))["variables"]
    guests = inner[1]
    assert (guests["evaluateName"], guests["indexedVariables"]) == ("outputs.reserve.guests", 2)
    page = await editor.ask("variables", variablesReference=guests["variablesReference"], start=1, count=1)
    assert [(each["name"], each["value"]) for each in page["variables"]] == [("1", '"Bo"')]


async def test_continue_and_reverse_continue_go_from_breakpoint_to_breakpoint(editor: Editor):
    answer = await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "reserve"}, {"name": "conf*"}])
    assert [each["verified"] for each in answer["breakpoints"]] == [True, True]

    stops = [await editor.move("continue") for _ in range(3)]
    assert [each["reason"] for each in stops] == ["function breakpoint", "function breakpoint", "pause"]
    assert stops[0]["hitBreakpointIds"] == [answer["breakpoints"][0]["id"]]
    assert stops[2]["description"] == "The run has ended: completed"
    assert (await editor.move("reverseContinue"))["hitBreakpointIds"] == [answer["breakpoints"][1]["id"]]
    assert (await editor.move("reverseContinue"))["hitBreakpointIds"] == [answer["breakpoints"][0]["id"]]
    assert (await editor.move("reverseContinue"))["reason"] == "entry"


async def test_at_the_end_of_a_run_continue_ends_the_session(editor: Editor):
    await editor.move("continue")
    await editor.ask("continue", threadId=1)

    assert editor.events("terminated") == [{}]


async def test_conditions_and_hit_conditions_choose_among_moments(editor: Editor):
    wanted = [
        {"name": "charge", "condition": "step.output.amount < 50"},
        {"name": "charge", "hitCondition": ">= 2"},
        {"name": "charge", "condition": "steps.nothing.output > 1"},
    ]
    ids = [each["id"] for each in (await editor.ask("setFunctionBreakpoints", breakpoints=wanted))["breakpoints"]]

    assert (await editor.move("continue"))["hitBreakpointIds"] == ids[:2]
    assert await editor.evaluated("step.output.amount") == "30"
    assert (await editor.move("continue"))["reason"] == "pause"


async def test_a_condition_that_is_no_expression_is_not_verified(editor: Editor):
    wanted = [{"name": "charge", "condition": "1 +"}, {"name": "charge", "hitCondition": "often"}]
    answer = (await editor.ask("setFunctionBreakpoints", breakpoints=wanted))["breakpoints"]

    assert [each["verified"] for each in answer] == [False, False]
    assert "neither a path nor a CEL expression" in answer[0]["message"]


async def test_lines_of_the_history_take_breakpoints_and_logpoints(editor: Editor):
    (source,) = (await editor.ask("loadedSources"))["sources"]
    content = (await editor.ask("source", source=source, sourceReference=source["sourceReference"]))["content"]
    line = next(n for n, text in enumerate(content.splitlines(), 1) if "'reserve' completed" in text)
    lines = await editor.ask("breakpointLocations", source=source, line=1, endLine=99)
    assert [each["line"] for each in lines["breakpoints"]] == list(range(1, len(content.splitlines()) + 1))

    wanted = [{"line": line, "logMessage": "table {outputs.reserve.table} of {nothing.here}"}, {"line": line + 1}]
    answer = await editor.ask("setBreakpoints", source=source, breakpoints=wanted)
    stop = await editor.move("continue")

    assert [each["line"] for each in answer["breakpoints"]] == [line, line + 1]
    assert (stop["reason"], (await editor.frames())[0]["line"]) == ("breakpoint", line + 1)
    assert editor.printed == "table 12 of {nothing.here}\n"


@pytest.mark.parametrize("filters", [{"filters": ["any"]}, {"filterOptions": [{"filterId": "uncaught"}]}])
async def test_exception_filters_stop_at_failures_which_are_described(server: Work, filters: dict[str, Any]):
    editor = Editor(server, await an_order(server, fails=True))
    await editor.begin()
    await editor.ask("setExceptionBreakpoints", **filters)
    stop = await editor.move("continue")
    if filters == {"filters": ["any"]}:
        assert stop["description"].startswith("'confirm' failed")
    info = await editor.ask("exceptionInfo", threadId=1)

    assert (stop["reason"], stop["text"]) == ("exception", "card declined")
    assert (info["exceptionId"], info["details"]["stackTrace"]) == ("DECLINED", "at charge.py:7")
    assert info["breakMode"] == ("unhandled" if "filterOptions" in filters else "always")


async def test_goto_goes_to_a_line(editor: Editor):
    (source,) = (await editor.ask("loadedSources"))["sources"]
    targets = (await editor.ask("gotoTargets", source=source, line=3))["targets"]
    stop = await editor.move("goto", targetId=targets[0]["id"])

    assert (stop["reason"], (await editor.frames())[0]["line"]) == ("goto", 3)
    assert (await editor.ask("gotoTargets", source=source, line=999))["targets"] == []


async def test_paths_and_expressions_are_evaluated_and_completed(editor: Editor):
    await editor.ask("evaluate", expression=".goto end", context="repl")

    assert await editor.evaluated("outputs.reserve.guests[1]") == '"Bo"'
    assert await editor.evaluated('steps["pay[1]/charge"].output.amount + 1') == "31"
    assert await editor.evaluated("size(outputs.reserve.guests) == 2", context="hover") == "true"
    assert await editor.evaluated("run.status", context="clipboard") == '"completed"'
    targets = (await editor.ask("completions", text="outputs.res", column=12))["targets"]
    assert {"label": "reserve", "type": "property"} in targets
    with raises(Refusal, match="no value here"):
        await editor.evaluated("outputs.nothing")
    with raises(Refusal, match="neither a path nor"):
        await editor.evaluated("1 +")


async def test_commands_of_the_console_go_to_moments(editor: Editor):
    assert "'confirm' completed" in await editor.evaluated(".goto confirm", context="repl")
    assert editor.stop["reason"] == "goto"
    assert ".reason TEXT" in await editor.evaluated(".help", context="repl")
    assert "ended" in await editor.evaluated(".why", context="repl")
    with raises(Refusal, match="nothing has failed"):
        await editor.evaluated(".goto failure", context="repl")


async def test_setting_an_output_of_a_failed_run_patches_it_with_a_reason(failing: Editor, server: Work):
    outputs = await failing.scope("Outputs")
    reserve = (await failing.ask("variables", variablesReference=outputs))["variables"][0]
    inside: dict[str, Any] = {"variablesReference": reserve["variablesReference"], "name": "table"}

    with raises(Refusal, match="a reason is recorded"):
        await failing.ask("setVariable", **inside, value="13")
    with raises(Refusal, match="no JSON"):
        await failing.ask("setVariable", **inside, value="thirteen // why")
    answer = await failing.ask("setVariable", **inside, value="13 // a better table")

    assert answer["value"] == "13"
    assert failing.stop["description"] == "'reserve' patched by api: a better table"
    assert await failing.evaluated("outputs.reserve") == '{"table":13,"guests":["Ada","Bo"]}'


async def test_setting_an_output_of_a_paused_run_injects_it(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    await server.call(controls.pause, run_id=run.id)
    await server.report(job, "progress", step(job, "reserve", {"table": 12}))
    editor = Editor(server, run.id)
    await editor.begin(at="end", reason="tried by hand", client={"supportsInvalidatedEvent": True})

    outputs = await editor.scope("Outputs")
    await editor.ask("setVariable", variablesReference=outputs, name="reserve", value='{"table": 14}')

    assert editor.events("invalidated") == [{"areas": ["all"]}]
    assert await editor.evaluated("step.injected") == "true"
    (reserve,) = await server.steps(run.id)
    assert read_json(reserve.output or b"") == {"table": 14}
    (source,) = (await editor.ask("loadedSources"))["sources"]
    assert (await editor.ask("source", source=source))["content"].endswith("'reserve' injected: tried by hand\n")


async def test_what_is_no_output_cannot_be_set(failing: Editor):
    event = await failing.scope("Event")
    with raises(Refusal, match="only outputs of steps"):
        await failing.ask("setVariable", variablesReference=event, name="name", value='"x" // y')


async def test_the_past_cannot_be_changed(failing: Editor):
    await failing.evaluated(".goto reserve", context="repl")
    outputs = await failing.scope("Outputs")
    with raises(Refusal, match="the past cannot be changed"):
        await failing.ask("setVariable", variablesReference=outputs, name="reserve", value="1 // y")


async def test_restarting_a_frame_resumes_from_its_step_and_shows_what_runs_again(failing: Editor, server: Work):
    await failing.evaluated(".goto reserve", context="repl")
    await failing.ask("restartFrame", frameId=(await failing.frames())[0]["id"])

    assert "Steps to run again: reserve, charge, charge, confirm." in failing.printed
    assert failing.events("continued") == [{"threadId": 1, "allThreadsContinued": True}]
    assert failing.session.following
    job = await server.claim()
    assert job.completed_steps == []
    await server.report(job, "completed", output=1)
    await failing.poll()
    assert failing.stop["description"] == "The run has ended: completed"


async def test_a_completed_run_does_not_go_on_from_a_frame(editor: Editor):
    with raises(Refusal, match="only paused and failed runs"):
        await editor.ask("restartFrame", frameId=(await editor.frames())[0]["id"])


# Live runs ------------------------------------------------------------------------------------------------------------


async def test_a_live_run_pauses_at_a_breakpoint_and_goes_on_when_the_client_continues(server: Work):
    run = await server.a_run(recording=True)
    editor = Editor(server, run.id)
    await editor.begin("attach")
    await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "reserve"}])
    assert (editor.session.following, editor.events("stopped")) == (True, [])
    job = await server.claim()
    await editor.poll()
    await server.report(job, "progress", step(job, "reserve", 1))
    await editor.poll()

    assert editor.stop["reason"] == "function breakpoint"
    assert (await server.run(run.id)).pause_requested
    await server.report(job, "progress", step(job, "charge", 2))
    assert (await server.run(run.id)).state == "paused: injection"
    await editor.ask("continue", threadId=1)
    assert (await server.run(run.id)).status is RunStatus.PENDING
    await server.report(await server.claim(), "completed", output=3)
    await editor.poll()
    assert editor.stop["description"] == "The run has ended: completed"


@pytest.mark.parametrize("at_the_boundary", [False, True])
async def test_a_run_goes_on_when_the_client_vanishes_in_a_pause(server: Work, at_the_boundary: bool):
    run = await server.a_run(recording=True)
    job = await server.claim()
    editor = Editor(server, run.id)
    await editor.begin("attach")
    await editor.ask("pause", threadId=1)
    assert editor.stop["reason"] == "pause"
    if at_the_boundary:
        await server.report(job, "progress", step(job, "reserve", 1))
        assert (await server.run(run.id)).state == "paused: injection"

    await editor.leave()

    found = await server.run(run.id)
    assert (found.pause_requested, found.status.value) == (False, "pending" if at_the_boundary else "running")


async def test_a_run_that_others_paused_stays_paused_when_the_client_leaves(server: Work):
    run = await server.a_run(recording=True)
    await server.call(controls.pause, run_id=run.id)
    editor = Editor(server, run.id)
    await editor.begin("attach")
    assert editor.stop["reason"] == "entry"
    await editor.move("continue")
    assert "is paused. `.resume` lets it go on" in editor.printed
    await editor.ask("disconnect")

    assert editor.session.closed
    assert (await server.run(run.id)).state == "paused: injection"


async def test_a_step_at_the_end_of_a_live_run_waits_for_its_next_moment(server: Work):
    run = await server.a_run(recording=True)
    editor = Editor(server, run.id)
    await editor.begin(at="end")
    await editor.ask("next", threadId=1)
    assert editor.session.following
    await server.claim()
    await editor.poll()

    assert editor.stop["reason"] == "step"
    assert (await server.run(run.id)).pause_requested


async def test_a_server_that_is_away_for_a_while_is_reported_once_and_the_run_is_followed_on(server: Work):
    run = await server.a_run(recording=True)
    editor = Editor(server, run.id)
    await editor.begin("attach")
    editor.reachable = False
    for _ in range(3):
        await editor.poll()
    editor.reachable = True
    await server.call(runs.cancel, id=run.id)
    await editor.poll()

    assert editor.printed == "The server cannot be reached. Trying again.\nThe server is there again.\n"
    assert editor.stop["description"] == "The run has ended: cancelled"


async def test_a_run_that_is_purged_while_it_is_looked_at_ends_the_session_or_refuses(editor: Editor, server: Work):
    await server.db.write(lambda tx: tx.run("DELETE FROM runs"))

    with raises(Refusal, match="There is no run"):
        await editor.evaluated(".why", context="repl")
    editor.session.following = True
    await editor.poll()
    assert editor.events("terminated") == [{}]


# Hostile input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Rubbish("no JSON"),
        {},
        {"seq": 1, "type": "request"},
        {"seq": "1", "type": "request", "command": "initialize"},
        {"seq": 1, "type": "event", "command": "initialize"},
    ],
)
async def test_what_is_no_request_causes_an_output_and_changes_nothing(server: Work, message: Any):
    editor = Editor(server)
    (sent,) = await editor.raw(message)

    assert sent["event"] == "output"
    assert await editor.ask("initialize") == CAPABILITIES


@pytest.mark.parametrize("command", ["threads", "launch", "continue", "setVariable", "disconnect"])
async def test_requests_before_initialize_are_refused(server: Work, command: str):
    with raises(Refusal, match="`initialize` comes first"):
        await Editor(server).ask(command)


async def test_requests_out_of_order_are_refused(server: Work):
    editor = Editor(server)
    await editor.ask("initialize")
    for command in ("threads", "continue", "stackTrace", "evaluate", "pause"):
        with raises(Refusal, match="`launch` or `attach` comes first"):
            await editor.ask(command)
    with raises(Refusal, match="initialized already"):
        await editor.ask("initialize")
    with raises(Refusal, match="the id of a run"):
        await editor.ask("launch")
    with raises(Refusal, match="There is no run 'run_none'"):
        await editor.ask("launch", run="run_none")
    await editor.ask("launch", run=await an_order(server))
    with raises(Refusal, match="has a run already"):
        await editor.ask("attach", run="run_none")
    assert editor.events("stopped") == []
    await editor.ask("configurationDone")
    assert len(editor.events("stopped")) == 1


async def test_a_run_that_is_not_recorded_is_refused_with_what_to_do(server: Work):
    editor = Editor(server, (await server.a_run()).id)
    await editor.ask("initialize")
    with raises(Refusal, match="Register the function with recording on"):
        await editor.ask("launch")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("stackTrace", {}),
        ("stackTrace", {"threadId": 99}),
        ("stackTrace", {"threadId": True}),
        ("scopes", {"frameId": -1}),
        ("scopes", {"frameId": 10**30}),
        ("variables", {"variablesReference": 77}),
        ("variables", {"variablesReference": "1"}),
        ("setVariable", {"variablesReference": 1}),
        ("evaluate", {}),
        ("evaluate", {"expression": "x" * 10_000}),
        ("evaluate", {"expression": ".nonsense", "context": "repl"}),
        ("evaluate", {"expression": ".goto 31 February", "context": "repl"}),
        ("setBreakpoints", {"source": 3, "breakpoints": []}),
        ("setBreakpoints", {"source": {"sourceReference": 1}, "breakpoints": [{"line": "x"}]}),
        ("setFunctionBreakpoints", {"breakpoints": [None]}),
        ("setExceptionBreakpoints", {"filters": "any"}),
        ("goto", {"targetId": 10_000}),
        ("source", {"sourceReference": 10_000}),
        ("restartFrame", {"frameId": 0}),
        ("nonsense", {}),
    ],
)
async def test_arguments_that_mean_nothing_are_refused_and_the_session_goes_on(
    editor: Editor, command: str, arguments: dict[str, Any]
):
    with raises(Refusal):
        await editor.ask(command, **arguments)
    assert (await editor.move("next"))["reason"] == "step"
