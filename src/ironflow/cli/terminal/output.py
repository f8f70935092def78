"""The output format: plain tables, lists of facts, colours for statuses, JSON with `--json`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ironflow.base.json import Json
from ironflow.base.spelling import message_to_json
from ironflow.features.runs.contract import WireError

_PIPE_COLUMNS = 1000
_QUIET_S = 0.5
# Between the columns of a table.
_GAP = 2
# An id, or an address, is copied into other commands, so a narrow terminal folds other columns.
_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}|https?://\S+")

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
    """A console for the terminal, or for a pipe with lines that are neither folded nor cut."""
    made = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, emoji=False, markup=False, width=_PIPE_COLUMNS, soft_wrap=True)
    return made


def draw(terminal: Console, rendered: RenderableType) -> None:
    """Prints `rendered`; on a pipe without trailing blanks."""
    if terminal.is_terminal:
        if (width := _whole_width(rendered)) > terminal.width:
            terminal = Console(file=terminal.file, force_terminal=True, highlight=False, emoji=False, width=width)
        terminal.print(rendered)
        return
    with terminal.capture() as capture:
        terminal.print(rendered)
    terminal.file.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def status_style(status: str) -> str:
    return _STYLES.get(status, "")


def failure_text(error: WireError) -> str:
    """An error in a line: `CARD_DECLINED (CardDeclined): the card is blocked {"bank":"x"}`, as far as it has these."""
    both = error.code and error.error_class
    named = f"{error.code} ({error.error_class})" if both else error.code or error.error_class
    details = f" {bytes(error.details).decode()}" if error.details is not None else ""
    return f"{named}: {error.message}{details}" if named else error.message + details


def status_text(status: str) -> Text:
    return Text(status, style=status_style(status))


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[RenderableType | None]],
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """Rows under dim headings, which are never folded. right: headings of right-aligned columns. whole: of those whose
    cells are not folded either, as in a column of ids.
    """
    listed = [list(row) for row in rows]
    ids = {
        heading
        for row in listed
        for heading, cell in zip(headings, row, strict=False)
        if isinstance(cell, str) and _ID.fullmatch(cell)
    }
    drawn = Table(box=None, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for heading in headings:
        justify = "right" if heading in right else "left"
        drawn.add_column(
            heading,
            justify=justify,
            overflow="fold",
            no_wrap=heading in whole or heading in ids,
            min_width=len(heading),
        )
    for row in listed:
        drawn.add_row(*("" if cell is None else cell for cell in row))
    return drawn


@dataclass(frozen=True)
class FittedTable:
    """A `table` that leaves columns out while it is wider than the terminal, in the order of `optional`."""

    headings: Sequence[str]
    rows: Sequence[Sequence[RenderableType | None]]
    optional: Sequence[str]
    right: Sequence[str] = ()
    whole: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left_out = 0
        drawn = self._without(())
        while left_out < len(self.optional) and _natural_width(drawn, console) > options.max_width:
            left_out += 1
            drawn = self._without(self.optional[:left_out])
        yield drawn

    def narrowest(self) -> Table:
        """The table without all columns that may be left out."""
        return self._without(self.optional)

    def _without(self, left_out: Sequence[str]) -> Table:
        kept = [index for index, heading in enumerate(self.headings) if heading not in left_out]
        return table(
            [self.headings[index] for index in kept],
            ([row[index] for index in kept] for row in self.rows),
            right=self.right,
            whole=self.whole,
        )


def _whole_width(rendered: RenderableType) -> int:
    """Columns that a table takes at the least, so that the cells which are not folded are not cut either.

    A terminal that is narrower breaks the line itself, and gives it whole to who copies it.
    """
    if isinstance(rendered, FittedTable):
        rendered = rendered.narrowest()
    if not isinstance(rendered, Table):
        return 0
    return sum(
        max([column.min_width or 0, *(cell_len(str(cell)) for cell in column.cells if column.no_wrap)]) + _GAP
        for column in rendered.columns
    )


def _natural_width(drawn: Table, terminal: Console) -> int:
    """Columns that a table takes when no cell is folded."""
    return Measurement.get(terminal, terminal.options.update_width(_PIPE_COLUMNS), drawn).maximum


def facts(pairs: Iterable[tuple[str, RenderableType | None]]) -> Table:
    """One name and value per line; pairs without a value are left out."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        shown = Text(value) if isinstance(value, str) else value
        if shown:
            drawn.add_row(name, shown)
    return drawn


def json_line(payload: Json | None, length_max: int | None = None) -> str:
    """A payload on one line; beyond `length_max` it is cut and ends in `…`."""
    if payload is None:
        return ""
    text = bytes(payload).decode()
    if "\n" in text:
        text = msgspec.json.format(text, indent=-1)
    return text if length_max is None or len(text) <= length_max else text[: length_max - 1] + "…"


def document(answer: msgspec.Struct | dict[str, Any], indent: bool) -> bytes:
    """An answer as the REST API's JSON, on one line unless `indent`."""
    text = message_to_json(answer) if isinstance(answer, msgspec.Struct) else msgspec.json.encode(answer)
    return msgspec.json.format(text, indent=2) if indent else text


@contextmanager
def waiting(terminal: Console, what: str) -> Iterator[None]:
    """Shows a spinner with `what` on a terminal when the body takes longer than half a second."""
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
