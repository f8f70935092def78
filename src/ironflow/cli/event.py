"""`ironflow event`: the events that were recorded."""

import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from ironflow.base.spelling import message_to_json
from ironflow.cli import event_lines
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, json_line, table
from ironflow.cli.pages import say_more
from ironflow.cli.times import moment_text, read_moment, since_text, time_text
from ironflow.features.events import contract as events
from ironflow.features.events.contract import Event
from ironflow.features.redaction import contract as redaction

app = App("event", help="Look at recorded events, follow them, move them, redact them.")

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
    cli: Here,
) -> None:
    """List events, newest first.

    Args:
        name: Only events of this name; * stands for one word between dots, > for the rest. May be repeated.
        search: Only events with this text in their data.
        limit: How many at most, 1 to 1000.
        cursor: Continue with older events after an earlier answer.
    """
    now = cli.clock.now()
    request = _request(cli, name, source, search, since, until, limit=limit, cursor=cursor)
    with cli.waiting("looking for events"):
        answer = _first_found(cli, request)
    if not answer.events:
        cli.say("no events", "dim")
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
    say_more(cli, answer.next_cursor)


@app.command
def get(event: str, /, *, cli: Here) -> None:
    """Show one event whole.

    Args:
        event: The event's id, such as evt_06DGK3….
    """
    found = cli.ask(events.get, events.GetEvent(id=event))
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
def names(*, source: Source = "", since: Since = "", until: Until = "", cli: Here) -> None:
    """List the names of recent events with how often each was seen."""
    now = cli.clock.now()
    answer = cli.ask(
        events.names,
        events.ListEventNames(
            source=source,
            since=read_moment(since, now) if since else None,
            until=read_moment(until, now) if until else None,
        ),
    )
    if not answer.names:
        cli.say("no events", "dim")
    if answer.names or cli.json:
        cli.show(
            answer,
            lambda: table(["NAME", "COUNT"], ([each.name, str(each.count)] for each in answer.names), right=["COUNT"]),
        )
    if answer.truncated:
        cli.say(f"Counted among the newest {answer.scanned} events.", "dim")


@app.command
def tail(
    *,
    name: list[str] | None = None,
    source: Source = "",
    search: str = "",
    since: Since = "",
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = 0.5,
    cli: Here,
) -> None:
    """Follow events as they are recorded, oldest first, until interrupted. With --json one line for each.

    Args:
        name: Only events of this name; * stands for one word between dots, > for the rest. May be repeated.
        search: Only events with this text in their data.
    """
    if every <= 0:
        raise UsageError(f"--every is {every}; it is more than nothing.")
    request = _request(cli, name, source, search, since, "", limit=event_lines.PAGE)
    request = msgspec.structs.replace(request, before="0" if since else _newest(cli))
    while True:
        for page, place in event_lines.pages_forward(cli, request):
            for event in page:
                _tell(cli, event)
            request = msgspec.structs.replace(request, before=place)
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
    cli: Here,
) -> None:
    """Write events as JSON lines, oldest first.

    Args:
        file: Where to; standard output when it is left out.
        name: Only events of this name; * stands for one word between dots, > for the rest. May be repeated.
        search: Only events with this text in their data.
        resume: Go on after the last whole line of the file.
    """
    if resume and file is None:
        raise UsageError("--resume needs a file. On standard output, go on with --after POSITION.")
    request = _request(cli, name, source, search, since, until, limit=event_lines.PAGE)
    event_lines.export(cli, msgspec.structs.replace(request, before=str(max(after, 0))), file, resume)


@app.command(name="import")
def import_(
    file: str | None = None,
    /,
    *,
    trigger: Annotated[bool, Parameter(negative="")] = False,
    batch: Annotated[int, Parameter(help="Events in one transaction, 1 to 1000.")] = 500,
    cli: Here,
) -> None:
    """Add events from JSON lines, as export writes them. Those whose ids are there are passed over.

    Args:
        file: Where from; standard input when it is left out.
        trigger: The events start runs and end waits, as if emitted now; otherwise they are only recorded.
    """
    if not 1 <= batch <= 1000:
        raise UsageError(f"--batch is {batch}; it is 1 to 1000.")
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
def redact(
    event: str,
    /,
    *,
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Here,
) -> None:
    """Replace the data of an event by a marker, also in steps that waited for it. There is no way back.

    Args:
        event: The event's id.
        reason: Why; it is kept for ever, so write nothing in it that is to be forgotten.
        yes: Do not ask.
    """
    if not yes and not cli.confirm(f"Redact the data of event {event} for ever?"):
        raise UsageError(f"event {event} is left as it is. Add --yes to redact it for ever.")
    answer = cli.ask(redaction.redact_event, redaction.RedactEvent(id=event, reason=reason))
    cli.show(answer, lambda: f"redacted {event}, {answer.payloads} payloads")


@app.command
def redactions(*, target: str = "", limit: int = 100, cursor: str = "", cli: Here) -> None:
    """List what was redacted, by whom and why, newest first.

    Args:
        target: Only of this event, step or run.
        limit: How many at most, 1 to 1000.
        cursor: Continue after an earlier answer.
    """
    answer = cli.ask(redaction.list_, redaction.ListRedactions(target_id=target, limit=limit, cursor=cursor))
    if not answer.redactions:
        cli.say("no redactions", "dim")
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
    say_more(cli, answer.next_cursor)


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
    """The first page that holds something: the server looks at a bounded piece of the log each time."""
    answer = cli.ask(events.list_, request)
    while not answer.events and answer.next_cursor:
        answer = cli.ask(events.list_, msgspec.structs.replace(request, cursor=answer.next_cursor))
    return answer


def _newest(cli: Cli) -> str:
    """The place from which on events are new."""
    answer = _first_found(cli, events.ListEvents(limit=1))
    return str(answer.events[0].position) if answer.events else "0"


def _tell(cli: Cli, event: Event) -> None:
    if cli.json:
        cli.write(message_to_json(event) + b"\n")
        return
    line = Text.assemble((time_text(event.timestamp), "dim"), "  ", (event.name, "bold"), "  ", (event.id, "dim"), "  ")
    cli.out.print(line.append(json_line(event.data, _DATA_SHOWN_MAX)))
    sys.stdout.flush()
