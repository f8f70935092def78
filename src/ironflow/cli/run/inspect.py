"""`ironflow inspect`: a recorded run now or at an earlier time, with its timeline."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.json import write_json
from ironflow.base.message_waits import awaited_text
from ironflow.base.spelling import writer
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.run.debug_adapter import LOOPBACK, over_tcp
from ironflow.cli.run.full_screen import is_terminal, open_screen
from ironflow.cli.run.timeline import ASCII, FINE, Signs
from ironflow.cli.terminal.output import facts, failure_text, json_line, status_style, status_text, table
from ironflow.cli.terminal.times import moment_text, read_moment, span_text
from ironflow.debugging.lines import line_of
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import step_kind
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import RunState, StepState, TimelineEvent

app = App("inspect")

DAP_PORT = 4711
_PAYLOAD_SHOWN_MAX = 100
_GOOD, _BAD, _MANUAL = "green", "red", "magenta"
_STYLES = {
    "step.completed": _GOOD,
    "saga.compensation.completed": _GOOD,
    "step.failed": _BAD,
    "saga.compensation.failed": _BAD,
    "run.paused": "yellow",
    "run.resumed": _MANUAL,
    "run.pause_requested": _MANUAL,
    "step.injected": _MANUAL,
    "step.patched": _MANUAL,
    "steps.dropped": _MANUAL,
}


@app.default
def inspect(
    run: str = "",
    /,
    *,
    at: str = "",
    everything: Annotated[bool, Parameter(name=["--all", "--all-events"], negative="")] = False,
    replay: Annotated[bool, Parameter(negative="")] = False,
    dap: Annotated[bool, Parameter(negative="")] = False,
    dap_port: int = DAP_PORT,
    full: Annotated[bool, Parameter(negative="")] = False,
    plain: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Step through the history of a run, full screen; without a run, choose one from a list. `?` shows the keys.

    With --plain, --json or --all, on a pipe, and without the extra `inspect`, it prints the timeline of the run, and
    its state and steps now or at an earlier time. Recording must have been on for the run's function when the run was
    created.

    Args:
        run: The run's id, such as run_06DGK3…, or function:key.
        at: The time: RFC 3339, an age such as 2h, or +90s after the run's creation.
        everything: Show every entry of the timeline, not only the milestones.
        replay: Show the run as it went, moment by moment; printed, entry by entry, with the status after each.
        dap: Serve the Debug Adapter Protocol for this run on a TCP port, for an editor.
        dap_port: That port; 0 takes a free one.
        full: Print complete payloads.
        plain: Print the page instead of opening the full screen.
    """
    if dap:
        # A mistyped id is refused here, not in the editor.
        cli.call(runs.get, runs.GetRun(id=run))
        over_tcp(cli, run, LOOPBACK, dap_port)
        return
    if not (plain or full or cli.json) and (not everything or replay) and is_terminal(cli):
        open_screen(cli, run, at=at, replay=replay, everything=everything)
        return
    if not run:
        raise UsageError("write the id of a run: its list is for terminals. `ironflow run list` prints it.")
    entries = _timeline(cli, run)
    moment = _moment(at, entries, cli.clock.now()) if at else None
    if replay:
        _replay(cli, run, [each for each in entries if everything or each.significant])
        return
    state = cli.call(past.state_at, past.GetRunStateAt(run_id=run, timestamp=moment))
    write_event = writer(TimelineEvent).write
    cli.show(
        writer(RunState).write(state) | {"timeline": [write_event(each) for each in entries]},
        lambda: _render(cli, state, entries, moment, everything=everything, full=full),
    )


def _replay(cli: Cli, run: str, entries: Sequence[TimelineEvent]) -> None:
    """One line for each entry: its time, what happened, and the status of the run then."""
    write_event = writer(TimelineEvent).write
    for each in entries:
        state = cli.call(past.state_at, past.GetRunStateAt(run_id=run, timestamp=each.timestamp))
        if cli.json:
            cli.write(write_json(write_event(each) | {"run_status": state.status}) + b"\n")
        else:
            cli.out.print(f"{_instant(each.timestamp)}  {state.status:<10} {each.event_type:<24} {each.summary}")


def _timeline(cli: Cli, run: str) -> list[TimelineEvent]:
    answer = cli.call(past.timeline, past.GetRunTimeline(run_id=run))
    entries = answer.events
    while answer.next_cursor:
        answer = cli.call(past.timeline, past.GetRunTimeline(run_id=run, cursor=answer.next_cursor))
        entries += answer.events
    return entries


def _moment(given: str, entries: Sequence[TimelineEvent], now: Millis) -> datetime:
    if given.startswith("+"):
        return to_datetime(to_millis(entries[0].timestamp) + duration_ms(given[1:]))
    return read_moment(given, now)


def _render(
    cli: Cli,
    state: RunState,
    entries: Sequence[TimelineEvent],
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
        _render_timeline(state, entries, moment, signs, everything=everything),
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
        error = Text(failure_text(state.error), style="red")
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
            ("continues at", _instant(state.next_at) if state.next_at is not None else None),
            ("cancelled", state.cancellation_cause),
            ("error" if state.ended_at is not None else "last error", error),
            ("input", json_line(state.input, shown_max)),
            ("output", json_line(state.output, shown_max)),
        ]
    )


def _render_timeline(
    state: RunState, entries: Sequence[TimelineEvent], moment: datetime | None, signs: Signs, *, everything: bool
) -> RenderableType:
    """The timeline, one entry per line; a rule marks the moment, and later entries are dim."""
    shown = [each for each in entries if everything or each.significant]
    created = to_millis(entries[0].timestamp)
    drawn = table(
        ["", "TIME", "AFTER", "WHAT", ""],
        _rows(shown, created, moment, signs),
        right=["AFTER"],
        whole=["TIME", "AFTER"],
    )
    hidden = len(entries) - len(shown)
    if not hidden:
        return drawn
    note = f"{hidden} more {'entry' if hidden == 1 else 'entries'}: ironflow inspect {state.run_id} --all"
    return Group(drawn, Text(note, style="dim"))


def _rows(
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
    """The rule in the timeline that marks the moment."""
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
        Text(step_kind(step.type), style="dim"),
        status_text(step.status),
        span_text(step.duration_ms) if step.duration_ms is not None else "",
        Text(step.error.message, style="red") if step.error is not None else shown,
        Text(_note(step, shown_max), style="dim"),
    ]


def _note(step: StepState, shown_max: int | None) -> str:
    parts: list[str] = []
    if step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if step.status == "sleeping" and step.sleep_until is not None:
        parts.append(f"until {_instant(step.sleep_until)}")
    if step.status == "waiting" and step.wait_event_name:
        parts.append(f"for {awaited_text(step.wait_event_name)}")
    if step.child_run_id:
        parts.append(f"run {step.child_run_id}")
    if step.compensation_for:
        parts.append(f"undoes {step.compensation_for}")
    if step.injected:
        parts.append("injected")
    if step.patched:
        parts.append(f"patched by {step.patched_by}" if step.patched_by else "patched")
    if step.injected or step.patched:
        parts.append(f"was {json_line(step.original_output, shown_max) or 'nothing'}")
    called = line_of(step.source)
    if called is not None:
        # The whole path is what --full and --json show.
        parts.append(called.short if shown_max is not None else f"{called.path}:{called.number}")
    return ", ".join(parts)


def _instant(at: datetime) -> str:
    """RFC 3339 to the millisecond, as `--at` takes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
