"""`ironflow run`: what became of a run, step by step."""

import threading
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.live import Live
from rich.text import Text

from ironflow.base.spelling import writer
from ironflow.base.time import to_datetime
from ironflow.cli import bulk, controls
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.filters import run_status
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import json_line, status_text, table
from ironflow.cli.portrait import portrait, runs_table
from ironflow.cli.timeline import ASCII, FINE, Signs, changes
from ironflow.cli.times import read_moment, span_text, time_text
from ironflow.features.controls import contract as control
from ironflow.features.controls.contract import Why
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunStatus, Step

app = App("run", help="Look at runs, follow them, take them in hand.")

RunId = Annotated[str, Parameter(help="The run's id, such as run_06DGK3….")]
_LOOK_EVERY_S = 0.25
_CHILDREN_MAX = 50


@app.command
def redact(
    run: RunId,
    /,
    *,
    step: str = "",
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Here,
) -> None:
    """Replace input, output and history of an ended run and its steps by markers. There is no way back.

    Args:
        step: Only this step, by row id or step id.
        reason: Why; it is kept for ever, so write nothing in it that is to be forgotten.
        yes: Do not ask.
    """
    what = f"step {step}" if step else f"run {run} with its steps and its event"
    if not yes and not cli.confirm(f"Redact {what} for ever?"):
        raise UsageError(f"{what} is left as it is. Add --yes to redact it for ever.")
    if step:
        answer = cli.ask(redaction.redact_step, redaction.RedactStep(id=step, reason=reason))
    else:
        answer = cli.ask(redaction.redact_run, redaction.RedactRun(id=run, reason=reason))
    cli.show(answer, lambda: f"redacted {what}, {answer.payloads} payloads")
    for child in answer.children:
        cli.say(f"It invoked a run that is as it was: ironflow run redact {child}", "dim")


@app.command(name="list")
def list_(
    *,
    status: list[str] | None = None,
    function: str = "",
    event: str = "",
    parent: str = "",
    search: str = "",
    since: str = "",
    until: str = "",
    limit: int = 20,
    cursor: str = "",
    cli: Here,
) -> None:
    """List runs, newest first.

    Args:
        status: Only runs of this status: pending, running, paused, completed, failed, cancelled. May be repeated.
        function: Only runs of this function.
        event: Only runs started by the event of this id.
        parent: Only runs that steps of this run started.
        search: Only runs with this text in run, function or event id, or in the event's name.
        since: Only runs created since: RFC 3339, or an age such as 2h.
        until: Only runs created until: RFC 3339, or an age such as 30m.
        limit: How many at most, 1 to 1000.
        cursor: Continue after an earlier answer.
    """
    now = cli.clock.now()
    answer = cli.ask(
        runs.list_,
        runs.ListRuns(
            function_id=function,
            event_id=event,
            parent_run_id=parent,
            search=search,
            statuses=[run_status(each) for each in status or []],
            since=read_moment(since, now) if since else None,
            until=read_moment(until, now) if until else None,
            limit=limit,
            cursor=cursor,
        ),
    )
    if not answer.runs:
        cli.say("no runs", "dim")
    if answer.runs or cli.json:
        cli.show(answer, lambda: runs_table(answer.runs, now))
    if answer.next_cursor:
        cli.say(f"{len(answer.runs)} of {answer.total_count} runs. There is more: --cursor {answer.next_cursor}", "dim")


@app.command
def get(run: RunId, /, *, full: Annotated[bool, Parameter(negative="")] = False, cli: Here) -> None:
    """Show one run: how it stands, what it waits for, whom it started, and its steps over time.

    Args:
        full: Show input and output whole.
    """
    found = cli.ask(runs.get, runs.GetRun(id=run))
    recorded = _steps(cli, run)
    why = None if found.status.ended else cli.ask(control.why, control.GetWhy(id=run))
    started = cli.ask(runs.list_, runs.ListRuns(parent_run_id=run, limit=_CHILDREN_MAX))
    more = {"why": writer(Why).write(why) if why else None, "children": [each.id for each in started.runs]}
    cli.show(
        _story(found, recorded) | {name: each for name, each in more.items() if each},
        lambda: portrait(
            found, recorded, cli.clock.now(), full=full, signs=_signs(cli), why=why, children=started.runs
        ),
    )


