"""`ironflow projection`: read models, their progress and their rebuilds."""

import threading
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.time import to_datetime
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.projection import sql_projection, waiting
from ironflow.cli.refused import DURABLES, refused
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.times import read_moment, since_text, time_text
from ironflow.features.projections import contract as projections
from ironflow.features.projections.contract import RebuildJob

app = App("projection", help="List, rebuild and wait for projections.")

Name = Annotated[str, Parameter(help="The projection's name.")]
Partition = Annotated[str, Parameter(help="One partition of a partitioned projection.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask for confirmation.")]
_POLL_EVERY_S = 0.25


@app.command(name="list")
def list_(*, status: str = "", limit: int = 100, offset: int = 0, cli: Injected) -> None:
    """List the projections by name; SQL projections follow the others.

    Args:
        status: Only projections with this status: active, rebuilding, paused or error.
        limit: Maximum number of projections.
        offset: Number of projections to skip.
    """
    asked = projections.ListProjections(status=status, limit=limit, offset=offset)
    answer = cli.call(projections.list_, asked)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["PROJECTION", "STATUS", "MODE", "AT", "EVENTS", "CHANGED", "ERROR"],
            (
                [
                    each.name,
                    status_text(each.status),
                    each.type if each.type == "sql" else each.mode,
                    str(each.last_event_seq),
                    ", ".join(each.events),
                    since_text(each.updated_at, now),
                    each.error_message,
                ]
                for each in answer.projections
            ),
            right=["AT"],
        ),
    )
    if offset + len(answer.projections) < answer.total_count:
        cli.note(f"There is more: --offset {offset + len(answer.projections)}", "dim")


@app.command
def get(name: Name, /, *, partition: Partition = "", as_of: str | None = None, cli: Injected) -> None:
    """Show the state of a projection.

    Where the state of a time was not recorded, the last one kept before it is shown, with its time on standard error;
    with --json, `as_of.exact` of the answer states which it is.

    Args:
        as_of: The state at this time, such as 2026-01-31T12:00:00Z, or so long ago, such as 10m.
    """
    at = None if as_of is None else read_moment(as_of, cli.clock.now())
    answer = cli.call(projections.envelope, projections.GetProjection(name=name, partition=partition, as_of=at))
    if cli.json:
        cli.show(answer, lambda: "")
        return
    if answer.state is None:
        nothing = "no state yet" if at is None else "no state yet at that time"
        cli.note(waiting.without_state(answer) or nothing, "dim")
        return
    cli.write(msgspec.json.format(bytes(answer.state.state), indent=2) + b"\n")
    if answer.as_of is not None and not answer.as_of.exact:
        kept = f"of {time_text(answer.state.last_event_time)} at position {answer.as_of.last_event_seq}"
        cli.note(
            f"Not the state of that time: this is the last one kept before it, {kept}; {answer.as_of.missing}. "
            "To fold the events in between: ironflow.projection.state_as_of",
            "yellow",
        )


@app.command
def partitions(name: Name, /, *, prefix: str = "", limit: int = 1000, cursor: str = "", cli: Injected) -> None:
    """List the partitions that have a state.

    Args:
        prefix: Only keys with this prefix.
        limit: Maximum number of partitions.
        cursor: Cursor of the next page.
    """
    asked = projections.ListPartitions(name=name, q=prefix, limit=limit, cursor=cursor)
    answer = cli.call(projections.partitions, asked)
    cli.show(answer, lambda: "\n".join(answer.partitions)) if answer.partitions or cli.json else cli.note(
        "no partitions", "dim"
    )
    note_more(cli, answer.next_cursor)


@app.command
def status(name: Name, /, *, cli: Injected) -> None:
    """Show the cursor, lag, error and rebuild of a projection."""
    answer = cli.call(projections.status, projections.Named(name=name))
    job = None
    if answer.rebuild_started_at is not None:
        job = cli.call(projections.rebuild_job, projections.Named(name=name)).job
    cli.show(
        answer,
        lambda: facts(
            [
                ("projection", answer.name),
                ("status", status_text(answer.status)),
                ("mode", answer.type if answer.type == "sql" else answer.mode),
                ("at", str(answer.last_event_seq)),
                ("lag", str(answer.lag)),
                ("without key", f"{answer.without_key} events, in __global__" if answer.without_key else None),
                ("error", answer.error_message),
                ("rebuild", _progress(job) if job else None),
                ("changed", time_text(answer.updated_at)),
            ]
        ),
    )


