"""How answers look: plain tables and lists of facts, colours for statuses, JSON for programs.

Answers go to standard output, everything said on the way to standard error.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ironflow.base.json import Json
from ironflow.base.spelling import message_to_json

_PIPE_COLUMNS = 1000
_QUIET_S = 0.5

_STYLES = {
    "completed": "green",
    "active": "green",
    "ok": "green",
    "ready": "green",
    "put": "green",
    "running": "cyan",
    "pending": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "sleeping": "yellow",
    "retrying": "yellow",
    "failed": "bold red",
    "timed_out": "bold red",
    "dead": "bold red",
    "cancelled": "magenta",
    "archived": "dim",
    "delete": "dim",
}


def console(stderr: bool = False) -> Console:
    """The terminal, or a pipe wide enough that nothing is folded or cut."""
    made = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, emoji=False, markup=False, width=_PIPE_COLUMNS, soft_wrap=True)
    return made


def draw(terminal: Console, picture: RenderableType) -> None:
    """Prints a picture; on a pipe without the blanks that fill up its lines."""
    if terminal.is_terminal:
        terminal.print(picture)
        return
    with terminal.capture() as capture:
        terminal.print(picture)
    terminal.file.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def status_style(status: str) -> str:
    return _STYLES.get(status, "")


def status_text(status: str) -> Text:
    return Text(status, style=status_style(status))


def table(headings: Sequence[str], rows: Iterable[Sequence[RenderableType | None]], right: Sequence[str] = ()) -> Table:
    """Rows under dim headings, without lines; the columns named in `right` are set to the right."""
    drawn = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        drawn.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else cell for cell in row))
    return drawn


def facts(pairs: Iterable[tuple[str, RenderableType | None]]) -> Table:
    """Names and values below each other; those without a value are left out."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        shown = Text(value) if isinstance(value, str) else value
        if shown:
            drawn.add_row(name, shown)
    return drawn


def json_line(payload: Json | None, length_max: int | None = None) -> str:
    """A payload on one line, cut with `…` when it is longer than `length_max`."""
    if payload is None:
        return ""
    text = bytes(payload).decode()
    if "\n" in text:
        text = msgspec.json.format(text, indent=-1)
    return text if length_max is None or len(text) <= length_max else text[: length_max - 1] + "…"


def document(answer: msgspec.Struct | dict[str, Any], indent: bool) -> bytes:
    """An answer as the JSON that the REST API gives, on one line unless `indent`."""
    text = message_to_json(answer) if isinstance(answer, msgspec.Struct) else msgspec.json.encode(answer)
    return msgspec.json.format(text, indent=2) if indent else text


@contextmanager
def waiting(terminal: Console, what: str) -> Iterator[None]:
    """Says what is waited for, on a terminal and only when it takes longer than half a second."""
    if not terminal.is_terminal:
        yield
        return
    spinner = terminal.status(f"[dim]{what} …[/dim]", spinner="dots")
    timer = Timer(_QUIET_S, spinner.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        spinner.stop()
