"""`ironflow stream`: event streams of entities."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.errors import IronflowError
from ironflow.base.json import NULL
from ironflow.base.spelling import reader
from ironflow.cli.event.emit import DataFile
from ironflow.cli.event.subscribe import follow
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, json_line, status_text, table
from ironflow.cli.terminal.payload import read_bytes, read_data, read_data_option, read_metadata
from ironflow.cli.terminal.times import moment_text, since_text, span_text
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import HistoryEntry

app = App("stream", help="Append to entity streams and read them.")
snapshot = App("snapshot", help="Store and read the state of an entity at a version.")
app.command(snapshot)

Entity = Annotated[str, Parameter(help="The entity's id, such as order-7.")]
Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]
Type = Annotated[str, Parameter(name="--type")]
From = Annotated[int, Parameter(help="First version; 0 for the oldest, or the newest with --backward.")]
Backward = Annotated[bool, Parameter(help="Newest first.", negative="")]
_DATA_SHOWN_MAX = 70


@app.command
def append(
    entity: Entity = "",
    name: str = "",
    /,
    *,
    type: Type = "",
    event: str = "",
    data: Data = None,
    data_file: DataFile = None,
    file: str = "",
    expect: Annotated[int, Parameter(name=["--expect", "--expected-version"], allow_leading_hyphen=True)] = -1,
    idempotency_key: str = "",
    version: int = 1,
    metadata: list[str] | None = None,
    cli: Injected,
) -> None:
    """Append an event to an entity's stream; functions whose trigger matches start runs.

    With --file, append the events of a file to their streams in one commit, all or none. A line is a JSON object:
    {"entity_id": "order-7", "name": "order.paid", "data": {}, "expected_version": 3}; entity_type, version and
    metadata are optional.

    Args:
        name: The event's name, such as order.placed.
        event: The event's name, instead of the argument.
        file: Append the events of this file instead, one JSON object per line; - for standard input.
        type: The entity's type, such as order; required for its first event.
        expect: Append only if the stream is at this version: 0 for a new stream, -1 for any.
        idempotency_key: A repeated key on this stream within 7 days returns the first response.
        version: Schema version of the data.
        metadata: NAME=VALUE stored with the event, may be repeated; or a JSON object, or @FILE.
    """
    if file:
        if any((entity, event, type, metadata)) or (data, data_file, expect, version) != (None, None, -1, 1):
            raise UsageError("--file is given alone, or with --idempotency-key: its lines name entities and events.")
        _append_file(cli, file, idempotency_key)
        return
    if not entity:
        raise UsageError("give the entity and the event's name, or --file.")
    if bool(name) == bool(event):
        raise UsageError("give the event's name once: as the second argument, or as --event.")
    request = streams.AppendEvent(
        entity_id=entity,
        entity_type=type,
        event_name=name or event,
        data=read_data_option(data, data_file, cli.stdin) or NULL,
        expected_version=expect,
        idempotency_key=idempotency_key,
        version=version,
        metadata=read_metadata(metadata, cli.stdin),
    )
    answer = cli.call(streams.append, request)
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


def _append_file(cli: Cli, file: str, idempotency_key: str) -> None:
    text = read_bytes("-" if file == "-" else f"@{file}", cli.stdin)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise UsageError(f"there are no events in {file}.")
    appends = [_line_append(number, line) for number, line in lines]
    request = streams.AppendMany(appends=appends, idempotency_key=idempotency_key)
    try:
        answer = cli.call(streams.append_many, request)
    except IronflowError as refusal:
        if (index := refusal.details.get("index")) is not None:
            cli.note(f"line {lines[index][0]} of {file} is refused; no event was appended.")
        raise
    cli.show(
        answer,
        lambda: table(
            ["ENTITY", "VERSION", "EVENT", "RUNS"],
            [
                [append.entity_id, str(each.entity_version), each.event_id, ", ".join(each.run_ids)]
                for append, each in zip(appends, answer.appended, strict=True)
            ],
            right=["VERSION"],
        ),
    )


def _line_append(number: int, line: bytes) -> streams.StreamAppend:
    try:
        return reader(streams.StreamAppend).read(line)
    except IronflowError as fault:
        raise UsageError(f"line {number} is no event to append: {fault.message}") from None


@app.command
def read(
    entity: Entity,
    /,
    *,
    from_version: From = 0,
    backward: Backward = False,
    direction: Literal["forward", "backward"] = "forward",
    limit: Limit = 100,
    cli: Injected,
) -> None:
    """Show an entity's events, oldest first.

    Args:
        direction: backward is the same as --backward.
    """
    request = streams.ReadStream(
        entity_id=entity,
        from_version=from_version,
        limit=limit,
        direction="backward" if backward else direction,
    )
    answer = cli.call(streams.read, request)
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
    note_more(cli, answer.next_version, "--from-version")


@app.command
def info(entity: Entity, /, *, cli: Injected) -> None:
    """Show the type, version and size of an entity's stream."""
    found = cli.call(streams.info, streams.GetStreamInfo(entity_id=entity))
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
                ("deleted", moment_text(found.deleted_at, now) if found.deleted_at else ""),
            ]
        ),
    )


