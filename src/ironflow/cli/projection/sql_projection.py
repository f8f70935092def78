"""`ironflow sql-projection`: tables that the server keeps up to date from events."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import note_more
from ironflow.cli.projection.sql import cell_text
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.sql_projections import contract as sql

app = App("sql-projection", help="Define, query and rebuild tables that follow events.")

Name = Annotated[str, Parameter(help="The projection's name.")]


@app.command
def create(
    name: Name,
    /,
    *,
    table_sql: Annotated[str, Parameter(name="--table")],
    on: list[str],
    description: str = "",
    cli: Injected,
) -> None:
    """Create or change a SQL projection.

    Args:
        table_sql: CREATE TABLE proj_…, or @FILE.
        on: EVENT=STATEMENT or EVENT=@FILE, such as order.placed=@placed.sql. May be repeated.
        description: Description of the projection.
    """
    handlers: dict[str, str] = {}
    for each in on:
        event, equals, text = each.partition("=")
        if not equals:
            raise UsageError(f"--on is {each!r}; write EVENT=STATEMENT or EVENT=@FILE.")
        handlers[event.strip()] = read_bytes(text, cli.stdin).decode()
    request = sql.CreateSqlProjection(
        name=name,
        table_sql=read_bytes(table_sql, cli.stdin).decode(),
        event_handlers=handlers,
        description=description,
    )
    answer = cli.call(sql.create, request)
    cli.show(answer, lambda: f"{answer.status} {answer.name}")


def create_published(
    name: Name,
    /,
    *,
    sql_text: Annotated[str, Parameter(name="--sql")] = "",
    sql_file: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    event: list[str] | None = None,
    event_handler: list[str],
    description: str = "",
    cli: Injected,
) -> None:
    """Create or change a SQL projection, as `sql-projection create`.

    Args:
        sql_text: CREATE TABLE proj_….
        sql_file: A file with it.
        event: An event of the projection; each needs an --event-handler.
        event_handler: EVENT=STATEMENT or EVENT=@FILE. May be repeated.
        description: Description of the projection.
    """
    if bool(sql_text) == bool(sql_file):
        raise UsageError("give the table as --sql or as --sql-file, one of the two.")
    handled = {each.partition("=")[0].strip() for each in event_handler}
    missing = [each for each in event or [] if each not in handled]
    if missing:
        raise UsageError(f"{', '.join(missing)} has no --event-handler.")
    table_sql = sql_text or (sql_file if sql_file == "-" else f"@{sql_file}")
    create(name, table_sql=table_sql, on=event_handler, description=description, cli=cli)


@app.command(name="list")
def list_(*, limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List the SQL projections.

    Args:
        limit: Maximum number of projections, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(sql.list_, sql.ListSqlProjections(limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.projections:
        cli.note("no SQL projections", "dim")
    if answer.projections or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["NAME", "STATUS", "POSITION", "LAG", "UPDATED", "TABLES", "ERROR"],
                (
                    [
                        each.name,
                        status_text(each.status),
                        str(each.last_event_seq),
                        str(each.lag),
                        since_text(each.updated_at, now),
                        ", ".join(each.tables),
                        each.error_message,
                    ]
                    for each in answer.projections
                ),
                right=["POSITION", "LAG"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def get(name: Name, /, *, cli: Injected) -> None:
    """Show the status, progress and definition of a projection."""
    answer = cli.call(sql.get, sql.NamedSqlProjection(name=name))
    handlers = [(event, " ".join(text.split())) for event, text in answer.event_handlers.items()]
    rebuild = answer.rebuild
    cli.show(
        answer,
        lambda: facts(
            [
                ("projection", answer.name),
                ("description", answer.description),
                ("status", status_text(answer.status)),
                ("error", answer.error_message),
                ("position", f"{answer.last_event_seq}, {answer.lag} to go"),
                ("rebuild", f"{rebuild.progress:.0%} of {rebuild.target}" if rebuild else None),
                ("created", time_text(answer.created_at)),
                ("table", " ".join(answer.table_sql.split())),
                *((f"on {event}", text) for event, text in handlers),
            ]
        ),
    )


@app.command
def query(
    name: Name, /, *, where: str = "", order_by: str = "", limit: int = 100, offset: int = 0, cli: Injected
) -> None:
    """Show rows of a projection's first table.

    Args:
        where: SQL over its columns, such as "total > 100".
        order_by: Columns, such as "total DESC".
        limit: Maximum number of rows, 1 to 10000.
        offset: Number of rows to skip.
    """
    request = sql.QuerySqlProjection(name=name, where=where, order_by=order_by, limit=limit, offset=offset)
    answer = cli.call(sql.query, request)
    rows = [[cell_text(msgspec.json.decode(cell), "NULL") for cell in row.typed_values] for row in answer.rows]
    cli.show(answer, lambda: table(answer.columns, rows))
    if answer.total_count > offset + len(rows):
        cli.note(f"{len(rows)} of {answer.total_count} rows.", "dim")


@app.command
def rebuild(name: Name, /, *, dry_run: Annotated[bool, Parameter(negative="")] = False, cli: Injected) -> None:
    """Rebuild the tables from the whole log. Readers see the old rows until the rebuild has caught up.

    Args:
        dry_run: Only count the events.
    """
    answer = cli.call(sql.rebuild, sql.RebuildSqlProjection(name=name, dry_run=dry_run))
    cli.show(answer, lambda: f"{answer.status} {answer.name}, {answer.target} events of the log")


@app.command
def cancel_rebuild(name: Name, /, *, cli: Injected) -> None:
    """Cancel a rebuild and drop its generation; the current rows stay."""
    answer = cli.call(sql.cancel_rebuild, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def pause(name: Name, /, *, cli: Injected) -> None:
    """Pause a projection: it applies no events until it is resumed."""
    answer = cli.call(sql.pause, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def resume(name: Name, /, *, cli: Injected) -> None:
    """Resume a projection after a pause or an error, where it stopped."""
    answer = cli.call(sql.resume, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def delete(
    name: Name, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a projection with its tables. The events stay.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete projection {name} with its tables?"):
        raise UsageError(f"projection {name} is unchanged. Add --yes to delete it.")
    answer = cli.call(sql.delete, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"deleted {name}")
