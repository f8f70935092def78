"""`ironflow stream`: entities' streams of events."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.json import NULL
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, json_line, status_text, table
from ironflow.cli.pages import Cursor, Limit, say_more
from ironflow.cli.payload import read_data
from ironflow.cli.times import moment_text, since_text, span_text
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import HistoryEntry

app = App("stream", help="Append to entities' streams and look at them.")
snapshot = App("snapshot", help="Keep and get what an entity was after a version.")
app.command(snapshot)

Entity = Annotated[str, Parameter(help="The entity's id, such as order-7.")]
Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]
Type = Annotated[str, Parameter(name="--type")]
From = Annotated[int, Parameter(help="The version to begin at; 0 for the oldest, or the newest with --backward.")]
Backward = Annotated[bool, Parameter(help="Newest first.", negative="")]
_DATA_SHOWN_MAX = 70


@app.command
def append(
    entity: Entity,
    name: str,
    /,
    *,
    type: Type = "",
    data: Data = None,
    expect: Annotated[int, Parameter(allow_leading_hyphen=True)] = -1,
    idempotency_key: str = "",
    version: int = 1,
    metadata: str | None = None,
    cli: Here,
) -> None:
    """Append an event to an entity's stream; functions whose trigger matches start runs.

    Args:
        name: The event's name, such as order.placed.
        type: The entity's type, such as order; needed for its first event only.
        expect: Append only if the stream is at this version: 0 for a new stream, -1 for any.
        idempotency_key: The same key on this stream within 7 days answers the first append again.
        version: Version of the data's shape.
        metadata: A JSON object to keep with the event, or @FILE.
    """
    request = streams.AppendEvent(
        entity_id=entity,
        entity_type=type,
        event_name=name,
        data=NULL if data is None else read_data(data, cli.stdin),
        expected_version=expect,
        idempotency_key=idempotency_key,
        version=version,
        metadata=None if metadata is None else read_data(metadata, cli.stdin),
    )
    answer = cli.ask(streams.append, request)
    cli.show(
        answer,
        lambda: facts(
            [
                ("version", str(answer.entity_version)),
                ("event", answer.event_id),
                ("runs", ", ".join(answer.run_ids)),
            ]
        ),
    )


@app.command
def read(
    entity: Entity, /, *, from_version: From = 0, backward: Backward = False, limit: Limit = 100, cli: Here
) -> None:
    """Show an entity's events, oldest first."""
    request = streams.ReadStream(
        entity_id=entity, from_version=from_version, limit=limit, direction=_direction(backward)
    )
    answer = cli.ask(streams.read, request)
    now = cli.clock.now()
    _show_rows(
        cli,
        answer,
        ["VERSION", "EVENT", "WHEN", "SOURCE", "DATA"],
        [
            [
                str(each.entity_version),
                each.name,
                since_text(each.timestamp, now),
                each.source,
                json_line(each.data, _DATA_SHOWN_MAX),
            ]
            for each in answer.events
        ],
        "no events",
    )
    say_more(cli, answer.next_version, "--from-version")


@app.command
def info(entity: Entity, /, *, cli: Here) -> None:
    """Show the type, version and size of an entity's stream."""
    found = cli.ask(streams.info, streams.GetStreamInfo(entity_id=entity))
    now = cli.clock.now()
    cli.show(
        found,
        lambda: facts(
            [
                ("entity", found.entity_id),
                ("type", found.entity_type),
                ("version", str(found.version)),
                ("events", str(found.event_count)),
                ("created", moment_text(found.created_at, now)),
                ("last event", moment_text(found.updated_at, now)),
            ]
        ),
    )


@app.command(name="list")
def list_(
    *,
    type: Type = "",
    search: str = "",
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Here,
) -> None:
    """List the streams by entity id.

    Args:
        type: Only entities of this type.
        search: Only entities with this text in their id.
    """
    request = streams.ListStreams(entity_type=type, search=search, limit=limit, cursor=cursor)
    answer = cli.ask(streams.list_, request)
    now = cli.clock.now()
    _show_rows(
        cli,
        answer,
        ["ENTITY", "TYPE", "VERSION", "EVENTS", "LAST EVENT"],
        [
            [
                each.entity_id,
                each.entity_type,
                str(each.version),
                str(each.event_count),
                since_text(each.updated_at, now),
            ]
            for each in answer.streams
        ],
        "no streams",
    )
    say_more(cli, answer.next_cursor)


@app.command
def history(
    entity: Entity, /, *, from_version: From = 0, backward: Backward = False, limit: Limit = 50, cli: Here
) -> None:
    """Show an entity's events with the runs that each of them started."""
    request = streams.GetEntityHistory(
        entity_id=entity, from_version=from_version, limit=limit, direction=_direction(backward)
    )
    answer = cli.ask(streams.history, request)
    now = cli.clock.now()
    headings = ["VERSION", "EVENT", "WHEN", "FUNCTION", "STATUS", "TOOK", "RUN"]
    rows = [row for entry in answer.entries for row in _history_rows(entry, now)]
    _show_rows(cli, answer, headings, rows, "no events")
    say_more(cli, answer.next_cursor, "--from-version")


@snapshot.command
def create(
    entity: Entity,
    version: int,
    state: Annotated[str, Parameter(help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True)],
    /,
    *,
    cli: Here,
) -> None:
    """Keep what an entity is after a version.

    Args:
        version: The version of the stream that the state is of.
    """
    request = streams.CreateSnapshot(entity_id=entity, entity_version=version, state=read_data(state, cli.stdin))
    answer = cli.ask(streams.create_snapshot, request)
    cli.show(answer, lambda: facts([("snapshot", answer.snapshot_id)]))


@snapshot.command
def get(entity: Entity, /, *, before_version: int = 0, cli: Here) -> None:
    """Show the newest snapshot of an entity.

    Args:
        before_version: The newest at or below this version; 0 for the newest of all.
    """
    found = cli.ask(streams.get_snapshot, streams.GetSnapshot(entity_id=entity, before_version=before_version))
    cli.show(
        found,
        lambda: facts(
            [
                ("snapshot", found.snapshot_id),
                ("entity", found.entity_id),
                ("type", found.entity_type),
                ("version", str(found.entity_version)),
                ("created", moment_text(found.created_at, cli.clock.now())),
                ("state", json_line(found.state)),
            ]
        ),
    )


def _direction(backward: bool) -> str:
    return "backward" if backward else "forward"


def _history_rows(entry: HistoryEntry, now: int) -> Iterator[Sequence[RenderableType | None]]:
    """One row for each run; the event is said in the first."""
    event = [str(entry.entity_version), entry.event_name, since_text(entry.timestamp, now)]
    if not entry.runs:
        yield [*event, None, None, None, None]
    for run in entry.runs:
        yield [*event, run.function_id, status_text(run.status), span_text(run.duration_ms), run.run_id]
        event = ["", "", ""]


def _show_rows(
    cli: Cli,
    answer: streams.StreamEvents | streams.Streams | streams.EntityHistory,
    headings: Sequence[str],
    rows: Sequence[Sequence[RenderableType | None]],
    nothing: str,
) -> None:
    if not rows:
        cli.say(nothing, "dim")
    if rows or cli.json:
        cli.show(answer, lambda: table(headings, rows, right=["VERSION", "EVENTS", "TOOK"]))
