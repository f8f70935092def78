"""`ironflow event schema` and `event upcast`: the published names of what `ironflow schema` does."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.base.json import NULL
from ironflow.cli.event import schema as own
from ironflow.cli.event.emit import Data, DataFile
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor
from ironflow.cli.terminal.output import facts
from ironflow.cli.terminal.payload import read_data_option
from ironflow.features.schemas import contract as schemas
from ironflow.features.server_state import contract as server_state
from ironflow.features.server_state.contract import Nothing

schema = App("schema", help="Register, show and delete event schemas, as `ironflow schema` does.")

File = Annotated[str, Parameter(help="The file with the JSON Schema; - for standard input.", allow_leading_hyphen=True)]
Event = Annotated[str, Parameter(help="The event's name, such as order.placed.")]


@schema.command
def register(
    event: Event,
    /,
    *,
    file: File,
    version: int = 1,
    description: str = "",
    cli: Injected,
) -> None:
    """Register one JSON Schema.

    Args:
        version: The event's version, from 1.
        description: Description of the event.
    """
    own.register(event, file if file == "-" else f"@{file}", version=version, description=description, cli=cli)


@schema.command(name="list")
def list_(*, event: str = "", limit: int = 100, cursor: Cursor = "", cli: Injected) -> None:
    """List schemas by event name and version.

    Args:
        event: Only schemas of this event; * matches one segment, > the rest.
        limit: Maximum number of schemas, 1 to 1000.
    """
    own.list_(name=event, limit=limit, cursor=cursor, cli=cli)


@schema.command
def get(event: Event, /, *, version: int = 0, cli: Injected) -> None:
    """Show the schema of an event.

    Args:
        version: The version; 0 for the latest.
    """
    own.get(event, version=version, cli=cli)


@schema.command
def delete(event: Event, /, *, version: int, cli: Injected) -> None:
    """Delete the schema of an event's version. Events of that version are no longer validated.

    Args:
        version: The version whose schema is deleted.
    """
    own.delete(event, version=version, cli=cli)


@schema.command
def check(event: Event, /, *, cli: Injected) -> None:
    """Show whether the schemas of an event are enforced: what becomes of new events that do not fit."""
    mode = cli.call(server_state.info, Nothing()).event_schema_enforcement
    listed = cli.call(schemas.list_, schemas.ListSchemas(event_name=event, limit=1000)).schemas
    versions = [each.version for each in listed if each.event_name == event]
    enforced = mode == "reject" and bool(versions)
    cli.show(
        {"event_name": event, "enforced": enforced, "enforcement": mode, "versions": versions},
        lambda: facts(
            [
                ("event", event),
                ("enforced", "yes" if enforced else "no"),
                ("setting", f"event_schema_enforcement is {mode}"),
                ("versions with a schema", ", ".join(map(str, versions)) or "none"),
            ]
        ),
    )


def upcast(
    event: Event,
    /,
    *,
    from_version: Annotated[int, Parameter(name=["--from", "--from-version"])],
    to_version: Annotated[int, Parameter(name=["--to", "--to-version"])],
    data: Data = None,
    data_file: DataFile = None,
    cli: Injected,
) -> Exit:
    """Show data of an event as the server brings it from one version to another; exit code 1 when it cannot.

    The server has no upcasters: those of the SDK run in the workers.

    Args:
        from_version: The version of the data.
        to_version: The version to bring it to.
    """
    payload = read_data_option(data, data_file, cli.stdin)
    if payload is None:
        raise UsageError("there is no data to convert. Give --data or --data-file.")
    asked = schemas.TestUpcast(event_name=event, from_version=from_version, to_version=to_version, data=payload or NULL)
    answer = cli.call(schemas.upcast, asked)
    cli.show(answer, lambda: answer.error or msgspec.json.format(bytes(answer.data), indent=2).decode())
    return Exit.OK if answer.success else Exit.FAILED
