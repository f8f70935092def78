"""`ironflow schema`: schemas of event data, by event name and version."""

from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ironflow.base.errors import ValidationError
from ironflow.base.json import Json
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_data
from ironflow.cli.terminal.times import moment_text, since_text
from ironflow.cli.worker.load import load_events
from ironflow.features.schemas import contract as schemas
from ironflow.features.schemas.contract import SchemaNotFound
from ironflow.sdk.values.definitions import EventDefinition

app = App("schema", help="List and register event schemas.")

Event = Annotated[str, Parameter(help="The event's name, such as order.placed.")]
Version = Annotated[int, Parameter(name="--version", help="The version; 0 for the latest.")]


@app.command(name="list")
def list_(*, name: str = "", limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List schemas by event name and version.

    Args:
        name: Only schemas of this event; * matches one segment, > the rest.
        limit: Maximum number of schemas, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(schemas.list_, schemas.ListSchemas(event_name=name, limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.schemas:
        cli.note("no schemas. Register those of your code: ironflow schema push app.py", "dim")
    if answer.schemas or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["EVENT", "VERSION", "UPDATED", "DESCRIPTION"],
                (
                    [each.event_name, str(each.version), since_text(each.updated_at, now), each.description]
                    for each in answer.schemas
                ),
                right=["VERSION"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def get(event: Event, /, *, version: Version = 0, cli: Injected) -> None:
    """Show the schema of an event."""
    found = cli.client.call(schemas.get, schemas.GetSchema(event_name=event, version=version), prefer="rpc")
    pretty = msgspec.json.format(found.schema_json, indent=2)
    cli.show(
        msgspec.structs.replace(found, schema=Json(found.schema_json.encode())),
        lambda: facts(
            [
                ("event", found.event_name),
                ("version", str(found.version)),
                ("description", found.description),
                ("registered", moment_text(found.created_at, cli.clock.now())),
                ("schema", pretty),
            ]
        ),
    )


@app.command
def register(
    event: Event,
    schema: Annotated[str, Parameter(help="The JSON Schema: JSON, @FILE, or - for standard input.")],
    /,
    *,
    version: Annotated[int, Parameter(name="--version", help="The event's version, from 1.")] = 1,
    description: str = "",
    cli: Injected,
) -> None:
    """Register one JSON Schema.

    Args:
        description: Description of the event.
    """
    text = bytes(read_data(schema, cli.stdin)).decode()
    request = schemas.RegisterSchema(event_name=event, version=version, schema_json=text, description=description)
    answer = cli.call(schemas.register, request)
    cli.show(answer, lambda: f"{answer.status} {event} version {version}")


@app.command(name="check-events")
def hold_events(
    event: Event,
    schema: Annotated[str, Parameter(help="The JSON Schema: JSON, @FILE, or - for standard input.")] = "",
    /,
    *,
    version: Version = 0,
    limit: int = 200,
    cli: Injected,
) -> int:
    """Hold the newest recorded events to a schema, before it is registered; exit code 1 when one does not fit.

    Args:
        limit: How many events, 1 to 1000.
    """
    text = bytes(read_data(schema, cli.stdin)).decode() if schema else ""
    request = schemas.CheckEvents(event_name=event, schema_json=text, version=version, limit=limit)
    answer = cli.call(schemas.check_events, request)
    cli.note(f"{answer.fit} of {answer.checked} events fit" + ("; older ones were not checked" if answer.more else ""))
    if answer.departures or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["EVENT", "VERSION", "AT", "REASON"],
                ([each.event_id, str(each.version), each.path or "/", each.reason] for each in answer.departures),
                right=["VERSION"],
                whole=["EVENT"],
            ),
        )
    return Exit.OK if answer.fit == answer.checked else Exit.FAILED


@app.command
def delete(
    event: Event,
    /,
    *,
    version: Annotated[int, Parameter(name="--version", help="The version whose schema is deleted.")],
    cli: Injected,
) -> None:
    """Delete the schema of an event's version. Events of that version are no longer validated."""
    cli.client.schemas.delete(event, version)
    cli.show({"deleted": event, "version": version}, lambda: f"deleted {event} version {version}")


@app.command
def push(
    target: str, /, *, dry_run: Annotated[bool, Parameter(negative="")] = False, reason: str = "", cli: Injected
) -> None:
    """Register the schemas of the events that a module defines with define_event(type=...) or (schema=...).

    Args:
        target: A module or file such as app.py or shop.events, or MODULE:NAME for a definition or a list.
        dry_run: Only show the changes.
        reason: The reason, written to the server's log with each change.
    """
    compared = _compared(cli, target)
    for definition, schema, state in compared:
        if state != "unchanged" and not dry_run:
            cli.client.schemas.register(
                definition.name, definition.version, schema, description=definition.description, reason=reason
            )
    _show(cli, compared, dry_run)


@app.command
def check(target: str, /, *, cli: Injected) -> int:
    """Compare the events of a module with the server; exit code 1 when a schema differs or is missing.

    Args:
        target: As for push.
    """
    compared = _compared(cli, target)
    _show(cli, compared, dry_run=True)
    return Exit.OK if all(state == "unchanged" for _, _, state in compared) else Exit.FAILED


def _compared(cli: Cli, target: str) -> list[tuple[EventDefinition, dict[str, Any], str]]:
    """Definition, schema and `new`, `changed` or `unchanged`, for each that has a schema."""
    found: list[tuple[EventDefinition, dict[str, Any], str]] = []
    for definition in load_events(target):
        try:
            schema = definition.json_schema()
        except ValidationError as fault:
            raise UsageError(f"{definition.name} version {definition.version}: {fault.message}") from None
        if schema is None:
            continue
        try:
            there = cli.client.schemas.get(definition.name, definition.version)
        except SchemaNotFound:
            found.append((definition, schema, "new"))
            continue
        same = (there.schema, there.description) == (schema, definition.description or there.description)
        found.append((definition, schema, "unchanged" if same else "changed"))
    if not found:
        raise UsageError(f"no event of {target} has a schema. Write define_event(..., type=...) or schema=...")
    return found


def _show(cli: Cli, compared: list[tuple[EventDefinition, dict[str, Any], str]], dry_run: bool) -> None:
    statuses = {"unchanged": "unchanged"} | ({} if dry_run else {"new": "created", "changed": "updated"})
    shown = [
        {"event_name": each.name, "version": each.version, "status": statuses.get(state, state)}
        for each, _, state in compared
    ]
    cli.show(
        {"schemas": shown},
        lambda: table(
            ["STATUS", "EVENT", "VERSION"],
            ([status_text(each["status"]), each["event_name"], str(each["version"])] for each in shown),
            right=["VERSION"],
        ),
    )
