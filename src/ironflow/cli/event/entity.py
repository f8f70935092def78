"""`ironflow entity`: the states of entities, and calls of their handlers."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms
from ironflow.base.entity_streams import stream_of
from ironflow.base.json import NULL
from ironflow.cli.event.emit import Data, DataFile, Key, Timeout, invoke_and_wait, start_run
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, json_line, table
from ironflow.cli.terminal.payload import read_data_option
from ironflow.cli.terminal.times import moment_text, since_text
from ironflow.features.entities import contract as entities
from ironflow.features.events import contract as events
from ironflow.features.streams import contract as streams

app = App("entity", help="Read the states of entities, and call their handlers.")

Name = Annotated[str, Parameter(help="The entity's name, such as payment.")]
EntityKey = Annotated[str, Parameter(help="The entity's key.")]
_DATA_SHOWN_MAX = 70


@app.command
def get(entity: Name, key: EntityKey, /, *, cli: Injected) -> None:
    """Show the state of an entity."""
    found = cli.call(entities.get, entities.GetEntity(entity=entity, key=key))
    cli.show(
        found,
        lambda: facts(
            [
                ("entity", found.entity),
                ("key", found.key),
                ("version", str(found.version)),
                ("changed", moment_text(found.updated_at, cli.clock.now())),
                ("by run", found.run_id or ""),
                ("state", json_line(found.state)),
            ]
        ),
    )


@app.command(name="list")
def list_(entity: Name, /, *, limit: Limit = 100, cursor: Cursor = "", cli: Injected) -> None:
    """List the entities of one name that have a state, by key."""
    answer = cli.call(entities.list_, entities.ListEntities(entity=entity, limit=limit, cursor=cursor))
    now = cli.clock.now()
    rows = [
        [each.key, str(each.version), since_text(each.updated_at, now), json_line(each.state, _DATA_SHOWN_MAX)]
        for each in answer.entities
    ]
    _show_rows(cli, answer, ["KEY", "VERSION", "CHANGED", "STATE"], rows, "no entities")
    note_more(cli, answer.next_cursor)


@app.command
def history(
    entity: Name,
    key: EntityKey,
    /,
    *,
    from_version: Annotated[int, Parameter(help="First version; 0 for the oldest, or the newest with --backward.")] = 0,
    backward: Annotated[bool, Parameter(help="Newest first.", negative="")] = False,
    limit: Limit = 100,
    cli: Injected,
) -> None:
    """Show the events of an entity's stream, its states among them."""
    request = streams.ReadStream(
        entity_id=stream_of(entity, key),
        from_version=from_version,
        limit=limit,
        direction="backward" if backward else "forward",
    )
    answer = cli.call(streams.read, request)
    now = cli.clock.now()
    rows = [
        [str(each.entity_version), each.name, since_text(each.timestamp, now), json_line(each.data, _DATA_SHOWN_MAX)]
        for each in answer.events
    ]
    _show_rows(cli, answer, ["VERSION", "EVENT", "WHEN", "DATA"], rows, "no events")
    note_more(cli, answer.next_version, "--from-version")


@app.command
def call(
    entity: Name,
    key: EntityKey,
    handler: str,
    /,
    *,
    data: Data = None,
    data_file: DataFile = None,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="--no-wait")] = True,
    timeout: Timeout = "30s",
    idempotency_key: Key = "",
    cli: Injected,
) -> Exit:
    """Call a handler of an entity, and wait for its end.

    The exit code is 1 when the run failed, and 75 when it has not ended in time.

    Args:
        handler: The name of its function without that of the entity: make for payment.make.
        wait: Wait until the run has ended; --no-wait only starts it.
    """
    function = f"{entity}.{handler}"
    payload = read_data_option(data, data_file, cli.stdin) or NULL
    if not wait:
        request = events.Invoke(function_id=function, data=payload, idempotency_key=idempotency_key, entity_key=key)
        return start_run(cli, request)
    return invoke_and_wait(
        cli,
        events.InvokeSync(
            function_id=function,
            data=payload,
            idempotency_key=idempotency_key,
            timeout_ms=duration_ms(timeout),
            entity_key=key,
            detached=True,
        ),
    )


def _show_rows(
    cli: Cli, answer: entities.Entities | streams.StreamEvents, headings: list[str], rows: list[list[str]], empty: str
) -> None:
    if not rows:
        cli.note(empty, "dim")
    if rows or cli.json:
        cli.show(answer, lambda: table(headings, rows, right=["VERSION"]))
