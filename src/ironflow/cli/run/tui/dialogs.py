"""Small screens that ask for something, and the help."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ironflow.cli.run.tui.lines import Lines

_CSS = """
{name} {{ align: center middle; }}
{name} > VerticalScroll {{
    width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $primary; padding: 0 1;
}}
"""


class Prompt(ModalScreen[str | None]):
    """Asks for a line. Its result: the line, or None when it is left."""

    CSS = _CSS.format(name="Prompt")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)")]

    def __init__(self, question: str, value: str = "", *, needed: bool = False) -> None:
        super().__init__()
        self._question, self._value, self._needed = question, value, needed

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(self._question))
            yield Input(self._value, id="answer", compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() or not self._needed:
            self.dismiss(event.value.strip())


class Confirm(ModalScreen[bool]):
    """Asks whether to do something that it shows."""

    CSS = _CSS.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)"),
        Binding("n,escape,q", "dismiss(False)"),
    ]

    def __init__(self, question: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._question, self._lines = question, lines

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(self._question, style="bold"))
            yield Static(Text("\n".join(["", *self._lines, "", "y: yes   n: no"])))


class Choose(ModalScreen[int | None]):
    """Asks for one of several lines. Its result: the index, or None when it is left."""

    CSS = _CSS.format(name="Choose") + "Choose Lines { height: auto; max-height: 16; min-height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)")]

    def __init__(self, question: str, lines: Sequence[Text]) -> None:
        super().__init__()
        self._question, self._lines = question, lines

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(self._question, style="bold"))
            yield Lines(id="choices")

    def on_mount(self) -> None:
        choices = self.query_one(Lines)
        choices.styles.height = min(len(self._lines), 16)
        choices.show(len(self._lines), lambda index: self._lines[index].copy(), 0)
        choices.focus()

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        event.stop()
        self.dismiss(event.index)


class Help(ModalScreen[None]):
    """The keys."""

    CSS = _CSS.format(name="Help")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss(None)")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(self._text))