@app.command
def pause(name: Name, /, *, cli: Injected) -> None:
    """Pause a projection: it receives no events until it is resumed."""
    answer = cli.call(projections.pause, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def resume(name: Name, /, *, cli: Injected) -> None:
    """Resume a projection and clear its error."""
    answer = cli.call(projections.resume, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def rebuild(
    name: Name,
    cancelled: Annotated[str, Parameter(show=False)] = "",
    /,
    *,
    partition: Partition = "",
    from_event: Annotated[str, Parameter(name=["--from-event", "--from"])] = "",
    to_event: Annotated[str, Parameter(name=["--to-event", "--to"])] = "",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False,
    cli: Injected,
) -> None:
    """Rebuild a projection. Readers see the current generation until the new one has caught up.

    `rebuild cancel NAME` cancels it.

    Args:
        from_event: Id of the first event to fold; earlier events are left out.
        to_event: Id of the last event to fold before the swap.
        dry_run: Only count the events.
        wait: Wait until the new generation is the current one.
    """
    if cancelled:
        if name != "cancel":
            raise UsageError(f"{cancelled!r} is one name too many. Use `rebuild NAME` or `rebuild cancel NAME`.")
        cancel(cancelled, cli=cli)
        return
    asked = projections.Rebuild(
        name=name, partition=partition, from_event_id=from_event, to_event_id=to_event, dry_run=dry_run
    )
    job = cli.call(projections.rebuild, asked).job
    if wait:
        job = _rebuilt(cli, job)
    if dry_run:
        cli.show(job, lambda: f"{job.total_events} events would be read")
    else:
        status = "rebuilding" if job.status == "running" else job.status
        cli.show(job, lambda: f"{name} is {status}: {job.total_events} events")


@app.command
def cancel(name: Name, /, *, cli: Injected) -> None:
    """Cancel a rebuild and drop its generation; the projection continues at its cursor."""
    answer = cli.call(projections.cancel_rebuild, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def delete(name: Name, /, *, yes: Yes = False, cli: Injected) -> None:
    """Delete a projection with its states and its cursor. The events stay."""
    if not yes and not cli.confirm(f"Delete projection {name} with its states?"):
        raise UsageError(f"projection {name} is unchanged. Add --yes to delete it with its states.")
    answer = cli.call(projections.delete, projections.Named(name=name))
    cli.show(answer, lambda: f"deleted projection {name}")


@app.command
def wait(
    name: Name,
    /,
    *,
    seq: Annotated[int, Parameter(name=["--seq", "--min-seq"])] = 0,
    event: str = "",
    partition: Partition = "",
    timeout: str = "30s",
    stream: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> int:
    """Wait until a projection has caught up; exit code 75 when the timeout passes first.

    Args:
        seq: The log position to wait for; 0 for the current end of the log.
        event: Id of the event to wait for, instead of a position.
        timeout: Maximum wait, at most 60s.
        stream: Report the progress while waiting, on standard error.
    """
    if stream and not event:
        return waiting.wait_stream(cli, name, seq, partition, timeout)
    if seq and event:
        raise UsageError("--seq and --event exclude each other.")
    span = to_datetime(duration_ms(timeout)) - to_datetime(0)
    if event:
        asked = projections.WaitForEvent(event_id=event, projection=name, partition=partition, timeout=span)
        answer = cli.call(projections.wait_for_event, asked, timeout=span.total_seconds() + 10)
    else:
        asked_seq = projections.Wait(name=name, min_seq=seq, partition=partition, timeout=span)
        answer = cli.call(projections.wait, asked_seq, timeout=span.total_seconds() + 10)
    progress = "caught up with" if answer.caught_up else f"{answer.behind_by_events} events behind"
    cli.show(answer, lambda: f"{name} is {progress} {answer.target_seq}")
    return Exit.OK if answer.caught_up else Exit.TRY_AGAIN


app.command(waiting.wait_for_event)
app.command(waiting.wait_batch)
app.command(waiting.watch)
app.command(sql_projection.create_published, name="create")
app.command(refused(DURABLES, "durables"))


def _rebuilt(cli: Cli, job: RebuildJob) -> RebuildJob:
    """The rebuild at its end; another one that was begun since is waited for instead."""
    pause = threading.Event()
    with cli.waiting(f"rebuilding {job.projection_name}"):
        while job.status in projections.REBUILD_RUNS:
            pause.wait(_POLL_EVERY_S)
            job = cli.call(projections.rebuild_job, projections.Named(name=job.projection_name)).job
    return job


def _progress(job: RebuildJob) -> str:
    left = job.estimated_remaining
    remaining = "" if left is None else f", {duration_text(int(left.total_seconds() * 1000))} left"
    return f"{job.events_processed} of {job.total_events} events ({job.progress:.0%}){remaining}"
