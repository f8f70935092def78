"""`ironflow event`: the events that were recorded."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.invocation import Here
from ironflow.cli.output import facts, json_line, table
from ironflow.cli.times import moment_text, read_moment, since_text
from ironflow.features.events import contract as events

app = App("event", help="Look at recorded events.")

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
    answer = cli.ask(
        events.list_,
        events.ListEvents(
            names=name or [],
            source=source,
            search=search,
            since=read_moment(since, now) if since else None,
            until=read_moment(until, now) if until else None,
            limit=limit,
            cursor=cursor,
        ),
    )
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
    if answer.next_cursor:
        cli.say(f"There is more: --cursor {answer.next_cursor}", "dim")


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
                ("run", found.run_id),
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
