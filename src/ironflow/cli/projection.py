"""`ironflow projection`: read models, where they stand, and what to do with them."""

from datetime import datetime
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.time import parse_time, to_datetime
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts, status_text, table
from ironflow.cli.pages import say_more
from ironflow.cli.times import since_text, time_text
from ironflow.features.projections import contract as projections
from ironflow.features.projections.contract import RebuildJob

app = App("projection", help="Look at projections, rebuild them, wait for them.")

Name = Annotated[str, Parameter(help="The projection's name.")]
Partition = Annotated[str, Parameter(help="One partition of a partitioned projection.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]


@app.command(name="list")
def list_(*, status: str = "", limit: int = 100, offset: int = 0, cli: Here) -> None:
    """List the projections by name, those of SQL after the others.

    Args:
        status: Only those that are active, rebuilding, paused or error.
        limit: How many at most.
        offset: How many to leave out at the beginning.
    """
    asked = projections.ListProjections(status=status, limit=limit, offset=offset)
    answer = cli.ask(projections.list_, asked)
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
        cli.say(f"There is more: --offset {offset + len(answer.projections)}", "dim")


@app.command
def get(name: Name, /, *, partition: Partition = "", as_of: str | None = None, cli: Here) -> None:
    """Show a projection's state as readers see it.

    Args:
        as_of: The state as it was at this time, such as 2026-01-31T12:00:00Z.
    """
    answer = cli.ask(
        projections.envelope, projections.GetProjection(name=name, partition=partition, as_of=_moment(as_of))
    )
    if cli.json:
        cli.show(answer, lambda: "")
        return
    if answer.state is None:
        cli.say("no state yet", "dim")
        return
    cli.write(msgspec.json.format(bytes(answer.state.state), indent=2) + b"\n")


@app.command
def partitions(name: Name, /, *, prefix: str = "", limit: int = 1000, cursor: str = "", cli: Here) -> None:
    """List the partitions that have a state.

    Args:
        prefix: What their keys begin with.
        limit: How many at most.
        cursor: Continue after an earlier answer.
    """
    asked = projections.ListPartitions(name=name, q=prefix, limit=limit, cursor=cursor)
    answer = cli.ask(projections.partitions, asked)
    cli.show(answer, lambda: "\n".join(answer.partitions)) if answer.partitions or cli.json else cli.say(
        "no partitions", "dim"
    )
    say_more(cli, answer.next_cursor)


@app.command
def status(name: Name, /, *, cli: Here) -> None:
    """Show where a projection stands: cursor, lag, error, rebuild."""
    answer = cli.ask(projections.status, projections.Named(name=name))
    job = None
    if answer.rebuild_started_at is not None:
        job = cli.ask(projections.rebuild_job, projections.Named(name=name)).job
    cli.show(
        answer,
        lambda: facts(
            [
                ("projection", answer.name),
                ("status", status_text(answer.status)),
                ("mode", answer.type if answer.type == "sql" else answer.mode),
                ("at", str(answer.last_event_seq)),
                ("lag", str(answer.lag)),
                ("error", answer.error_message),
                ("rebuild", _progress(job) if job else None),
                ("changed", time_text(answer.updated_at)),
            ]
        ),
    )


@app.command
def pause(name: Name, /, *, cli: Here) -> None:
    """Feed a projection no more events until it is resumed."""
    answer = cli.ask(projections.pause, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def resume(name: Name, /, *, cli: Here) -> None:
    """Feed a projection events again, and forget its error."""
    answer = cli.ask(projections.resume, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def rebuild(
    name: Name,
    /,
    *,
    partition: Partition = "",
    from_event: str = "",
    to_event: str = "",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    cli: Here,
) -> None:
    """Build a projection anew beside the version that readers see, which it replaces when it has caught up.

    Args:
        from_event: Id of the first event to fold; what was before it is left out.
        to_event: Id of the last event to fold before the new version is shown.
        dry_run: Only count the events.
    """
    asked = projections.Rebuild(
        name=name, partition=partition, from_event_id=from_event, to_event_id=to_event, dry_run=dry_run
    )
    job = cli.ask(projections.rebuild, asked).job
    if dry_run:
        cli.show(job, lambda: f"{job.total_events} events would be looked at")
    else:
        cli.show(job, lambda: f"{name} is {job.status}: {job.total_events} events")


@app.command
def cancel(name: Name, /, *, cli: Here) -> None:
    """Drop the version that a rebuild is building; the projection goes on from where it was."""
    answer = cli.ask(projections.cancel_rebuild, projections.Named(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def delete(name: Name, /, *, yes: Yes = False, cli: Here) -> None:
    """Forget a projection with its states and its cursor. The events stay."""
    if not yes and not cli.confirm(f"Delete projection {name} with its states?"):
        raise UsageError(f"projection {name} is left as it is. Add --yes to delete it with its states.")
    answer = cli.ask(projections.delete, projections.Named(name=name))
    cli.show(answer, lambda: f"deleted projection {name}")


@app.command
def wait(
    name: Name, /, *, seq: int = 0, event: str = "", partition: Partition = "", timeout: str = "30s", cli: Here
) -> int:
    """Wait until a projection has caught up; ends with exit code 75 when the time is over before.

    Args:
        seq: The position in the log to wait for; 0 for all that is there now.
        event: Id of the event to wait for, instead of a position.
        timeout: For how long, at most 60s.
    """
    if seq and event:
        raise UsageError("--seq and --event exclude each other: an event has its position.")
    span = to_datetime(duration_ms(timeout)) - to_datetime(0)
    if event:
        asked = projections.WaitForEvent(event_id=event, projection=name, partition=partition, timeout=span)
        answer = cli.ask(projections.wait_for_event, asked, timeout=span.total_seconds() + 10)
    else:
        asked_seq = projections.Wait(name=name, min_seq=seq, partition=partition, timeout=span)
        answer = cli.ask(projections.wait, asked_seq, timeout=span.total_seconds() + 10)
    said = "caught up with" if answer.caught_up else f"{answer.behind_by_events} events behind"
    cli.show(answer, lambda: f"{name} is {said} {answer.target_seq}")
    return Exit.OK if answer.caught_up else Exit.TRY_AGAIN


def _moment(text: str | None) -> datetime | None:
    return None if text is None else to_datetime(parse_time(text))


def _progress(job: RebuildJob) -> str:
    left = job.estimated_remaining
    remaining = "" if left is None else f", {duration_text(int(left.total_seconds() * 1000))} left"
    return f"{job.events_processed} of {job.total_events} events ({job.progress:.0%}){remaining}"
