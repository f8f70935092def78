"""The list of runs, with a filter that is applied while it is typed."""

from typing import ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Static

from ironflow.base.errors import IronflowError
from ironflow.cli.run.tui import views
from ironflow.cli.run.tui.host import Host
from ironflow.cli.run.tui.lines import Lines
from ironflow.cli.run.tui.source import list_runs
from ironflow.features.runs.contract import Run

_TYPED_S = 0.15
_REFRESH_S = 2.0
HELP = """\
Enter      open the run            /   edit the filter
up, down   another run             r   read the list again
Esc        back to the list        q   quit

The filter is that of the dashboard: status:failed since:1h function:pay event:ID parent:ID and a text."""


class RunsScreen(Screen[None]):
    """Runs, newest first. The list is read again every two seconds."""

    CSS = """
    #filter { height: 1; border: none; padding: 0; }
    #foot { height: 1; }
    #runs { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("escape", "list", show=False),
        Binding("r", "read", show=False),
        Binding("question_mark", "help", show=False),
        Binding("q", "app.quit", show=False),
    ]

    def __init__(self, line: str = "") -> None:
        super().__init__()
        self._line = line
        self.found: list[Run] = []
        self._cursor = ""
        self._typed: Timer | None = None

    @property
    def inspect(self) -> Host:
        return cast("Host", self.app)

    def compose(self) -> ComposeResult:
        yield Input(self._line, placeholder="status:failed since:1h text", id="filter", compact=True)
        yield Lines(id="runs")
        yield Static(id="foot")

    def on_mount(self) -> None:
        self.query_one(Lines).focus()
        self.action_read()
        self.set_interval(_REFRESH_S, self._again)

    def on_screen_resume(self) -> None:
        self.action_read()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._line = event.value
        if self._typed is not None:
            self._typed.stop()
        self._typed = self.set_timer(_TYPED_S, self.action_read)

    def on_input_submitted(self) -> None:
        self.action_list()

    def on_lines_moved(self, event: Lines.Moved) -> None:
        if event.index == len(self.found) - 1 and self._cursor:
            self._read(self._cursor)

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        self.inspect.open_run(self.found[event.index].id)

    def action_filter(self) -> None:
        self.query_one("#filter", Input).focus()

    def action_list(self) -> None:
        self.query_one(Lines).focus()

    def action_read(self) -> None:
        self._read("")

    def action_help(self) -> None:
        self.inspect.show_help(HELP)

    def _again(self) -> None:
        # Further pages would be lost.
        if self.is_current and len(self.found) <= views.RUNS_PAGE:
            self._read("")

    @work(exclusive=True, group="runs", exit_on_error=False)
    async def _read(self, cursor: str) -> None:
        try:
            page = await list_runs(self.inspect.call, self._line, self.inspect.now(), cursor)
        except IronflowError as fault:
            self._foot(fault.message, "red")
            return
        shown = self.found[self.query_one(Lines).cursor].id if self.found else ""
        self.found = [*self.found, *page.runs] if cursor else page.runs
        self._cursor = page.next_cursor or ""
        place = next((n for n, run in enumerate(self.found) if run.id == shown), 0)
        now, signs = self.inspect.now(), self.inspect.signs
        self.query_one(Lines).show(len(self.found), lambda n: views.run_line(self.found[n], now, signs), place)
        self._foot(f"{len(self.found)} of {page.total_count} runs   Enter open  / filter  ? help  q quit")

    def _foot(self, text: str, style: str = "dim") -> None:
        self.query_one("#foot", Static).update(Text(text, style=style, no_wrap=True, overflow="ellipsis"))
