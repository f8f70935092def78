"""What the full screen draws, as lines of text; pure. Every status has a sign, so that colour adds nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from rich.text import Text

from ironflow.base.json import Json, read_json, write_json_text
from ironflow.base.message_waits import awaited_text
from ironflow.base.time import Millis, to_millis
from ironflow.cli.run.timeline import Signs, bar_place
from ironflow.cli.terminal.output import failure_text, status_style
from ironflow.cli.terminal.times import since_text, span_text
from ironflow.debugging.branches import MAIN, branch_of
from ironflow.debugging.changes import ABSENT, Change
from ironflow.debugging.history import History, Moment
from ironflow.debugging.preview import Preview
from ironflow.features.run_logs.contract import LogLine
from ironflow.features.runs.contract import Run, WireError, step_kind
from ironflow.features.time_travel.contract import RunState, StepState

LINES_MAX = 20_000
RUNS_PAGE = 100
_OPEN = ("sleeping", "waiting")
_VALUE_CHARS = 200
Part = Literal["changes", "output", "input", "error", "run", "logs"]
PARTS: tuple[Part, ...] = ("changes", "output", "input", "error", "run", "logs")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree. step: None for the run and for branches."""

    label: str
    depth: int
    step: StepState | None = None


def tree(state: RunState) -> list[Row]:
    """The run, its steps in order, and the steps of a branch below it."""
    rows = [Row(f"{state.function_id}  {state.status}", 0)]
    seen: set[str] = {MAIN}
    for branch, step in _in_order(state):
        parts = branch.split("/") if branch else []
        for depth in range(len(parts)):
            path = "/".join(parts[: depth + 1])
            if path not in seen:
                seen.add(path)
                rows.append(Row(parts[depth], depth + 1))
        label = f"undo {step.compensation_for}" if step.compensation_for else step.name
        rows.append(Row(label, len(parts) + 1, step))
    return rows


def _in_order(state: RunState) -> list[tuple[str, StepState]]:
    """The steps with their branches; those of one parallel together, at the place of the first of them."""
    steps = [(branch_of(step.step_id, state.run_id), step) for step in sorted(state.steps, key=lambda s: s.sequence)]
    firsts: dict[str, int] = {}
    for branch, step in steps:
        firsts.setdefault(branch.partition("[")[0], step.sequence)

    def place(found: tuple[str, StepState]) -> tuple[int, str, int]:
        branch, step = found
        return (firsts[branch.partition("[")[0]] if branch else step.sequence), _sortable(branch), step.sequence

    return sorted(steps, key=place)


def _sortable(branch: str) -> str:
    """Branch 10 comes after branch 9."""
    return "".join(part.rjust(8, "0") if part.isdigit() else part for part in branch.replace("]", "[").split("["))


def tree_line(row: Row, signs: Signs) -> Text:
    """A line of the tree: sign, name, and how long it took or what it waits for."""
    indent = "  " * row.depth
    if row.step is None:
        return Text(f"{indent}{row.label}", style="bold")
    step = row.step
    line = Text(f"{indent}{sign_of(step.status, signs)} ", style=status_style(step.status))
    line.append(row.label)
    line.append(f"  {_remark(step)}", style="dim")
    return line


def bar_line(row: Row, span: tuple[Millis, Millis], columns: int, signs: Signs) -> Text:
    """A line of the tree with a bar over the time of the run. columns: of the bar."""
    name_columns = 18
    label = f"{'  ' * row.depth}{row.label}"[:name_columns].ljust(name_columns)
    line = Text(f"{label} ")
    step = row.step
    if step is None or step.started_at is None:
        return line
    start = to_millis(step.started_at)
    end = to_millis(step.completed_at) if step.completed_at is not None else span[1]
    before, length = bar_place(start, end, *span, columns)
    stroke = signs.rest_bar if step.type in ("sleep", "wait_for_event") else signs.bar
    line.append(" " * before + stroke * length, style=status_style(step.status))
    return line


def span_of(state: RunState) -> tuple[Millis, Millis]:
    """From the creation of the run to its end, or to the moment that is shown."""
    last = state.ended_at or state.timestamp
    return to_millis(state.created_at), max(to_millis(last), to_millis(state.created_at) + 1)


def moment_line(moment: Moment, signs: Signs) -> Text:
    """A line of the history."""
    sign = signs.failed if moment.failed else signs.busy
    style = status_style("failed") if moment.failed else ""
    line = Text(f"{sign} ", style=style)
    line.append(f"{moment.at:%H:%M:%S}.{moment.at.microsecond // 1000:03d} ", style="dim")
    return line.append(" ".join(moment.summary.split()), style=style)


def run_line(run: Run, now: Millis, signs: Signs) -> Text:
    """A line of the list of runs."""
    status = run.status.value
    line = Text(f"{sign_of(status, signs)} {status:<9} ", style=status_style(status))
    line.append(f"{run.id}  ")
    line.append(f"{since_text(run.created_at, now):>10}  ", style="dim")
    return line.append(run.function_id)


def sign_of(status: str, signs: Signs) -> str:
    if status == "completed":
        return signs.done
    if status in (*_OPEN, "pending", "paused"):
        return signs.waiting
    return signs.busy if status == "running" else signs.failed


def head(state: RunState, moment: Moment, count: int, *, following: bool) -> Text:
    """The first line of the screen."""
    line = Text(f"{state.run_id} ", style="bold")
    line.append(f"{state.function_id} ")
    line.append(state.state, style=status_style(state.status))
    line.append(f"  {moment.number + 1}/{count}", style="dim")
    return line.append("  following" if following else "", style="cyan")