@app.command(name="list")
def list_(
    *,
    type: Type = "",
    search: str = "",
    deleted: Annotated[bool, Parameter(negative="")] = False,
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List the streams by entity id.

    Args:
        type: Only entities of this type.
        search: Only entities with this text in their id.
        deleted: Also streams that were deleted.
    """
    request = streams.ListStreams(entity_type=type, search=search, deleted=deleted, limit=limit, cursor=cursor)
    answer = cli.call(streams.list_, request)
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
    note_more(cli, answer.next_cursor)


@app.command
def history(
    entity: Entity, /, *, from_version: From = 0, backward: Backward = False, limit: Limit = 50, cli: Injected
) -> None:
    """Show an entity's events with the runs that each one started."""
    request = streams.GetEntityHistory(
        entity_id=entity, from_version=from_version, limit=limit, direction=_direction(backward)
    )
    answer = cli.call(streams.history, request)
    now = cli.clock.now()
    headings = ["VERSION", "EVENT", "WHEN", "FUNCTION", "STATUS", "TOOK", "RUN"]
    rows = [row for entry in answer.entries for row in _history_rows(entry, now)]
    _show_rows(cli, answer, headings, rows, "no events")
    note_more(cli, answer.next_cursor, "--from-version")


@snapshot.command
def create(
    entity: Entity,
    version: int,
    state: Annotated[str, Parameter(help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True)],
    /,
    *,
    cli: Injected,
) -> None:
    """Store the state of an entity at a version.

    Args:
        version: The stream version of the state.
    """
    request = streams.CreateSnapshot(entity_id=entity, entity_version=version, state=read_data(state, cli.stdin))
    answer = cli.call(streams.create_snapshot, request)
    cli.show(answer, lambda: facts([("snapshot", answer.snapshot_id)]))


@snapshot.command
def get(entity: Entity, /, *, before_version: int = 0, cli: Injected) -> None:
    """Show the newest snapshot of an entity.

    Args:
        before_version: The newest at or below this version; 0 for the newest.
    """
    found = cli.call(streams.get_snapshot, streams.GetSnapshot(entity_id=entity, before_version=before_version))
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


@app.command
def subscribe(
    entity: Entity,
    /,
    *,
    replay: Annotated[int, Parameter(alias="-n")] = 0,
    metadata: Annotated[bool, Parameter(negative="")] = False,
    count: Annotated[int, Parameter(alias="-c")] = 0,
    cli: Injected,
) -> None:
    """Show an entity's events as they are appended, until Ctrl-C.

    Args:
        replay: Show the last n events first, at most 1000.
        metadata: Show metadata too.
        count: End after this many events; 0 for never.
    """
    follow(cli, [f"entity:*.{entity}.>"], replay=replay, metadata=metadata, count=count)


@app.command
def delete(
    entity: Entity,
    /,
    *,
    purge: Annotated[bool, Parameter(negative="")] = False,
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """End an entity's stream: nothing is appended to it any more, and its snapshots are removed. There is no way back.

    Args:
        purge: Remove its events as well.
        reason: The reason, stored in the last event of the stream.
        yes: Do not ask for confirmation.
    """
    what = f"the stream of {entity}{' with its events' if purge else ''}"
    if not yes and not cli.confirm(f"Delete {what} for ever?"):
        raise UsageError(f"{what} is unchanged. Add --yes to delete it for ever.")
    answer = cli.call(streams.delete, streams.DeleteStream(entity_id=entity, purge=purge, reason=reason))
    removed = f", {answer.purged} events removed" if purge else ""
    cli.show(answer, lambda: f"deleted {entity} at version {answer.entity_version}{removed}")
    if answer.kept:
        cli.note(f"{answer.kept} events are needed by runs or readers of the log; delete again to remove them later.")


def _direction(backward: bool) -> str:
    return "backward" if backward else "forward"


def _history_rows(entry: HistoryEntry, now: int) -> Iterator[Sequence[RenderableType | None]]:
    """One row for each run; only the first names the event."""
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
        cli.note(nothing, "dim")
    if rows or cli.json:
        cli.show(answer, lambda: table(headings, rows, right=["VERSION", "EVENTS", "TOOK"]))
