"""`ironflow inspect`: a recorded run as it is, or as it was at a moment, with everything that happened to it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.spelling import writer
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, json_line, status_style, status_text, table
from ironflow.cli.timeline import ASCII, FINE, Signs
from ironflow.cli.times import moment_text, read_moment, span_text
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import RunState, StepState, TimelineEvent

app = App("inspect")

_PAYLOAD_SHOWN_MAX = 100
_GOOD, _BAD, _PERSON = "green", "red", "magenta"
_STYLES = {
    "step.completed": _GOOD,
    "saga.compensation.completed": _GOOD,
    "step.failed": _BAD,
    "saga.compensation.failed": _BAD,
    "run.paused": "yellow",
    "run.resumed": _PERSON,
    "run.pause_requested": _PERSON,
    "step.injected": _PERSON,
    "step.patched": _PERSON,
    "steps.dropped": _PERSON,
}


@app.default
def inspect(
    run: str,
    /,
    *,
    at: str = "",
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    full: Annotated[bool, Parameter(negative="")] = False,
    cli: Here,
) -> None:
    """Look into a recorded run: what happened to it, and how it and its steps stand, or stood at a moment.

    The run's function must have had recording on when the run was created.

    Args:
        run: The run's id, such as run_06DGK3….
        at: Look at this moment: RFC 3339, an age such as 2h, or +90s for so long after the run's creation.
        everything: Show every entry of the timeline, not just the milestones.
        full: Show payloads whole.
    """
    told = _timeline(cli, run)
    moment = _moment(at, told, cli.clock.now()) if at else None
    state = cli.ask(past.state_at, past.GetRunStateAt(run_id=run, timestamp=moment))
    write_event = writer(TimelineEvent).write
    cli.show(
        writer(RunState).write(state) | {"timeline": [write_event(each) for each in told]},
        lambda: _picture(cli, state, told, moment, everything=everything, full=full),
    )


def _timeline(cli: Cli, run: str) -> list[TimelineEvent]:
    answer = cli.ask(past.timeline, past.GetRunTimeline(run_id=run))
    told = answer.events
    while answer.next_cursor:
        answer = cli.ask(past.timeline, past.GetRunTimeline(run_id=run, cursor=answer.next_cursor))
        told += answer.events
    return told


def _moment(given: str, told: Sequence[TimelineEvent], now: Millis) -> datetime:
    if given.startswith("+"):
        return to_datetime(to_millis(told[0].timestamp) + duration_ms(given[1:]))
    return read_moment(given, now)


def _picture(
    cli: Cli,
    state: RunState,
    told: Sequence[TimelineEvent],
    moment: datetime | None,
    *,
    everything: bool,
    full: bool,
) -> RenderableType:
    signs = ASCII if cli.out.options.ascii_only else FINE
    shown_max = None if full else _PAYLOAD_SHOWN_MAX
    parts: list[RenderableType] = [
        _head(state, moment, cli.clock.now(), shown_max),
        Text(),
        _story(state, told, moment, signs, everything=everything),
    ]
    if state.steps:
        parts += [Text(), _steps(state, shown_max, signs)]
    elif state.recording == "run_lifecycle":
        parts += [Text(), Text("Its recording_profile is run_lifecycle: no steps are recorded.", style="dim")]
    return Group(*parts)


def _head(state: RunState, moment: datetime | None, now: Millis, shown_max: int | None) -> RenderableType:
    status = status_text(state.status)
    if state.state != state.status:
        status.append(f"  {state.state}", style="dim")
    error = None
    if state.error is not None:
        error = Text(": ".join(filter(None, (state.error.code, state.error.message))), style="red")
    code = f", code {state.code_hash}" if state.code_hash else ""
    return facts(
        [
            ("run", state.run_id),
            ("as of", moment_text(moment, now)),
            ("status", status),
            ("function", f"{state.function_id}  version {state.function_version}{code}"),
            ("event", f"{state.event_name}  {state.event_id}"),
            ("parent", state.parent_run_id),
            ("attempt", f"{state.attempt} of {state.max_attempts}"),
            ("worker", state.worker_id),
            ("goes on", _instant(state.next_at) if state.next_at is not None else None),
            ("cancelled", state.cancellation_cause),
            ("error" if state.ended_at is not None else "last error", error),
            ("input", json_line(state.input, shown_max)),
            ("output", json_line(state.output, shown_max)),
        ]
    )


def _story(
    state: RunState, told: Sequence[TimelineEvent], moment: datetime | None, signs: Signs, *, everything: bool
) -> RenderableType:
    """The timeline, one entry a line; what came after the moment is dimmed below a line that marks it."""
    shown = [each for each in told if everything or each.significant]
    created = to_millis(told[0].timestamp)
    drawn = table(["", "TIME", "AFTER", "WHAT", ""], _entries(shown, created, moment, signs), right=["AFTER"])
    hidden = len(told) - len(shown)
    if not hidden:
        return drawn
    note = f"{hidden} lesser {'entry' if hidden == 1 else 'entries'} more: ironflow inspect {state.run_id} --all"
    return Group(drawn, Text(note, style="dim"))


def _entries(
    shown: Sequence[TimelineEvent], created: Millis, moment: datetime | None, signs: Signs
) -> Iterator[list[RenderableType]]:
    marked = moment is None
    for each in shown:
        later = moment is not None and each.timestamp > moment
        if later and not marked and moment is not None:
            marked = True
            yield _line_of(moment, created, signs)
        style = "dim" if later else _STYLES.get(each.event_type, "")
        sign = signs.waiting if later else signs.busy
        yield [
            Text(sign, style=style),
            Text(_instant(each.timestamp), style="dim"),
            Text(span_text(to_millis(each.timestamp) - created), style="dim" if later else ""),
            Text(each.event_type, style=style),
            Text(each.summary, style=style),
        ]
    if not marked and moment is not None:
        yield _line_of(moment, created, signs)


def _line_of(moment: datetime, created: Millis, signs: Signs) -> list[RenderableType]:
    """The place in the timeline at which the run is looked at."""
    line = Text(signs.bar * 12, style="cyan")
    return [
        Text(signs.bar, style="cyan"),
        Text(_instant(moment), style="cyan"),
        span_text(to_millis(moment) - created),
        line,
        "",
    ]


def _steps(state: RunState, shown_max: int | None, signs: Signs) -> RenderableType:
    return table(
        ["", "STEP", "TYPE", "STATUS", "TOOK", "OUTPUT", ""],
        (_step_row(step, shown_max, signs) for step in state.steps),
        right=["TOOK"],
    )


def _step_row(step: StepState, shown_max: int | None, signs: Signs) -> list[RenderableType]:
    style = status_style(step.status)
    sign = {"completed": signs.done, "sleeping": signs.waiting, "waiting": signs.waiting}.get(step.status, signs.failed)
    shown = json_line(step.output, shown_max) if step.status == "completed" else ""
    return [
        Text(sign, style=style),
        step.name,
        Text(step.type, style="dim"),
        status_text(step.status),
        span_text(step.duration_ms) if step.duration_ms is not None else "",
        Text(step.error.message, style="red") if step.error is not None else shown,
        Text(_note(step, shown_max), style="dim"),
    ]


def _note(step: StepState, shown_max: int | None) -> str:
    said: list[str] = []
    if step.attempt > 1:
        said.append(f"attempt {step.attempt}")
    if step.status == "sleeping" and step.sleep_until is not None:
        said.append(f"until {_instant(step.sleep_until)}")
    if step.status == "waiting" and step.wait_event_name:
        said.append(f"for {step.wait_event_name}")
    if step.child_run_id:
        said.append(f"run {step.child_run_id}")
    if step.compensation_for:
        said.append(f"undoes {step.compensation_for}")
    if step.injected:
        said.append("injected")
    if step.patched:
        said.append(f"patched by {step.patched_by}" if step.patched_by else "patched")
    if step.injected or step.patched:
        said.append(f"was {json_line(step.original_output, shown_max) or 'nothing'}")
    return ", ".join(said)


def _instant(at: datetime) -> str:
    """RFC 3339 to the millisecond, as `--at` takes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
