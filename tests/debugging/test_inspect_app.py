"""The full screen, driven by keys, on a run of a real server in this process; 80 columns and 24 lines."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from ironflow.base.call import Call
from ironflow.base.errors import ConnectionLost
from ironflow.base.json import read_json
from ironflow.base.operation import Operation
from ironflow.cli.run.tui.app import InspectApp
from ironflow.cli.run.tui.run_screen import Opening, RunScreen
from ironflow.cli.run.tui.runs_screen import RunsScreen
from ironflow.features.controls import contract as controls
from ironflow.features.runs.contract import RunStatus
from tests.debugging.editor import an_order
from tests.support.work import Work, step, text_of

SIZE = (80, 24)
LOOKS_MAX = 800


class Terminal:
    """The application under test and its keys. reachable: whether there is a server. answers: set when it answers."""

    def __init__(self, server: Work) -> None:
        self.server = server
        self.reachable = True
        self.answers = asyncio.Event()
        self.answers.set()
        self.app: InspectApp
        self.pilot: Pilot[None]
        self.edited: Callable[[str], str] = lambda text: text

    async def call(self, operation: Operation[Any, Any], request: msgspec.Struct) -> Any:
        if not self.reachable:
            raise ConnectionLost("The server cannot be reached.")
        await self.answers.wait()
        dispatch = self.server.dispatch
        call = Call(environment="default", now=self.server.now, authorise=dispatch.authorise)
        return await dispatch(operation, call, request)

    def edit(self, text: str) -> str:
        return self.edited(text)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def write(self, text: str) -> None:
        """Types into a prompt, and Enter."""
        await self.press(*[{" ": "space", ":": "colon", "+": "plus"}.get(char, char) for char in text], "enter")

    @property
    def text(self) -> str:
        """What the screen shows."""
        lines = [strip.text for strip in self.app.screen._compositor.render_strips()]  # pyright: ignore[reportPrivateUsage]
        return "\n".join(line.rstrip() for line in lines)

    async def shows(self, *texts: str) -> None:
        """Waits until the screen shows all of these."""
        for _ in range(LOOKS_MAX):
            if all(text in self.text for text in texts):
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"the screen does not show {texts}:\n{self.text}")


@pytest.fixture
def terminal(server: Work) -> Terminal:
    return Terminal(server)


@asynccontextmanager
async def shown(
    terminal: Terminal, run_id: str = "", *, size: tuple[int, int] = SIZE, **more: Any
) -> AsyncIterator[Terminal]:
    clock = terminal.server.clock
    terminal.app = InspectApp(terminal.call, run_id, clock=clock, edit=terminal.edit, **more)
    async with terminal.app.run_test(size=size) as pilot:
        terminal.pilot = pilot
        yield terminal


async def test_a_run_opens_at_its_last_moment_as_a_tree(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("charge completed", "✓ reserve", "pay[0]", "pay[1]", "✓ confirm")
        await screen.shows("Completed, 4s after its creation", "run.status", '- "running"', '+ "completed"')
        assert all(len(line) <= SIZE[0] for line in screen.text.splitlines())


async def test_keys_step_through_the_history_with_the_difference_of_each_moment(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("7/7")
        await screen.press("home")
        await screen.shows("1/7", "charge pending", "Created for charge")
        await screen.press("right", "right")
        await screen.shows("3/7", "✓ reserve", "steps.reserve")
        assert "pay[0]" not in screen.text
        await screen.press("left")
        await screen.shows("2/7", "Worker w1 began")
        await screen.press("right_square_bracket")
        await screen.shows("7/7")


async def test_a_failure_shows_its_error_with_the_stack(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server, fails=True)) as screen:
        await screen.shows("✗ confirm")
        await screen.press("home", "f")
        await screen.shows("[error] confirm", "DECLINED: card declined", "at charge.py:7")


async def test_the_parts_of_a_step_are_shown_by_key(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("✓ reserve")
        await screen.press("home", "right", "right")
        await screen.shows("3/7")
        await screen.press("2")
        await screen.shows("[output] reserve", '"table": 12')
        await screen.press("tab")
        await screen.shows("[input]", "event order.placed", '"total": 100')
        await screen.press("5")
        await screen.shows("[run] reserve", "function", "attempt      1 of 3", "step id")
        await screen.press("shift+tab")
        await screen.shows("[error] reserve", "no error")


async def test_the_cursor_chooses_a_step_and_s_goes_to_its_moment(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("✓ confirm")
        await screen.press("up", "up", "up", "up", "up")
        await screen.shows("[output] reserve", '"table": 12')
        await screen.press("s")
        await screen.shows("3/7")


async def test_a_time_a_step_and_a_text_are_found(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("7/7")
        await screen.press("at")
        await screen.shows("Go to a time")
        await screen.write("+2s")
        await screen.shows("3/7")
        await screen.press("at")
        await screen.shows("Go to a time")
        await screen.write("confirm")
        await screen.shows("6/7")
        await screen.press("at")
        await screen.shows("Go to a time")
        await screen.write("never")
        await screen.shows("'never' is neither start")
        await screen.press("slash")
        await screen.shows("Search in the history")
        await screen.write("charge")
        await screen.shows("1 of 3 with 'charge'", "1/7")
        await screen.press("n")
        await screen.shows("2 of 3", "4/7")
        await screen.press("N")
        await screen.shows("1/7")


async def test_tree_history_and_bars_are_three_views(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("✓ reserve")
        await screen.press("t")
        await screen.shows("'reserve' complete")
        await screen.press("up", "up")
        await screen.shows("5/7")
        await screen.press("t")
        await screen.shows("reserve")


async def test_a_run_is_opened_at_a_time(terminal: Terminal):
    run_id = await an_order(terminal.server)
    async with shown(terminal, run_id, opening=Opening(at="+2s")) as screen:
        await screen.shows("3/7")


async def test_a_run_of_a_slow_server_is_opened_at_a_time(terminal: Terminal):
    run_id = await an_order(terminal.server)
    terminal.answers.clear()
    async with shown(terminal, run_id, opening=Opening(at="+2s")) as screen:
        await screen.shows("reading …")
        look_again = getattr(screen.app.screen, "_again")  # noqa: B009 it is private
        look_again()
        await screen.pilot.pause()
        terminal.answers.set()
        await screen.shows("3/7", "? help")


async def test_a_run_is_played_from_its_first_moment_to_its_last(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    run_id = await an_order(terminal.server)
    opened: list[tuple[int, bool]] = []
    open_at = getattr(RunScreen, "_open")  # noqa: B009 it is private

    def opens(screen: RunScreen) -> None:
        open_at(screen)
        opened.append((screen.number, screen.playing))

    # The first moment is over after 0.6 s, perhaps before the test looks at the screen.
    monkeypatch.setattr(RunScreen, "_open", opens)
    async with shown(terminal, run_id, opening=Opening(play=True, milestones=True)) as screen:
        await screen.shows("7/7")

    assert opened == [(0, True)]


async def test_a_live_run_is_followed_until_the_user_looks_back(terminal: Terminal):
    server = terminal.server
    run = await server.a_run(recording=True)
    async with shown(terminal, run.id) as screen:
        await screen.shows("1/1", "following")
        job = await server.claim()
        await server.report(job, "progress", step(job, "reserve", 1))
        await screen.shows("3/3", "✓ reserve")
        await screen.press("left")
        await screen.shows("2/3")
        await server.report(job, "completed", output=2)
        await screen.shows("2/4")
        await screen.press("F")
        await screen.shows("4/4", "charge completed")


async def test_a_pause_a_replaced_output_and_a_resume_from_the_screen(terminal: Terminal):
    server = terminal.server
    run = await server.a_run(recording=True)
    job = await server.claim()
    async with shown(terminal, run.id) as screen:
        await screen.shows("charge running")
        await screen.press("p")
        await screen.shows("Pause run_", "y: yes")
        await screen.press("y")
        await screen.shows("pauses at its next step boundary")
        await server.report(job, "progress", step(job, "reserve", {"table": 12}))
        await screen.shows("paused: injection")

        attempts = iter(["{nope", '{"table": 13}'])
        screen.edited = lambda text: next(attempts)
        await screen.press("2", "i")
        await screen.shows("This is no JSON. Edit it again?")
        await screen.press("y")
        await screen.shows("Why does reserve get another output?")
        await screen.write("a better table")
        await screen.shows("Replace the output of reserve?", '{"table":13}', "Reason: a better table")
        await screen.press("y")
        await screen.shows("before it was replaced", '"table": 13')
        await screen.press("1")
        await screen.shows("'reserve' injected: a better table", "- 12", "+ 13")
        (reserve,) = await server.steps(run.id)
        assert read_json(reserve.output or b"") == {"table": 13}

        await screen.press("r")
        await screen.shows("resume run_", "Steps to run again: none", "Results that are kept: 1")
        await screen.press("y")
        await screen.shows("charge pending")
    assert (await server.run(run.id)).status is RunStatus.PENDING


async def test_a_failed_run_goes_on_from_the_step_under_the_cursor_with_a_preview(terminal: Terminal):
    run_id = await an_order(terminal.server, fails=True)
    async with shown(terminal, run_id) as screen:
        await screen.shows("✗ confirm")
        await screen.press("up", "R")
        await screen.shows("Steps to run again: charge, confirm", "Results that are kept: 2")
        await screen.press("n")
        await screen.shows("✗ confirm")
        assert (await terminal.server.run(run_id)).status is RunStatus.FAILED
        await screen.press("R")
        await screen.shows("Steps to run again")
        await screen.press("y")
        await screen.shows("charge pending")
    job = await terminal.server.claim()
    assert [each.name for each in job.completed_steps] == ["reserve", "charge"]


async def test_a_completed_run_refuses_changes_in_a_sentence(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("✓ confirm")
        for key, sentence in (
            ("r", "only paused and failed runs are resumed"),
            ("Y", "only failed runs are retried"),
            ("i", "pause it before replacing an output"),
        ):
            await screen.press(key)
            await screen.shows(sentence)


async def test_a_cancel_asks_for_a_reason_and_again(terminal: Terminal):
    run = await terminal.server.a_run(recording=True)
    async with shown(terminal, run.id) as screen:
        await screen.shows("charge pending")
        await screen.press("x")
        await screen.shows("Cancel the run. Reason")
        await screen.write("a mistake")
        await screen.shows("this cannot be undone")
        await screen.press("y")
        await screen.shows("charge cancelled")
    assert (await terminal.server.run(run.id)).cancellation_cause == "a mistake"


async def test_the_place_is_copied_as_a_command_and_help_shows_the_keys(terminal: Terminal):
    async with shown(terminal, await an_order(terminal.server)) as screen:
        await screen.shows("7/7")
        await screen.press("y")
        await screen.shows("ironflow inspect run_")
        assert screen.app.clipboard.startswith("ironflow inspect run_")
        assert " --at " in screen.app.clipboard
        await screen.press("question_mark")
        await screen.shows("first failure", "resume from the step")
        await screen.press("escape")
        await screen.shows("✓ reserve")


async def test_a_run_that_is_not_recorded_is_shown_as_it_is_with_what_is_lost(terminal: Terminal):
    server = terminal.server
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "progress", step(job, "reserve", 1))
    async with shown(terminal, run.id) as screen:
        await screen.shows("is not recorded", "✓ reserve", "1/1")
        await server.report(job, "completed", step(job, "charge", 2), output=3)
        await screen.shows("✓ charge", "charge completed")


async def test_logs_are_shown_until_the_moment(terminal: Terminal):
    server = terminal.server
    run = await server.a_run(recording=True)
    job = await server.claim()
    first = {"number": 0, "message": "looking", "level": "info", "at": text_of(server.now)}
    await server.report(job, "progress", step(job, "reserve", 1), logs=[first])
    server.move(1_000)
    second = {"number": 1, "message": "found it", "level": "warn", "at": text_of(server.now), "data": {"table": 12}}
    await server.report(job, "completed", step(job, "charge", 2), output=3, logs=[second])
    async with shown(terminal, run.id) as screen:
        await screen.shows("✓ charge")
        await screen.press("6")
        await screen.shows("[logs]", "info  -  looking", 'warn  -  found it  {"table":12}')
        await screen.press("left", "left")
        await screen.shows("3/5", "info  -  looking")
        assert "found it" not in screen.text


async def test_a_server_that_restarts_is_waited_for(terminal: Terminal):
    server = terminal.server
    run = await server.a_run(recording=True)
    async with shown(terminal, run.id) as screen:
        await screen.shows("1/1")
        screen.reachable = False
        await screen.shows("the server cannot be reached; trying again")
        await server.claim()
        screen.reachable = True
        await screen.shows("2/2", "? help")


async def test_a_run_that_is_purged_is_shown_as_it_was(terminal: Terminal):
    server = terminal.server
    run = await server.a_run(recording=True)
    await server.claim()
    async with shown(terminal, run.id) as screen:
        await screen.shows("2/2", "charge running")
        await server.db.write(lambda tx: tx.run("DELETE FROM runs"))
        await screen.shows("There is no run", "charge running")


async def test_children_and_parents_are_opened(terminal: Terminal):
    server = terminal.server
    await server.a_function("inner", on=None, recording=True)
    run = await server.a_run(recording=True)
    job = await server.claim()
    from tests.support.yields import invokes

    await server.report(job, "yielded", yielded=invokes(job, "inner"))
    async with shown(terminal, run.id) as screen:
        await screen.shows("inner")
        await screen.press("c")
        await screen.shows("Child runs", "inner")
        await screen.press("enter")
        await screen.shows("inner pending")
        await screen.press("u")
        await screen.shows("waiting: invoke")
        await screen.press("q", "q")
        await screen.shows("waiting: invoke")


async def test_the_list_is_filtered_while_the_filter_is_typed_and_opens_a_run(terminal: Terminal):
    server = terminal.server
    done = await an_order(server)
    failed = await an_order(server, fails=True)
    async with shown(terminal) as screen:
        await screen.shows(done, failed, "2 of 2 runs")
        await screen.press("slash")
        await screen.press(*"status", "colon", *"failed")
        await screen.shows("1 of 1 runs", failed)
        assert done not in screen.text
        await screen.press("colon")
        await screen.shows("is not a run status")
        await screen.press("backspace", "enter", "enter")
        await screen.shows("charge failed")
        assert isinstance(screen.app.screen, RunScreen)
        await screen.press("q")
        await screen.shows("1 of 1 runs")
        assert isinstance(screen.app.screen, RunsScreen)


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (200, 60)])
async def test_any_size_is_drawn_and_narrow_ones_show_one_half(terminal: Terminal, size: tuple[int, int]):
    async with shown(terminal, await an_order(terminal.server), size=SIZE) as screen:
        await screen.shows("7/7")
        await screen.pilot.resize_terminal(*size)
        await screen.press("home", "end", "t", "t", "t", "w")
        if size[0] < 60:
            await screen.shows("[changes]")
        await screen.press("w")
        await screen.pilot.resize_terminal(*SIZE)
        await screen.shows("✓ reserve", "7/7")


async def test_without_colours_signs_show_status_and_cursor(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with shown(terminal, await an_order(terminal.server, fails=True)) as screen:
        await screen.shows("✓ reserve", "✗ confirm")
        assert any(line.startswith(">") for line in screen.text.splitlines())


async def test_ten_thousand_steps_are_drawn_where_they_are_seen(terminal: Terminal):
    server = terminal.server
    steps = int(os.environ.get("IRONFLOW_HISTORY_STEPS", "2000"))
    run = await server.a_run(recording=True)
    job = await server.claim()
    for first in range(0, steps, 500):
        count = min(500, steps - first)
        await server.report(job, "progress", *[step(job, f"s{first + n}", n) for n in range(count)])
    async with shown(terminal, run.id) as screen:
        await screen.shows(f"s{steps - 1}")
        await screen.press("t", "home")
        await screen.shows("1/")


async def test_pausing_from_elsewhere_is_seen(terminal: Terminal):
    run = await terminal.server.a_run(recording=True)
    async with shown(terminal, run.id) as screen:
        await screen.shows("charge pending")
        await terminal.server.call(controls.pause, run_id=run.id)
        await screen.shows("paused: injection", "Paused: by hand")
