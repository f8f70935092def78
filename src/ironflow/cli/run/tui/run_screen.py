"""One run: its tree, its history, and what it was at each moment."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.widgets import Static

from ironflow.base.errors import ConnectionLost, InvalidArgument, IronflowError, NotFound
from ironflow.cli.run.tui import views
from ironflow.cli.run.tui.dialogs import Choose
from ironflow.cli.run.tui.lines import Lines
from ironflow.cli.run.tui.moving import Moving
from ironflow.cli.run.tui.source import RunSource, at_text
from ironflow.debugging.changes import Change, state_changes
from ironflow.debugging.places import place
from ironflow.features.time_travel.contract import StepState

_LOOK_EVERY_S = 0.5
# Below so many columns one half is shown at a time.
_NARROW = 60
_PLAY_EVERY_S = 0.6
_SHORT_HELP = "←→ step  f failure  / search  t view  Tab part  ? help  q back"
HELP = """\
MOVE                                   SHOW
←  →     previous, next moment         t        tree, history, bars
Home End first, last moment            1 … 6    changes, output, input, error, run, logs
[  ]     ten moments                   Tab      the next of them
f        first failure                 w        into the other half
@        a time, +90s or a step        c  u     child runs, parent
s        the step under the cursor     e        the part in $EDITOR
/  n  N  search, next, previous        y        copy as a command
Space    play                          F        follow a live run
m        milestones only

CHANGE (asks first)
p  pause       r  resume               i  replace the output of the step
x  cancel      R  resume from the step    (inject in a paused, patch in a failed run)
               Y  retry from the beginning

?  this text   q, Esc  back            up, down, PgUp, PgDn: lines"""
View = Literal["tree", "history", "bars"]
VIEWS: tuple[View, ...] = ("tree", "history", "bars")


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a run is opened. at: as `--at`, empty for its last moment. play: forward from there, moment by moment.

    milestones: only moments that are significant.
    """

    at: str = ""
    play: bool = False
    milestones: bool = False