def slider(history: History, number: int, columns: int, signs: Signs) -> Text:
    """The history as a bar: where the screen stands, and where something failed."""
    columns = max(columns, 1)
    count = max(len(history), 1)
    marks = [signs.rest_bar] * columns
    for moment in history.moments:
        if moment.failed:
            marks[moment.number * columns // count] = signs.failed
    place = number * columns // count
    line = Text()
    for column, mark in enumerate(marks):
        style = "reverse bold" if column == place else status_style("failed") if mark == signs.failed else "dim"
        line.append(signs.busy if column == place and mark != signs.failed else mark, style=style)
    return line


def detail(part: Part, state: RunState, moment: Moment, step: StepState | None, changes: Sequence[Change]) -> list[str]:
    """The lines of a part. step: None is about the run."""
    match part:
        case "changes":
            return [*_wrapped(moment.summary), moment.at.isoformat(timespec="milliseconds"), "", *change_lines(changes)]
        case "output":
            return _output_lines(state, step)
        case "input":
            return [f"event {state.event_name}", *payload_lines(state.input)]
        case "error":
            return error_lines(step.error if step is not None else state.error)
        case "run":
            return _run_lines(state, step)
        case "logs":
            return ["reading …"]


def log_lines(found: Sequence[LogLine], until: datetime | None) -> list[str]:
    """What the run had written at a moment, None for now."""
    shown = [line for line in found if until is None or line.at <= until]
    if not shown:
        return ["no lines" if until is None else "no lines until this moment"]
    return [text for line in shown for text in _log_line(line)]


def _log_line(line: LogLine) -> list[str]:
    data = "" if line.data is None else f"  {_short(read_json(line.data))}"
    message = line.message.splitlines() or [""]
    return [f"{line.at:%H:%M:%S} {line.level:<5} {line.step_name or '-'}  {message[0]}{data}", *message[1:]]


def change_lines(changes: Sequence[Change]) -> list[str]:
    """`path`, then the value before after `-` and the value after it after `+`."""
    if not changes:
        return ["nothing changed"]
    lines: list[str] = []
    for change in changes:
        lines.append(change.path)
        if change.before is not ABSENT:
            lines.append(f"- {_short(change.before)}")
        if change.after is not ABSENT:
            lines.append(f"+ {_short(change.after)}")
    return lines


def payload_lines(payload: Json | None) -> list[str]:
    """A payload as indented JSON, at most LINES_MAX lines."""
    if payload is None:
        return ["none"]
    lines = msgspec.json.format(bytes(payload), indent=2).decode().splitlines()
    if len(lines) > LINES_MAX:
        return [*lines[:LINES_MAX], f"… {len(lines) - LINES_MAX} more lines: e opens all of it"]
    return lines


def error_lines(error: WireError | None) -> list[str]:
    """The error with its stack."""
    if error is None:
        return ["no error"]
    return [*failure_text(error).splitlines(), "", *(error.stack or "no stack").splitlines()]


def preview_lines(found: Preview) -> list[str]:
    """What runs again, for a question."""
    again = ", ".join(step.name for step in found.again[:20]) or "none"
    more = f" and {len(found.again) - 20} more" if len(found.again) > 20 else ""
    lines = [f"Steps to run again: {again}{more}", f"Results that are kept: {len(found.kept)}"]
    if found.undone_children:
        lines.append(f"Runs that are invoked anew: {', '.join(found.undone_children)}")
    return lines


def _output_lines(state: RunState, step: StepState | None) -> list[str]:
    if step is None:
        return payload_lines(state.output)
    lines = payload_lines(step.output)
    if step.original_output is not None:
        lines += ["", "before it was replaced:", *payload_lines(step.original_output)]
    return lines


def _run_lines(state: RunState, step: StepState | None) -> list[str]:
    pairs: list[tuple[str, Any]] = [
        ("run", state.run_id),
        ("function", f"{state.function_id} version {state.function_version}"),
        ("code", state.code_hash),
        ("state", state.state),
        ("attempt", f"{state.attempt} of {state.max_attempts}"),
        ("event", f"{state.event_name} {state.event_id}"),
        ("parent", state.parent_run_id),
        ("worker", state.worker_id),
        ("continues at", state.next_at),
        ("cancelled", state.cancellation_cause),
    ]
    if step is not None:
        pairs += [
            ("", "—"),
            ("step", step.name),
            ("step id", step.step_id),
            ("row", step.id),
            ("type", step_kind(step.type)),
            ("called", step.source),
            ("status", step.status),
            ("attempt", step.attempt),
            ("started", step.started_at),
            ("ended", step.completed_at),
            ("waits for", awaited_text(step.wait_event_name) if step.wait_event_name else None),
            ("until", step.sleep_until or step.wait_timeout),
            ("child run", step.child_run_id),
            ("patched by", step.patched_by),
        ]
    return [f"{name:<13}{value}" for name, value in pairs if value not in (None, "")]


def _remark(step: StepState) -> str:
    parts = [span_text(step.duration_ms)] if step.duration_ms is not None else [step.status]
    if step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if step.injected or step.patched:
        parts.append("replaced")
    if step.child_run_id:
        parts.append("run")
    return ", ".join(parts)


def _short(value: Any) -> str:
    text = write_json_text(value)
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"


def _wrapped(text: str) -> list[str]:
    return text.splitlines() or [""]
