"""`ironflow event`: recorded events."""

import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from ironflow.base.spelling import message_to_json
from ironflow.cli.event import lines as event_lines
from ironflow.cli.event import published, triggering
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.terminal.output import facts, json_line, table
from ironflow.cli.terminal.times import moment_text, read_moment, since_text, time_text
from ironflow.features.event_triggers import contract as event_triggers
from ironflow.features.events import contract as events
from ironflow.features.events.contract import Event
from ironflow.features.redaction import contract as redaction

app = App("event", help="List, follow, export, import and redact recorded events.")
app.command(published.schema)
app.command(published.upcast)

Since = Annotated[str, Parameter(help="Only events since: RFC 3339, or an age such as 2h.")]
Until = Annotated[str, Parameter(help="Only events until: RFC 3339, or an age such as 30m.")]
Source = Annotated[str, Parameter(help="Only events from this source.")]
_DATA_SHOWN_MAX = 70


@app.command(name="list")
def list_(
    *,
    name: list[str] | None = None,
    source: Source = "",
    search: str = "",
    since: Since = "",
    until: Until = "",
    limit: int = 20,
    cursor: str = "",
    cli: Injected,
) -> None:
    """List events, newest first.

    Args:
        name: Only events of this name; * matches one segment, > the rest. May be repeated.
        search: Only events with this text in their data.
        limit: Maximum number of events, 1 to 1000.
        cursor: Cursor of the next page, with older events.
    """
    now = cli.clock.now()
    request = _request(cli, name, source, search, since, until, limit=limit, cursor=cursor)
    with cli.waiting("searching events"):
        answer = _first_found(cli, request)
    if not answer.events:
        cli.note("no events", "dim")
    if answer.events or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["EVENT", "NAME", "WHEN", "SOURCE", "DATA"],
                (
                    [
                        each.id,
                        each.name,
                        since_text(each.timestamp, now),
                        each.source,
                        json_line(each.data, _DATA_SHOWN_MAX),
                    ]
                    for each in answer.events
                ),
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def get(event: str, /, *, cli: Injected) -> None:
    """Show one event with all its fields.

    Args:
        event: The event's id, such as evt_06DGK3….
    """
    found = cli.call(events.get, events.GetEvent(id=event))
    cli.show(
        found,
        lambda: facts(
            [
                ("event", found.id),
                ("name", found.name),
                ("version", str(found.version)),
                ("time", moment_text(found.timestamp, cli.clock.now())),
                ("position", str(found.position)),
                ("source", found.source),
                ("namespace", found.namespace),
                ("idempotency key", found.idempotency_key),
                ("emitted by", found.emitted_by),
                ("emitted in run", found.run_id),
                (
                    "entity",
                    f"{found.entity_type} {found.entity_id} version {found.entity_version}"
                    if found.entity_id
                    else None,
                ),
                ("imported", moment_text(found.imported_at, cli.clock.now())),
                ("started runs", " ".join(found.run_ids)),
                ("metadata", json_line(found.metadata)),
                ("data", json_line(found.data)),
            ]
        ),
    )


@app.command
def names(*, source: Source = "", since: Since = "", until: Until = "", cli: Injected) -> None:
    """List the names of recent events with the number of events of each."""
    now = cli.clock.now()
    answer = cli.call(
        events.names,
        events.ListEventNames(
            source=source,
            since=read_moment(since, now) if since else None,
            until=read_moment(until, now) if until else None,
        ),
    )
    if not answer.names:
        cli.note("no events", "dim")
    if answer.names or cli.json:
        cli.show(
            answer,
            lambda: table(["NAME", "COUNT"], ([each.name, str(each.count)] for each in answer.names), right=["COUNT"]),
        )
    if answer.truncated:
        cli.note(f"Count of the newest {answer.scanned} events.", "dim")


@app.command
def tail(
    *,
    name: list[str] | None = None,
    source: Source = "",
    search: str = "",
    since: Since = "",
    every: Annotated[float, Parameter(help="Seconds between two requests.")] = 0.5,
    cli: Injected,
) -> None:
    """Show new events as they are recorded, oldest first, until interrupted. With --json, one line for each.

    Args:
        name: Only events of this name; * matches one segment, > the rest. May be repeated.
        search: Only events with this text in their data.
    """
    if every <= 0:
        raise UsageError(f"--every is {every}; it must be greater than 0.")
    request = _request(cli, name, source, search, since, "", limit=event_lines.PAGE)
    request = msgspec.structs.replace(request, before="0" if since else _newest(cli))
    while True:
        for page, position in event_lines.pages_forward(cli, request):
            for event in page:
                _show_line(cli, event)
            request = msgspec.structs.replace(request, before=position)
        time.sleep(every)


