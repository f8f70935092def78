"""`ironflow run bulk`: cancel, retry, resume, pause or delete many runs."""

import threading
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.run.filters import run_status
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.times import moment_text, read_moment, since_text
from ironflow.features.bulk import contract as bulk
from ironflow.features.bulk.contract import Bulk

app = App("bulk", help="Cancel, retry, resume, pause or delete all runs that match a filter.")

BulkId = Annotated[str, Parameter(help="The job's id, such as bulk_06DGK3….")]
_POLL_EVERY_S = 0.25


@app.command
def start(
    action: Literal["cancel", "retry", "resume", "pause", "delete"],
    /,
    *,
    status: list[str] | None = None,
    function: str = "",
    function_version: int = 0,
    event: str = "",
    parent: str = "",
    key: str = "",
    search: str = "",
    error: str = "",
    step: str = "",
    output: str = "",
    since: str = "",
    until: str = "",
    reason: str = "",
    force: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False,
    cli: Injected,
) -> Exit:
    """Start a bulk job that applies an action to every matching run. The server works through it by itself.

    Args:
        action: The action on each run; delete removes ended runs for ever.
        status: Only runs of this status. May be repeated.
        function: Only runs of this function.
        function_version: Only runs created with this version of the function; 0 for any.
        event: Only runs started by the event of this id.
        parent: Only runs that the steps of this run started.
        key: Only runs with this key.
        search: Only runs with this text in run, function or event id, or in the event's name.
        error: Only runs with this text in the class or message of their error.
        step: Only runs that have not completed, whose step of this name was the last one that failed.
        output: Only runs with this value in their output: PATH=VALUE, such as order.total=1200.
        since: Only runs created since: RFC 3339, or an age such as 2h.
        until: Only runs created until: RFC 3339, or an age such as 30m.
        reason: The reason, stored with the runs.
        force: Cancel at once, without the compensations that run before, also where they run already.
        dry_run: Only count the runs.
        yes: Do not ask for confirmation.
        wait: Wait until the job has ended.
    """
    now = cli.clock.now()
    request = bulk.StartBulk(
        action=action,
        function_id=function,
        function_version=function_version,
        statuses=[run_status(each) for each in status or []],
        event_id=event,
        parent_run_id=parent,
        key=key,
        search=search,
        error=error,
        output=output,
        failed_step=step,
        since=read_moment(since, now) if since else None,
        until=read_moment(until, now) if until else None,
        reason=reason,
        force=force,
        dry_run=True,
    )
    if dry_run or not yes:
        counted = cli.call(bulk.start, request)
        runs = f"{counted.matched} {'run' if counted.matched == 1 else 'runs'}"
        if counted.more:
            runs = f"at least {runs}"
        if dry_run:
            cli.show(counted, lambda: f"{runs} would be affected")
            return Exit.OK
        if not cli.confirm(f"{action.capitalize()} {runs}?"):
            raise UsageError(f"nothing was done. Add --yes to {action} {runs}, or --dry-run to count them.")
    request.dry_run = False
    job = cli.call(bulk.start, request)
    if wait:
        job = _wait(cli, job)
    cli.show(job, lambda: _details(cli, job))
    if not wait:
        cli.note(f"To follow it: ironflow run bulk get {job.id} --wait", "dim")
    return Exit.OK


@app.command
def get(
    job: BulkId, /, *, wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False, cli: Injected
) -> None:
    """Show the progress of a bulk job.

    Args:
        wait: Wait until the job has ended.
    """
    found = cli.call(bulk.get, bulk.NamedBulk(id=job))
    if wait:
        found = _wait(cli, found)
    cli.show(found, lambda: _details(cli, found))


@app.command(name="list")
def list_(*, limit: int = 20, cursor: str = "", cli: Injected) -> None:
    """List bulk jobs, newest first.

    Args:
        limit: Maximum number of jobs, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(bulk.list_, bulk.ListBulks(limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.jobs:
        cli.note("no bulk jobs", "dim")
    if answer.jobs or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["STATUS", "JOB", "ACTION", "MATCHED", "CHANGED", "REFUSED", "STARTED"],
                (
                    [
                        status_text(each.status),
                        each.id,
                        each.action,
                        str(each.matched),
                        str(each.changed),
                        str(each.refused),
                        since_text(each.created_at, now),
                    ]
                    for each in answer.jobs
                ),
                right=["MATCHED", "CHANGED", "REFUSED"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def stop(job: BulkId, /, *, cli: Injected) -> None:
    """Stop a bulk job. Runs that it has changed stay changed."""
    answer = cli.call(bulk.stop, bulk.NamedBulk(id=job))
    cli.show(answer, lambda: f"stopped {answer.id} after {answer.changed} of {answer.matched} runs")


@app.command
def undo(
    job: BulkId, /, *, wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False, cli: Injected
) -> None:
    """Take back what an ended job did within a day: pause the runs that it resumed, or resume those that it paused.

    Args:
        wait: Wait until that has ended.
    """
    found = cli.call(bulk.undo, bulk.NamedBulk(id=job))
    if wait:
        found = _wait(cli, found)
    cli.show(found, lambda: _details(cli, found))


def _wait(cli: Cli, job: Bulk) -> Bulk:
    """Polls the job until it has ended."""
    pause = threading.Event()
    with cli.waiting(f"{job.action} of {job.matched} runs"):
        while job.status == "running":
            pause.wait(_POLL_EVERY_S)
            job = cli.call(bulk.get, bulk.NamedBulk(id=job.id))
    return job


def _details(cli: Cli, job: Bulk) -> RenderableType:
    now = cli.clock.now()
    return facts(
        [
            ("job", job.id),
            ("action", job.action),
            ("status", status_text(job.status)),
            ("matched", str(job.matched)),
            ("changed", str(job.changed)),
            ("refused", str(job.refused)),
            ("started", moment_text(job.created_at, now)),
            ("updated", moment_text(job.updated_at, now)),
        ]
    )
