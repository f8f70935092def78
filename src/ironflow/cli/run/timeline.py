"""Draws the steps of a run as bars over time. Pure: values in, a table out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from ironflow.base.message_waits import awaited_text, message_name
from ironflow.base.time import Millis, to_millis
from ironflow.cli.terminal.output import json_line, status_style
from ironflow.cli.terminal.times import moment_text, since_text, span_text
from ironflow.debugging.lines import line_of
from ironflow.features.runs.contract import Run, RunStatus, Step, StepStatus, StepType

BAR_COLUMNS = 36
PROGRESS_SHOWN_MAX = 40
_REST = {StepStatus.SLEEPING, StepStatus.WAITING}
_FAILED = {StepStatus.FAILED, StepStatus.TIMED_OUT, StepStatus.DEAD}


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters of a drawing. `ASCII` is for terminals without Unicode."""

    done: str = "✓"
    failed: str = "✗"
    waiting: str = "◌"
    busy: str = "●"
    bar: str = "━"
    rest_bar: str = "┄"


FINE = Signs()
ASCII = Signs(done="+", failed="x", waiting="o", busy="*", bar="=", rest_bar="-")


def bar_place(start: Millis, end: Millis, first: Millis, last: Millis, columns: int = BAR_COLUMNS) -> tuple[int, int]:
    """The bar of a span on `columns` columns that cover first..last: (columns before it, its length).

    A span outside the range moves to the nearest edge; a bar has at least one column.
    """
    whole = max(last - first, 1)
    before = min(max((start - first) * columns // whole, 0), columns - 1)
    until = -(-(end - first) * columns // whole)
    return before, max(min(until, columns) - before, 1)


def timeline(run: Run, steps: Sequence[Step], now: Millis, signs: Signs = FINE) -> Table:
    """One row for each step: its status, its bar within the run, its duration, and remarks."""
    first, last = run_span(run, steps, now)
    drawn = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    drawn.add_column("")
    drawn.add_column("STEP", overflow="fold")
    drawn.add_column(_scale(last - first), no_wrap=True, min_width=BAR_COLUMNS)
    drawn.add_column("TOOK", justify="right", no_wrap=True)
    drawn.add_column("", overflow="fold", ratio=1)
    for step in steps:
        style = status_style(step.status)
        start, end = step_span(step, now)
        before, length = bar_place(start, end, first, last)
        stroke = signs.rest_bar if step.step_type in (StepType.SLEEP, StepType.WAIT_FOR_EVENT) else signs.bar
        drawn.add_row(
            Text(_sign(step.status, signs), style=style),
            step.name or step.step_id,
            Text(" " * before) + Text(stroke * length, style=style),
            "" if step.status in _REST else span_text(end - start),
            _note(step, now),
        )
    return drawn


def run_span(run: Run, steps: Sequence[Step], now: Millis) -> tuple[Millis, Millis]:
    """From the start of the run or its first step, whichever is earlier, to its end or now."""
    first = to_millis(run.started_at or run.created_at)
    last = to_millis(run.ended_at) if run.ended_at else now
    for step in steps:
        start, end = step_span(step, now)
        first, last = min(first, start), max(last, end)
    return first, max(last, first)


def step_span(step: Step, now: Millis) -> tuple[Millis, Millis]:
    """Start and end of a step; one under way ends now."""
    start = step.started_at or step.created_at or step.ended_at
    if start is None:
        return now, now
    begun = to_millis(start)
    if step.ended_at is not None:
        return begun, max(to_millis(step.ended_at), begun)
    took = step.duration_ms_full or step.duration_ms
    return begun, begun + took if took else max(now, begun)


def waiting_text(run: Run, steps: Sequence[Step], now: Millis) -> str:
    """What an idle run waits for, and until when; empty for a run that is running or has ended."""
    if run.status.ended or run.status is RunStatus.RUNNING:
        return ""
    if run.state is not None and run.state.startswith("paused"):
        return f"a resume: ironflow run resume {run.id}"
    for step in steps:
        if step.status is StepStatus.SLEEPING:
            return f"{step.name or step.step_id} sleeps until {moment_text(step.sleep_until, now)}"
        if step.status is StepStatus.WAITING and step.wait_event_name:
            limit = f", at most until {moment_text(step.wait_timeout, now)}" if step.wait_timeout else ""
            kind = "event " if message_name(step.wait_event_name) is None else ""
            return f"{kind}{awaited_text(step.wait_event_name)}{limit}"
        if step.status is StepStatus.WAITING and step.child_run_id:
            limit = f", at most until {moment_text(step.wait_timeout, now)}" if step.wait_timeout else ""
            return f"the end of {step.child_run_id} ({step.name}){limit}"
    if run.next_attempt_at is not None and run.state == "waiting: throttle":
        return f"its turn to start at {moment_text(run.next_attempt_at, now)}"
    if run.next_attempt_at is not None:
        return f"attempt {run.attempt + 1} of {run.max_attempts} at {moment_text(run.next_attempt_at, now)}"
    return "a free worker" if run.status is RunStatus.PENDING else run.pause_reason or "being resumed"


def _note(step: Step, now: Millis) -> Text:
    parts: list[str] = []
    if step.max_attempts and (step.attempt > 1 or step.status is StepStatus.RETRYING):
        parts.append(f"attempt {step.attempt} of {step.max_attempts}")
    elif step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if step.progress is not None and step.status is not StepStatus.COMPLETED:
        parts.append(f"progress {json_line(step.progress, PROGRESS_SHOWN_MAX)}")
    if step.stored_status == "retrying":
        parts.append(f"again {moment_text(step.sleep_until, now)}")
    if step.status is StepStatus.SLEEPING:
        parts.append(f"until {moment_text(step.sleep_until, now)}")
    if step.status is StepStatus.WAITING and step.wait_event_name:
        parts.append(f"for {awaited_text(step.wait_event_name)}")
    if step.patched_at is not None:
        parts.append(f"patched {since_text(step.patched_at, now)}")
    if step.compensation_for:
        parts.append(f"undoes {step.compensation_for}")
    called = line_of(step.source)
    if called is not None:
        parts.append(called.short)
    note = Text(", ".join(parts), style="dim")
    if step.error is not None and step.status is not StepStatus.COMPLETED:
        note.append("  " if parts else "").append(step.error.message, style="red")
    return note


def _sign(status: StepStatus, signs: Signs) -> str:
    if status is StepStatus.COMPLETED:
        return signs.done
    if status in _FAILED:
        return signs.failed
    return signs.waiting if status in _REST else signs.busy


def _scale(span_ms: int) -> str:
    end = span_text(span_ms)
    return "0" + end.rjust(BAR_COLUMNS - 1)


class Change(NamedTuple):
    """at: when it changed, as the server recorded it."""

    what: str
    status: str
    at: datetime


def changes(before: dict[str, str], run: Run, steps: Sequence[Step]) -> tuple[dict[str, str], list[Change]]:
    """What has changed since `before`: the new statuses by step id, and each change, in order."""
    after = {step.step_id: step.status.value for step in steps}
    new = [
        Change(step.name or step.step_id, step.status.value, step.ended_at or step.started_at or run.updated_at)
        for step in steps
        if before.get(step.step_id) != step.status.value
    ]
    # The run's own status comes last: it is the consequence.
    after[run.id] = run.status.value
    if before.get(run.id) != run.status.value:
        new.append(Change("run", run.status.value, run.ended_at or run.updated_at))
    return after, new