@app.command
def export(
    file: str | None = None,
    /,
    *,
    name: list[str] | None = None,
    source: Source = "",
    search: str = "",
    since: Since = "",
    until: Until = "",
    after: Annotated[int, Parameter(help="Only events after this position of the log.")] = 0,
    resume: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Write events as JSON lines, oldest first.

    Args:
        file: Target file. Default: standard output.
        name: Only events of this name; * matches one segment, > the rest. May be repeated.
        search: Only events with this text in their data.
        resume: Continue after the last complete line of the file.
    """
    if resume and file is None:
        raise UsageError("--resume needs a file. On standard output, continue with --after POSITION.")
    request = _request(cli, name, source, search, since, until, limit=event_lines.PAGE)
    event_lines.export(cli, msgspec.structs.replace(request, before=str(max(after, 0))), file, resume)


@app.command(name="import")
def import_(
    file: str | None = None,
    /,
    *,
    trigger: Annotated[bool, Parameter(negative="")] = False,
    batch: Annotated[int, Parameter(help="Events in one transaction, 1 to 1000.")] = 500,
    cli: Injected,
) -> None:
    """Import events from JSON lines, as export writes them. Events with known ids are skipped.

    Args:
        file: Source file. Default: standard input.
        trigger: Start runs and end waits, as if emitted now; otherwise events are only recorded.
    """
    if not 1 <= batch <= 1000:
        raise UsageError(f"--batch is {batch}; it must be 1 to 1000.")
    try:
        if file is None:
            tally = event_lines.import_lines(cli, cli.stdin, trigger, batch)
        else:
            with Path(file).open("rb") as source:
                tally = event_lines.import_lines(cli, source, trigger, batch)
    except OSError as fault:
        raise UsageError(f"cannot read {file!r}: {(fault.strerror or str(fault)).lower()}.") from None
    runs = f", {tally.runs} runs started" if trigger else ""
    cli.show(
        {"lines": tally.lines, "imported": tally.imported, "known": tally.known, "runs": tally.runs},
        lambda: f"imported {tally.imported}, known before {tally.known}{runs}",
    )


@app.command
def trigger(
    *,
    function: str,
    name: list[str] | None = None,
    since: Since = "",
    until: Until = "",
    failed: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    limit: Annotated[int, Parameter(help="Start at most this many runs; 0 for all.")] = 0,
    in_flight: Annotated[int, Parameter(help="Unended runs at a time, 1 to 10000.")] = 100,
    cursor: str = "",
    cli: Injected,
) -> None:
    """Give recorded events to a function that did not exist, or was broken, when they came: each once.

    Nothing else notices the events. An interrupted command is run again: events that the function has had are skipped.

    Args:
        function: The function that is given the events; its triggers must match them.
        name: Only events of this name; * matches one segment, > the rest. May be repeated.
        failed: Also events whose runs of the function have all failed or were cancelled.
        dry_run: Only count the events.
        cursor: Continue at the cursor that an earlier command with --limit showed.
    """
    now = cli.clock.now()
    request = event_triggers.TriggerRecorded(
        function_id=function,
        names=name or [],
        since=read_moment(since, now) if since else None,
        until=read_moment(until, now) if until else None,
        failed=failed,
        dry_run=dry_run,
        in_flight=in_flight,
        cursor=cursor,
    )
    triggering.run(cli, request, max(limit, 0))


@app.command
def redact(
    event: str,
    /,
    *,
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Replace the data of an event with a marker, also in steps that waited for it. This cannot be undone.

    Args:
        event: The event's id.
        reason: The reason, stored for ever; write no personal data in it.
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Redact the data of event {event} for ever?"):
        raise UsageError(f"event {event} is unchanged. Add --yes to redact it for ever.")
    answer = cli.call(redaction.redact_event, redaction.RedactEvent(id=event, reason=reason))
    cli.show(answer, lambda: f"redacted {event}, {answer.payloads} payloads")


@app.command
def redactions(*, target: str = "", limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List redactions with actor and reason, newest first.

    Args:
        target: Only redactions of this event, step or run.
        limit: Maximum number of redactions, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(redaction.list_, redaction.ListRedactions(target_id=target, limit=limit, cursor=cursor))
    if not answer.redactions:
        cli.note("no redactions", "dim")
    if answer.redactions or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["WHEN", "WHAT", "ID", "PAYLOADS", "BY", "REASON"],
                (
                    [time_text(each.at), each.target, each.target_id, str(each.payloads), each.actor, each.reason]
                    for each in answer.redactions
                ),
                right=["PAYLOADS"],
            ),
        )
    note_more(cli, answer.next_cursor)


def _request(
    cli: Cli,
    name: list[str] | None,
    source: str,
    search: str,
    since: str,
    until: str,
    *,
    limit: int,
    cursor: str = "",
) -> events.ListEvents:
    now = cli.clock.now()
    return events.ListEvents(
        names=name or [],
        source=source,
        search=search,
        since=read_moment(since, now) if since else None,
        until=read_moment(until, now) if until else None,
        limit=limit,
        cursor=cursor,
    )


def _first_found(cli: Cli, request: events.ListEvents) -> events.Events:
    """The first page with events. The server scans a bounded part of the log per request, so a page may be empty."""
    answer = cli.call(events.list_, request)
    while not answer.events and answer.next_cursor:
        answer = cli.call(events.list_, msgspec.structs.replace(request, cursor=answer.next_cursor))
    return answer


def _newest(cli: Cli) -> str:
    """The position of the newest event, as text; "0" for an empty log."""
    answer = _first_found(cli, events.ListEvents(limit=1))
    return str(answer.events[0].position) if answer.events else "0"


def _show_line(cli: Cli, event: Event) -> None:
    if cli.json:
        cli.write(message_to_json(event) + b"\n")
        return
    line = Text.assemble((time_text(event.timestamp), "dim"), "  ", (event.name, "bold"), "  ", (event.id, "dim"), "  ")
    cli.out.print(line.append(json_line(event.data, _DATA_SHOWN_MAX)))
    sys.stdout.flush()
