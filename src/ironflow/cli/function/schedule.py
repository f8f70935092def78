"""`ironflow schedule`: schedules that start functions."""

from datetime import datetime
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import parse_datetime
from ironflow.cli.event.emit import Data, DataFile
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_data_option
from ironflow.cli.terminal.times import moment_text, read_moment, since_text
from ironflow.features.schedules import contract as schedules
from ironflow.features.schedules.contract import Schedule

app = App("schedule", help="Create, change, pause, trigger and backfill schedules of functions.")

Id = Annotated[str, Parameter(help="The schedule's id.")]
Overlap = Literal["all", "skip", "one", "cancel_running"]


@app.command
def create(
    schedule: Id,
    function: str,
    /,
    *,
    data: Data = None,
    data_file: DataFile = None,
    cron: str = "",
    tz: str = "",
    every: str = "",
    at: str = "",
    jitter: str = "",
    start: str = "",
    end: str = "",
    catch_up: str = "",
    overlap: Overlap = "all",
    description: str = "",
    paused: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Create a schedule with one of --cron, --every and --at.

    Args:
        function: The function whose runs it starts.
        cron: Cron expression of five or six fields, or a macro such as @daily.
        tz: Time zone of the cron expression, such as Europe/Berlin.
        every: Interval, such as 15m. It counts from --start, or from now.
        at: One moment, RFC 3339.
        jitter: Each tick comes up to this much later.
        start: No tick before this moment, RFC 3339.
        end: No tick after this moment, RFC 3339.
        catch_up: Missed ticks come later, each of them, up to this age. Without it, one comes for all.
        overlap: Action of a tick while an earlier run goes on.
        description: Text for people.
        paused: Create it paused.
    """
    times = _given(cron=cron, timezone=tz, every=every, at=at, jitter=jitter, start=start, end=end, catch_up=catch_up)
    request = schedules.CreateSchedule(
        id=schedule,
        function_id=function,
        input=read_data_option(data, data_file, cli.stdin),
        overlap=overlap,
        description=description,
        paused=paused,
        **times,
    )
    answer = cli.call(schedules.create, request)
    cli.show(answer, lambda: _details(cli, answer))


@app.command
def change(
    schedule: Id,
    /,
    *,
    expected_version: int = 0,
    function: str | None = None,
    data: Data = None,
    data_file: DataFile = None,
    cron: str = "",
    tz: str = "",
    every: str = "",
    at: str = "",
    jitter: str = "",
    start: str = "",
    end: str = "",
    catch_up: str = "",
    overlap: Overlap | None = None,
    description: str | None = None,
    clear: list[str] | None = None,
    cli: Injected,
) -> None:
    """Change fields of a schedule. Others stay as they are.

    Args:
        expected_version: Only if it is at this version.
        function: The function whose runs it starts.
        cron: Cron expression of five or six fields, or a macro such as @daily.
        tz: Time zone of the cron expression, such as Europe/Berlin.
        every: Interval, such as 15m.
        at: One moment, RFC 3339.
        jitter: Each tick comes up to this much later.
        start: No tick before this moment, RFC 3339.
        end: No tick after this moment, RFC 3339.
        catch_up: Missed ticks come later, each of them, up to this age.
        overlap: Action of a tick while an earlier run goes on.
        description: Text for people.
        clear: Field that becomes empty, such as ends_at. May be repeated.
    """
    times = _given(cron=cron, timezone=tz, every=every, at=at, jitter=jitter, start=start, end=end, catch_up=catch_up)
    request = schedules.ChangeSchedule(
        id=schedule,
        expected_version=expected_version,
        function_id=function,
        input=read_data_option(data, data_file, cli.stdin),
        overlap=overlap,
        description=description,
        clear=clear or [],
        **times,
    )
    answer = cli.call(schedules.change, request)
    cli.show(answer, lambda: _details(cli, answer))


@app.command(name="list")
def list_(
    *,
    function: str = "",
    status: Literal["", "active", "paused", "ended"] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List schedules by id.

    Args:
        function: Only those of this function.
        status: Only those of this status.
    """
    request = schedules.ListSchedules(function_id=function, status=status, limit=limit, cursor=cursor)
    answer = cli.call(schedules.list_, request)
    now = cli.clock.now()
    if not answer.schedules:
        cli.note("no schedules", "dim")
    if answer.schedules or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["STATUS", "SCHEDULE", "FUNCTION", "TIMES", "NEXT", "STARTED"],
                (
                    [
                        status_text(each.status),
                        each.id,
                        each.function_id,
                        _times(each),
                        since_text(each.next_at, now) if each.status == "active" else "",
                        str(each.started),
                    ]
                    for each in answer.schedules
                ),
                right=["STARTED"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def get(schedule: Id, /, *, cli: Injected) -> None:
    """Show a schedule, with what runs and what waits."""
    answer = cli.call(schedules.get, schedules.NamedSchedule(id=schedule))
    cli.show(answer, lambda: _details(cli, answer))


@app.command
def pause(schedule: Id, /, *, cli: Injected) -> None:
    """Pause a schedule. Ticks and backfills start no runs until it is resumed."""
    answer = cli.call(schedules.pause, schedules.NamedSchedule(id=schedule))
    cli.show(answer, lambda: f"paused {answer.id}")


@app.command
def resume(schedule: Id, /, *, cli: Injected) -> None:
    """Resume a paused schedule with the next tick from now."""
    answer = cli.call(schedules.resume, schedules.NamedSchedule(id=schedule))
    now = cli.clock.now()
    cli.show(answer, lambda: f"resumed {answer.id}, next run {since_text(answer.next_at, now) or 'never'}")


@app.command
def trigger(schedule: Id, /, *, cli: Injected) -> None:
    """Start a run of a schedule now, whatever runs, also while it is paused."""
    answer = cli.call(schedules.trigger, schedules.NamedSchedule(id=schedule))
    cli.show(answer, lambda: f"started {answer.run_id}")


@app.command
def backfill(schedule: Id, /, *, since: str, until: str, overlap: Literal["all", "one"] = "all", cli: Injected) -> None:
    """Start the runs of a past range's ticks. The server works through it by itself.

    Args:
        since: Ticks later than this: RFC 3339, or an age such as 7d.
        until: Ticks up to this: RFC 3339, or an age such as 1h.
        overlap: All at once, or one after another.
    """
    now = cli.clock.now()
    request = schedules.BackfillSchedule(
        id=schedule, since=read_moment(since, now), until=read_moment(until, now), overlap=overlap
    )
    answer = cli.call(schedules.backfill, request)
    cli.show(answer, lambda: f"backfill {answer.id}, first tick {moment_text(answer.next_at, now)}")


@app.command
def ticks(schedule: Id, /, *, since: str = "", until: str = "", limit: Limit = 20, cli: Injected) -> None:
    """List the times of a schedule, those to come unless a range is given.

    Args:
        since: Ticks later than this: RFC 3339, or an age such as 7d. Without it, later than now.
        until: Ticks up to this: RFC 3339, or an age such as 1h.
    """
    now = cli.clock.now()
    request = schedules.ListTicks(
        id=schedule,
        since=read_moment(since, now) if since else None,
        until=read_moment(until, now) if until else None,
        limit=limit,
    )
    answer = cli.call(schedules.list_ticks, request)
    if not answer.ticks:
        cli.note("no ticks", "dim")
    if answer.ticks or cli.json:
        cli.show(answer, lambda: "\n".join(moment_text(each, now) for each in answer.ticks))
    if answer.more:
        cli.note("there are later ones: raise --limit, or set --since", "dim")


@app.command
def delete(
    schedule: Id, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a schedule with its backfills. Its runs go on.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete the schedule {schedule}?"):
        raise UsageError(f"the schedule {schedule} is unchanged. Add --yes to delete it.")
    cli.send(schedules.delete, schedules.NamedSchedule(id=schedule))
    cli.show({"deleted": schedule}, lambda: f"deleted {schedule}")


def _given(**texts: str) -> dict[str, Any]:
    """The fields of a request that options name; those that are empty are left out."""
    spans = {"every": "every_ms", "jitter": "jitter_ms", "catch_up": "catch_up_ms"}
    moments = {"at": "at", "start": "starts_at", "end": "ends_at"}
    fields: dict[str, Any] = {}
    for name, text in texts.items():
        if not text:
            continue
        if name in spans:
            fields[spans[name]] = duration_ms(text)
        elif name in moments:
            fields[moments[name]] = _moment(text)
        else:
            fields[name] = text
    return fields


def _moment(text: str) -> datetime:
    try:
        return parse_datetime(text)
    except InvalidArgument:
        raise UsageError(f"{text!r} is no time such as 2026-01-31T12:00:00Z.") from None


def _times(schedule: Schedule) -> str:
    if schedule.cron:
        return f"{schedule.cron} {schedule.timezone}".strip()
    return f"every {duration_text(schedule.every_ms)}" if schedule.every_ms else f"at {schedule.at:%Y-%m-%d %H:%M}"


def _details(cli: Cli, schedule: Schedule) -> RenderableType:
    now = cli.clock.now()
    catch_up = schedule.catch_up_ms
    return facts(
        [
            ("schedule", schedule.id),
            ("status", status_text(schedule.status)),
            ("version", str(schedule.version)),
            ("function", schedule.function_id),
            ("times", _times(schedule)),
            ("overlap", schedule.overlap),
            ("jitter", duration_text(schedule.jitter_ms) if schedule.jitter_ms else ""),
            ("catch-up", duration_text(catch_up) if catch_up is not None else ""),
            ("starts", moment_text(schedule.starts_at, now)),
            ("ends", moment_text(schedule.ends_at, now)),
            ("next tick", moment_text(schedule.next_at, now)),
            ("last tick", moment_text(schedule.last_at, now)),
            ("last run", schedule.last_run_id),
            ("started", str(schedule.started)),
            ("skipped", str(schedule.skipped) if schedule.skipped else ""),
            ("missed", str(schedule.missed) if schedule.missed else ""),
            ("running", ", ".join(schedule.running)),
            ("waiting tick", moment_text(schedule.kept_at, now)),
            *(
                ("backfill", f"{each.id}, {each.started} started, next {moment_text(each.next_at, now)}")
                for each in schedule.backfills
            ),
            ("description", schedule.description),
        ]
    )
