"""Which lines are kept, and how much of them; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ironflow.base.json import json_text
from ironflow.base.secret_texts import redact
from ironflow.base.time import Millis, to_millis
from ironflow.engine.step_names import step_name
from ironflow.features.log_lines.contract import ReportedLine

# By weight, so that a level includes those above it.
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
OFF = "off"
# Of one report; a worker sends fewer.
LINES_MAX = 2_000
FULL = "Further lines of this run are not kept: it has the {lines_max:,} lines that run_log_lines_max allows."
_STEP_ID_CHARS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept. level: from which level on, or `off`. lines_max: of a run. line_bytes_max: of text and data."""

    level: str = "info"
    lines_max: int = 1_000
    line_bytes_max: int = 8 * 1024

    @property
    def wanted_level(self) -> str | None:
        """The lowest level that workers report; None when no line is kept."""
        return None if self.level == OFF or self.lines_max <= 0 else self.level


class Place(NamedTuple):
    """Where a line is in its run; lines sort by it."""

    execution_seq: int
    number: int


class LineRow(NamedTuple):
    """A line as it is stored. level: its weight. data: a JSON text."""

    run_id: str
    execution_seq: int
    number: int
    at: Millis
    level: int
    message: str
    data: str | None
    step_id: str
    step_name: str
    attempt: int
    truncated: int


class Writer(NamedTuple):
    """The execution that wrote lines, and the texts of secrets that it was given."""

    run_id: str
    execution_seq: int
    attempt: int
    secret_texts: tuple[str, ...] = ()


def rows(lines: Sequence[ReportedLine], writer: Writer, keeping: Keeping, now: Millis) -> list[LineRow]:
    """The lines of a report that are kept, as far as their level, their size and their secrets allow."""
    if keeping.wanted_level is None:
        return []
    lowest = LEVELS[keeping.level]
    return [
        _row(line, writer, keeping, now)
        for line in lines[:LINES_MAX]
        if LEVELS.get(line.level, LEVELS["info"]) >= lowest
    ]


def decide_kept(found: Sequence[LineRow], kept: int, keeping: Keeping) -> list[LineRow]:
    """Those of a run's new lines that fit beside what it has; the last that fits is replaced by a note that it is full.

    kept: how many lines the run has.
    """
    free = max(keeping.lines_max - kept, 0)
    if len(found) < free:
        return list(found)
    fitting = list(found[:free])
    if fitting:
        message = FULL.format(lines_max=keeping.lines_max)
        fitting[-1] = fitting[-1]._replace(level=LEVELS["warn"], message=message, data=None, step_id="", step_name="")
    return fitting


def _row(line: ReportedLine, writer: Writer, keeping: Keeping, now: Millis) -> LineRow:
    message, data = line.message, json_text(line.data)
    if writer.secret_texts:
        message = redact(message, writer.secret_texts)
        data = redact(data, writer.secret_texts) if data is not None else None
    text, cut = shortened(message, keeping.line_bytes_max)
    if data is not None and len(text.encode()) + len(data.encode()) > keeping.line_bytes_max:
        data, cut = None, True
    step_id = line.step_id[:_STEP_ID_CHARS_MAX]
    at = min(to_millis(line.at), now) if line.at is not None else now
    return LineRow(
        run_id=writer.run_id,
        execution_seq=writer.execution_seq,
        number=line.number,
        at=at,
        level=LEVELS.get(line.level, LEVELS["info"]),
        message=text,
        data=data,
        step_id=step_id,
        step_name=step_name(step_id, writer.run_id) if step_id else "",
        attempt=writer.attempt,
        truncated=int(cut or line.truncated),
    )


def shortened(text: str, bytes_max: int) -> tuple[str, bool]:
    """The text within a limit, cut between characters, and whether it was cut."""
    whole = text.encode()
    return (text, False) if len(whole) <= bytes_max else (whole[:bytes_max].decode(errors="ignore"), True)