@app.command
def steps(run: RunId, /, *, limit: int = 0, cursor: str = "", cli: Here) -> None:
    """List the recorded steps of a run with their outputs.

    Args:
        limit: How many at most; 0 for all.
        cursor: Continue after an earlier answer.
    """
    answer = cli.ask(runs.steps, runs.GetRunSteps(run_id=run, limit=limit, cursor=cursor))
    cli.show(
        answer,
        lambda: table(
            ["#", "STEP", "TYPE", "STATUS", "ATTEMPT", "TOOK", "OUTPUT"],
            (
                [
                    str(each.sequence),
                    each.name or each.step_id,
                    each.step_type.value,
                    status_text(each.status),
                    str(each.attempt),
                    span_text(each.duration_ms_full or each.duration_ms),
                    Text(each.error.message, style="red") if each.error else json_line(each.output, 80),
                ]
                for each in answer.steps
            ),
            right=["#", "ATTEMPT", "TOOK"],
        ),
    )


@app.command
def cancel(run: RunId, /, *, reason: str = "", cli: Here) -> None:
    """Cancel a run. It ends at once; a worker still busy with it is refused from now on.

    Args:
        reason: Why; it is kept with the run.
    """
    answer = cli.ask(runs.cancel, runs.CancelRun(id=run, reason=reason))
    cli.show(answer, lambda: f"cancelled {answer.id}")


for _control in (
    controls.pause,
    controls.resume,
    controls.retry,
    controls.paused_state,
    controls.inject,
    controls.patch,
    controls.why,
):
    app.command(_control)
app.command(bulk.app)


@app.command
def watch(run: RunId, /, *, cli: Here) -> Exit:
    """Follow a run until it ends. Exit code 0 when it completed, 1 when it failed or was cancelled."""
    ended = _follow(cli, run)
    if cli.json:
        cli.show(_story(ended, _steps(cli, run)), lambda: "")
    return Exit.OK if ended.status is RunStatus.COMPLETED else Exit.FAILED


def _follow(cli: Cli, run_id: str) -> Run:
    """Shows a run until it has ended: a moving picture on a terminal, a line for each change on a pipe."""
    pause = threading.Event()
    seen: dict[str, str] = {}
    live = Live(console=cli.out, auto_refresh=False) if cli.out.is_terminal and not cli.json else None
    try:
        if live is not None:
            live.start()
        while True:
            run, recorded = cli.ask(runs.get, runs.GetRun(id=run_id)), _steps(cli, run_id)
            seen, new = changes(seen, run, recorded)
            now = cli.clock.now()
            if live is not None:
                live.update(portrait(run, recorded, now, signs=_signs(cli)), refresh=True)
            elif not cli.json:
                for what, status in new:
                    cli.out.print(f"{time_text(to_datetime(now))}  {what}  {status}")
            if run.status.ended:
                return run
            pause.wait(_LOOK_EVERY_S)
    finally:
        if live is not None:
            live.stop()


def _steps(cli: Cli, run_id: str) -> list[Step]:
    return cli.ask(runs.steps, runs.GetRunSteps(run_id=run_id)).steps


def _story(run: Run, steps: list[Step]) -> dict[str, Any]:
    """The run as REST gives it, with its steps under `steps`."""
    write_step = writer(Step).write
    return writer(Run).write(run) | {"steps": [write_step(each) for each in steps]}


def _signs(cli: Cli) -> Signs:
    return ASCII if cli.out.options.ascii_only else FINE
