"""`ironflow run`: runs and their steps."""

import threading
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.live import Live
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.errors import MethodNotAllowed, NotFound, PermissionDenied
from ironflow.base.json import NULL
from ironflow.base.spelling import writer
from ironflow.cli.event.emit import Data, DataFile, Key
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.run import bulk, controls
from ironflow.cli.run import logs as run_logs
from ironflow.cli.run.chain import show_chain
from ironflow.cli.run.filters import FILTER_HELP, read_filter, run_status
from ironflow.cli.run.overview import run_page, runs_table
from ironflow.cli.run.result import result
from ironflow.cli.run.timeline import ASCII, FINE, Signs, changes
from ironflow.cli.terminal.output import facts, json_line, status_text, table
from ironflow.cli.terminal.payload import read_data_option
from ironflow.cli.terminal.times import moment_text, read_moment, span_text, time_text
from ironflow.features.controls import contract as control
from ironflow.features.controls.contract import Why
from ironflow.features.messages import contract as messages
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunStatus, Step
from ironflow.features.values import contract as values

app = App("run", help="List, follow and control runs.")

RunId = Annotated[str, Parameter(help="The run's id, such as run_06DGK3…, or function:key.")]
_POLL_EVERY_S = 0.25
_CHILDREN_MAX = 50
# Runs of a list whose reason to wait is asked for.
_EXPLAINED_MAX = 100
# In so many runs a text is looked for at a time.
_SCAN_MAX = 100_000