class RunScreen(Moving):
    """A run at one of its moments. Each moment has a number, from 0."""

    CSS = """
    #head, #slider, #foot { height: 1; }
    #body { height: 1fr; }
    #left { width: 45%; border-right: solid $panel; }
    #right { width: 1fr; padding-left: 1; }
    RunScreen.-narrow #left { width: 100%; border: none; }
    RunScreen.-narrow #right { display: none; width: 100%; padding: 0; }
    RunScreen.-narrow .other #left { display: none; }
    RunScreen.-narrow .other #right { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, action, show=False)
        for keys, action in [
            ("left,h", "go(-1)"), ("right,l", "go(1)"), ("left_square_bracket", "go(-10)"),
            ("right_square_bracket", "go(10)"), ("home,g", "end(0)"), ("end,G", "end(1)"), ("f", "failure"),
            ("at", "place"), ("s", "step"), ("slash", "search"), ("n", "match(1)"), ("N", "match(-1)"),
            ("space", "play"), ("m", "milestones"), ("t", "view"), ("tab", "part(1)"), ("shift+tab", "part(-1)"),
            ("1", "show('changes')"), ("2", "show('output')"), ("3", "show('input')"), ("4", "show('error')"),
            ("5", "show('run')"), ("6", "show('logs')"),
            ("w", "other"), ("c", "children"), ("u", "parent"), ("e", "editor"), ("y", "copy"),
            ("F", "follow"), ("p", "pause"), ("r", "resume"), ("R", "resume_from"), ("Y", "retry"), ("x", "cancel"),
            ("i", "replace"), ("question_mark", "help"), ("q,escape", "back"),
        ]
    ]  # fmt: skip

    def __init__(self, source: RunSource, opening: Opening) -> None:
        super().__init__(source)
        self.following = not opening.at and not opening.play
        self.milestones = opening.milestones
        self.view: View = "tree"
        self.part: views.Part = "changes"
        self._opening = opening
        self._rows: list[views.Row] = []
        self._changes: list[Change] = []
        self._lines: list[str] = []
        self._lost = self._opened = False
        # Looks under way: the next one waits for them, however slow the server is.
        self._looking = 0
        self._seen = 0

    @property
    def step(self) -> StepState | None:
        """The step under the cursor."""
        if self.state is None:
            return None
        return next((each for each in self.state.steps if each.step_id == self._step_id), None)

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="slider")
        with Horizontal(id="body"):
            yield Lines(id="left")
            yield Lines(id="right", pointed=False)
        yield Static(id="foot")

    def on_mount(self) -> None:
        self.query_one("#left", Lines).focus()
        self.note("reading …")
        self._look()
        self.set_interval(_LOOK_EVERY_S, self._again)
        self.set_interval(_PLAY_EVERY_S, self._play_on)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < _NARROW, "-narrow")
        self._draw()

    # Reading --------------------------------------------------------------------------------------------------------

    def _again(self) -> None:
        if self.is_current and not self._looking and not (self.source.ended and not self._lost):
            self._look()

    def look(self) -> None:
        """Asks what has happened since, and goes to the last moment."""
        self.following = True
        self._look()

    @work(exclusive=True, group="look", exit_on_error=False)
    async def _look(self) -> None:
        self._looking += 1
        try:
            await self.source.refresh()
        except ConnectionLost:
            self._lost = True
            self.note("the server cannot be reached; trying again", "red")
            return
        except NotFound as fault:
            self.note(f"{fault.message} It is shown as it was.", "red")
            return
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        finally:
            self._looking -= 1
        if self._lost:
            self._lost = False
            self.note(_SHORT_HELP)
        first, self._opened = not self._opened, True
        if first:
            self._open()
        # Of a look for a change as well.
        new, self._seen = len(self.source.history) != self._seen, len(self.source.history)
        if self.following and (new or first):
            self.number = self.source.history.last
        if new or first or self.source.unrecorded:
            self._load()

    def _open(self) -> None:
        opening = self._opening
        self.note(*((self.source.unrecorded, "yellow") if self.source.unrecorded else (_SHORT_HELP,)))
        if opening.play:
            self.number, self.playing = 0, True
        elif opening.at:
            try:
                self.number = place(self.source.history, self.source.run_id, opening.at, self.inspect.now())
            except InvalidArgument as fault:
                self.number = self.source.history.last
                self.note(fault.message, "red")

    @work(exclusive=True, group="state", exit_on_error=False)
    async def _load(self) -> None:
        """Reads the state of the moment, and that before it. A newer move ends the work for an older one."""
        number = self.number
        if not 0 <= number < len(self.source.history):
            return
        try:
            state = await self.source.state(number)
            before = await self.source.state(number - 1) if number else None
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        # 10,000 steps take a while.
        self._changes = await asyncio.to_thread(state_changes, before, state)
        self._rows = await asyncio.to_thread(views.tree, state)
        self.state = state
        moment = self.source.moment(number)
        if moment.step_id:
            self._step_id = moment.step_id
        elif not self._step_id:
            failed = [step for step in state.steps if step.error is not None]
            self._step_id = next((step.step_id for step in reversed(failed or state.steps)), "")
        self._draw()

    # Drawing --------------------------------------------------------------------------------------------------------

    def note(self, text: str, style: str = "dim") -> None:
        """Shows a line at the foot."""
        self.query_one("#foot", Static).update(Text(text, style=style, no_wrap=True, overflow="ellipsis"))

    def _draw(self) -> None:
        if self.state is None or not self.is_mounted:
            return
        history, signs = self.source.history, self.inspect.signs
        moment = self.source.moment(self.number)
        head = views.head(self.state, moment, len(history), following=self.following and not self.source.ended)
        head.no_wrap, head.overflow = True, "ellipsis"
        self.query_one("#head", Static).update(head)
        self.query_one("#slider", Static).update(views.slider(history, self.number, self.size.width, signs))
        self._draw_left()
        self._draw_right()

    def _draw_left(self) -> None:
        left, signs, state = self.query_one("#left", Lines), self.inspect.signs, self.state
        if state is None:
            return
        if self.view == "history":
            moments = self.source.history.moments
            left.show(len(moments), lambda n: views.moment_line(moments[n], signs), self.number)
            return
        rows, span = self._rows, views.span_of(state)
        columns = max(left.size.width - 22, 8)
        cursor = next((n for n, row in enumerate(rows) if row.step and row.step.step_id == self._step_id), 0)
        if self.view == "tree":
            left.show(len(rows), lambda n: views.tree_line(rows[n], signs), cursor)
        else:
            left.show(len(rows), lambda n: views.bar_line(rows[n], span, columns, signs), cursor)

    def _draw_right(self) -> None:
        if self.state is None:
            return
        moment = self.source.moment(self.number)
        body = views.detail(self.part, self.state, moment, self.step, self._changes)
        about = self.step.name if self.step is not None and self.part not in ("changes", "input") else ""
        if self.part == "logs":
            about = ""
            self._read_logs()
        self._show_right(about, body)

    @work(exclusive=True, group="logs", exit_on_error=False)
    async def _read_logs(self) -> None:
        try:
            found = await self.source.logs()
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        if self.part == "logs":
            until = None if self.number == self.source.history.last else self.source.moment(self.number).at
            self._show_right("", views.log_lines(found, until))

    def _show_right(self, about: str, body: list[str]) -> None:
        self._lines = [f"[{self.part}] {about}".rstrip(), *body]
        lines = self._lines
        self.query_one("#right", Lines).show(len(lines), lambda n: _detail_line(lines[n], first=n == 0), 0)

    def on_lines_moved(self, event: Lines.Moved) -> None:
        if event.lines.id != "left":
            return
        if self.view == "history":
            self._go(event.index)
        elif event.index < len(self._rows):
            step = self._rows[event.index].step
            self._step_id = step.step_id if step is not None else ""
            if self.part == "changes":
                self.part = "output"
            self._draw_right()

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        if event.lines.id == "left" and self.view != "history":
            self.action_step()

    # Showing --------------------------------------------------------------------------------------------------------

    def action_milestones(self) -> None:
        self.milestones = not self.milestones
        self.note("milestones only" if self.milestones else "every moment")

    def action_view(self) -> None:
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]
        self._draw_left()

    def action_show(self, part: views.Part) -> None:
        self.part = part
        self._draw_right()

    def action_part(self, by: int) -> None:
        self.action_show(views.PARTS[(views.PARTS.index(self.part) + by) % len(views.PARTS)])

    def action_other(self) -> None:
        left, right = self.query_one("#left", Lines), self.query_one("#right", Lines)
        to_right = left.has_focus
        self.query_one("#body").set_class(to_right, "other")
        self.call_after_refresh((right if to_right else left).focus)

    def action_editor(self) -> None:
        try:
            self.inspect.edit("\n".join(self._lines[1:]))
        except IronflowError as fault:
            self.note(fault.message, "red")

    @work
    async def action_children(self) -> None:
        try:
            found = list(await self.source.children())
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        if not found:
            self.note("this run has no child runs")
            return
        now, signs = self.inspect.now(), self.inspect.signs
        chosen = await self.app.push_screen_wait(
            Choose("Child runs", [views.run_line(run, now, signs) for run in found])
        )
        if chosen is not None:
            self.inspect.open_run(found[chosen].id)

    def action_parent(self) -> None:
        parent = self.state.parent_run_id if self.state is not None else None
        if parent:
            self.inspect.open_run(parent)
        else:
            self.note("this run has no parent")

    def action_copy(self) -> None:
        if self.state is None:
            return
        command = f"ironflow inspect {self.source.run_id} --at {at_text(self.source.moment(self.number).at)}"
        self.app.copy_to_clipboard(command)
        self.note(command, "bold")

    def action_help(self) -> None:
        self.inspect.show_help(HELP)

    def action_back(self) -> None:
        if self.query_one("#right", Lines).has_focus:
            self.action_other()
        else:
            self.app.pop_screen()


def _detail_line(line: str, *, first: bool) -> Text:
    """A line of a part. Tabs and control characters would break the columns of the screen."""
    shown = "".join(char if char.isprintable() else " " for char in line.replace("\t", "    "))
    style = "bold" if first else {"+": "green", "-": "red"}.get(line[:1], "")
    return Text(shown, style=style)
