"""The application: its screens, its server, and its editor."""

from typing import Any, ClassVar

import msgspec
from textual.app import SuspendNotSupported
from textual.binding import BindingType

from ironflow.base.operation import Operation
from ironflow.base.time import Clock, Millis, SystemClock
from ironflow.cli.run.timeline import FINE, Signs
from ironflow.cli.run.tui.dialogs import Help
from ironflow.cli.run.tui.editing import Edit, edit_in_terminal
from ironflow.cli.run.tui.host import Host
from ironflow.cli.run.tui.run_screen import Opening, RunScreen
from ironflow.cli.run.tui.runs_screen import RunsScreen
from ironflow.cli.run.tui.source import Call, RunSource


class InspectApp(Host):
    """The full screen. run_id: empty begins with the list of runs. opening: where a run is opened."""

    BINDINGS: ClassVar[list[BindingType]] = []
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        call: Call,
        run_id: str = "",
        *,
        opening: Opening | None = None,
        filter_line: str = "",
        clock: Clock | None = None,
        signs: Signs = FINE,
        edit: Edit = edit_in_terminal,
    ) -> None:
        super().__init__(ansi_color=True)
        self._call = call
        self._run_id = run_id
        self._opening = opening or Opening()
        self._filter_line = filter_line
        self._clock = clock or SystemClock()
        self._edit = edit
        self.signs = signs

    async def call(self, operation: Operation[Any, Any], request: msgspec.Struct) -> Any:
        """The server's answer. Raises its error."""
        return await self._call(operation, request)

    def now(self) -> Millis:
        return self._clock.now()

    def on_mount(self) -> None:
        self.push_screen(RunsScreen(self._filter_line))
        if self._run_id:
            self.push_screen(RunScreen(RunSource(self.call, self._run_id), self._opening))

    def open_run(self, run_id: str) -> None:
        self.push_screen(RunScreen(RunSource(self.call, run_id), Opening()))

    def show_help(self, text: str) -> None:
        self.push_screen(Help(text))

    def edit(self, text: str) -> str:
        """The text as the user has changed it in the editor. Raises EditorFailed."""
        try:
            with self.suspend():
                return self._edit(text)
        except SuspendNotSupported:
            # There is no terminal to give to the editor.
            return self._edit(text)