@app.command
def redact(
    run: RunId,
    /,
    *,
    step: str = "",
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Replace input, output and history of an ended run and its steps with markers. This cannot be undone.

    Args:
        step: Only this step, by row id or step id.
        reason: The reason, stored for ever; write no personal data in it.
        yes: Do not ask for confirmation.
    """
    what = f"step {step}" if step else f"run {run} with its steps and its event"
    if not yes and not cli.confirm(f"Redact {what} for ever?"):
        raise UsageError(f"{what} is unchanged. Add --yes to redact it for ever.")
    if step:
        answer = cli.call(redaction.redact_step, redaction.RedactStep(id=step, reason=reason))
    else:
        answer = cli.call(redaction.redact_run, redaction.RedactRun(id=run, reason=reason))
    cli.show(answer, lambda: f"redacted {what}, {answer.payloads} payloads")
    for child in answer.children:
        cli.note(f"It invoked a run that is not redacted: ironflow run redact {child}", "dim")


@app.command(name="redact-step")
def redact_step(
    step: Annotated[str, Parameter(help="The step's row id, or its step id.")],
    /,
    *,
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Replace the output of one step of an ended run with a marker. This cannot be undone.

    Args:
        reason: The reason, stored for ever; write no personal data in it.
        yes: Do not ask for confirmation.
    """
    redact("", step=step, reason=reason, yes=yes, cli=cli)


@app.command
def delete(
    run: RunId,
    /,
    *,
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Remove an ended run with its steps and its history. Its event stays. This cannot be undone.

    Args:
        reason: The reason, stored in the audit trail for ever; write no personal data in it.
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete run {run} for ever?"):
        raise UsageError(f"run {run} is unchanged. Add --yes to delete it for ever.")
    answer = cli.call(runs.delete, runs.DeleteRun(id=run, reason=reason))
    cli.show(answer, lambda: f"deleted run {answer.id}")


@app.command
def prune(
    *,
    status: list[str] | None = None,
    function: str = "",
    before: str = "",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> Exit:
    """Remove all ended runs that match, with their steps and history, and wait for it. This cannot be undone.

    Give at least one of the filters. Runs that have not ended stay.

    Args:
        status: Only completed, failed or cancelled runs. May be repeated.
        function: Only runs of this function.
        before: Only runs created before: RFC 3339, or an age such as 30d.
        dry_run: Only count the runs.
        yes: Do not ask for confirmation.
    """
    if not (status or function or before):
        raise UsageError("give at least one of --status, --function and --before: it would delete every ended run.")
    return bulk.start(
        "delete",
        status=status or ["completed", "failed", "cancelled"],
        function=function,
        until=before,
        dry_run=dry_run,
        yes=yes,
        wait=True,
        cli=cli,
    )


@app.command(name="list")
def list_(
    filter: Annotated[str, Parameter(help=FILTER_HELP)] = "",
    /,
    *,
    status: list[str] | None = None,
    function: str = "",
    event: str = "",
    parent: str = "",
    key: str = "",
    search: str = "",
    error: str = "",
    step: str = "",
    output: str = "",
    since: str = "",
    until: str = "",
    limit: int = 20,
    cursor: str = "",
    cli: Injected,
) -> None:
    """List runs, newest first.

    A text, an error, a step or an output is looked for in 100,000 runs at a time: a note says how far back that was.

    Args:
        status: Only pending, running, paused, completed, failed or cancelled runs. May be repeated.
        function: Only runs of this function.
        event: Only runs started by the event of this id.
        parent: Only runs that steps of this run started.
        key: Only runs with this key.
        search: Only runs with this text in run, function or event id, or in the event's name.
        error: Only runs with this text in the class or message of their error.
        step: Only runs that have not completed, whose step of this name was the last one that failed.
        output: Only runs with this value in their output: PATH=VALUE, such as order.total=1200.
        since: Only runs created since: RFC 3339, or an age such as 2h.
        until: Only runs created until: RFC 3339, or an age such as 30m.
        limit: Maximum number of runs, 1 to 1000.
        cursor: Cursor of the next page.
    """
    now = cli.clock.now()
    line = read_filter(filter)
    since, until = since or line.since, until or line.until
    answer = cli.call(
        runs.list_,
        runs.ListRuns(
            function_id=function or line.function,
            event_id=event or line.event,
            parent_run_id=parent or line.parent,
            key=key or line.key,
            search=search or line.search,
            error=error or line.error,
            output=output or line.output,
            failed_step=step or line.step,
            statuses=[run_status(each) for each in status or line.statuses],
            since=read_moment(since, now) if since else None,
            until=read_moment(until, now) if until else None,
            limit=limit,
            cursor=cursor,
            scan_max=_SCAN_MAX,
            count=not (search or line.search or error or line.error or output or line.output or step or line.step),
        ),
    )
    back_to = answer.searched_back_to
    if not answer.runs:
        cli.note("no runs" if back_to is None else f"no runs back to {moment_text(back_to, now)}", "dim")
    if answer.runs or cli.json:
        cli.show(answer, lambda: runs_table(answer.runs, now, _why_pending(cli, answer.runs)))
    if answer.next_cursor and back_to is not None:
        cli.note(f"Searched back to {moment_text(back_to, now)}. To go on: --cursor {answer.next_cursor}", "dim")
    elif answer.next_cursor:
        of = "" if answer.total_count is None else f" of {answer.total_count}"
        cli.note(f"{len(answer.runs)}{of} runs. There is more: --cursor {answer.next_cursor}", "dim")


def _why_pending(cli: Cli, found: list[Run]) -> dict[str, str]:
    """Why the first pending runs of a list wait; empty where an older server or a policy gives the list alone."""
    ids = [each.id for each in found if each.status is RunStatus.PENDING][:_EXPLAINED_MAX]
    if not ids:
        return {}
    try:
        explained = cli.call(control.why_many, control.ExplainRuns(ids=ids)).runs
    except (PermissionDenied, NotFound, MethodNotAllowed):
        return {}
    return {each.run_id: each.reason for each in explained}


@app.command
def get(
    run: RunId,
    /,
    *,
    full: Annotated[bool, Parameter(negative="")] = False,
    chain: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 50,
    cursor: str = "",
    cli: Injected,
) -> None:
    """Show a run: its status, what it waits for, its children, and its steps over time.

    Args:
        full: Show complete input and output.
        chain: Show the chain of the run, oldest first: the runs that followed one another by a restart.
        limit: With --chain, maximum number of runs, 1 to 1000.
        cursor: With --chain, cursor of the next page.
    """
    if chain:
        show_chain(cli, run, limit, cursor)
        return
    found = cli.call(runs.get, runs.GetRun(id=run))
    recorded = _steps(cli, run)
    why = None if found.status.ended else cli.call(control.why, control.GetWhy(id=run))
    started = cli.call(runs.list_, runs.ListRuns(parent_run_id=run, limit=_CHILDREN_MAX))
    more = {"why": writer(Why).write(why) if why else None, "children": [each.id for each in started.runs]}
    cli.show(
        _as_json(found, recorded) | {name: each for name, each in more.items() if each},
        lambda: run_page(
            found, recorded, cli.clock.now(), full=full, signs=_signs(cli), why=why, children=started.runs
        ),
    )


@app.command
def send(
    run: RunId,
    name: Annotated[str, Parameter(help="The message's name.")],
    /,
    *,
    data: Data = None,
    data_file: DataFile = None,
    start: Annotated[bool, Parameter(negative="")] = False,
    idempotency_key: Key = "",
    cli: Injected,
) -> None:
    """Send a message to a run, which `ctx.step.receive` gives it.

    Args:
        start: Start the run of function:key if there is none.
    """
    payload = read_data_option(data, data_file, cli.stdin) or NULL
    request = messages.SendMessage(run_id=run, name=name, data=payload, start=start, idempotency_key=idempotency_key)
    sent = cli.call(messages.send, request)
    cli.show(sent, lambda: facts([("message", sent.id), ("run", sent.run_id)]))


@app.command(name="messages")
def list_messages(
    run: RunId,
    /,
    *,
    unread: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 100,
    cursor: str = "",
    cli: Injected,
) -> None:
    """List the messages that were sent to a run, in their order.

    Args:
        unread: Only those that the run has not taken.
        limit: Maximum number of messages, 1 to 1000.
        cursor: Cursor of the next page.
    """
    found = cli.call(messages.list_, messages.ListMessages(run_id=run, unread=unread, limit=limit, cursor=cursor))
    rows = [
        [str(each.number), each.name, "taken" if each.taken_at else "unread", each.state, json_line(each.data, 60)]
        for each in found.messages
    ]
    cli.show(found, lambda: table(["#", "NAME", "", "ANSWER", "DATA"], rows))
    if found.next_cursor:
        cli.note(f"There is more: --cursor {found.next_cursor}", "dim")


@app.command
def value(
    run: RunId,
    name: Annotated[str, Parameter(help="The value's name.")],
    /,
    *,
    wait: str = "",
    cli: Injected,
) -> None:
    """Show a value that a run has set with `ctx.set`.

    Args:
        wait: Wait until it is set, at most so long, up to 60s.
    """
    wait_ms = duration_ms(wait) if wait else 0
    request = values.GetValue(run_id=run, name=name, wait_ms=wait_ms)
    found = cli.call(values.get, request, timeout=wait_ms / 1000 + 10)
    cli.show(found, lambda: Text(json_line(found.value, None)))


@app.command
def steps(run: RunId, /, *, limit: int = 0, cursor: str = "", cli: Injected) -> None:
    """List the recorded steps of a run with their outputs.

    Args:
        limit: Maximum number of steps; 0 for all.
        cursor: Cursor of the next page.
    """
    answer = cli.call(runs.steps, runs.GetRunSteps(run_id=run, limit=limit, cursor=cursor))
    cli.show(
        answer,
        lambda: table(
            ["#", "STEP", "TYPE", "STATUS", "ATTEMPT", "TOOK", "OUTPUT"],
            (
                [
                    str(each.sequence),
                    each.name or each.step_id,
                    each.step_type.kind,
                    status_text(each.status),
                    f"{each.attempt}/{each.max_attempts}" if each.max_attempts else str(each.attempt),
                    span_text(each.duration_ms_full or each.duration_ms),
                    Text(each.error.message, style="red") if each.error else json_line(each.output, 80),
                ]
                for each in answer.steps
            ),
            right=["#", "ATTEMPT", "TOOK"],
        ),
    )


for _control in (
    controls.cancel,
    controls.pause,
    controls.resume,
    controls.retry,
    controls.paused_state,
    controls.inject,
    controls.patch,
    controls.why,
):
    app.command(_control)
app.command(result)
app.command(run_logs.logs)
app.command(bulk.app)


@app.command
def watch(run: RunId, /, *, cli: Injected) -> Exit:
    """Follow a run until it ends; exit code 0 when it completed, 1 when it failed or was cancelled."""
    ended = _follow(cli, run)
    if cli.json:
        cli.show(_as_json(ended, _steps(cli, run)), lambda: "")
    return Exit.OK if ended.status is RunStatus.COMPLETED else Exit.FAILED


def _follow(cli: Cli, run_id: str) -> Run:
    """Shows a run until it has ended: a live view on a terminal, a line for each change on a pipe."""
    pause = threading.Event()
    seen: dict[str, str] = {}
    live = Live(console=cli.out, auto_refresh=False) if cli.out.is_terminal and not cli.json else None
    try:
        if live is not None:
            live.start()
        while True:
            run, recorded = cli.call(runs.get, runs.GetRun(id=run_id)), _steps(cli, run_id)
            seen, new = changes(seen, run, recorded)
            now = cli.clock.now()
            if live is not None:
                live.update(run_page(run, recorded, now, signs=_signs(cli)), refresh=True)
            elif not cli.json:
                for what, status, at in new:
                    cli.out.print(f"{time_text(at)}  {what}  {status}")
            if run.status.ended:
                return run
            pause.wait(_POLL_EVERY_S)
    finally:
        if live is not None:
            live.stop()


def _steps(cli: Cli, run_id: str) -> list[Step]:
    return cli.call(runs.steps, runs.GetRunSteps(run_id=run_id)).steps


def _as_json(run: Run, steps: list[Step]) -> dict[str, Any]:
    """The run in its REST form, with its steps under `steps`."""
    write_step = writer(Step).write
    return writer(Run).write(run) | {"steps": [write_step(each) for each in steps]}


def _signs(cli: Cli) -> Signs:
    return ASCII if cli.out.options.ascii_only else FINE
