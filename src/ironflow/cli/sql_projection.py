"""`ironflow sql-projection`: tables that the server keeps up to date from events."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts, status_text, table
from ironflow.cli.pages import say_more
from ironflow.cli.payload import read_bytes
from ironflow.cli.sql import cell_text
from ironflow.cli.times import since_text, time_text
from ironflow.features.sql_projections import contract as sql

app = App("sql-projection", help="Keep tables up to date from events, ask them, rebuild them.")

Name = Annotated[str, Parameter(help="The projection's name.")]


@app.command
def create(
    name: Name,
    /,
    *,
    table_sql: Annotated[str, Parameter(name="--table")],
    on: list[str],
    description: str = "",
    cli: Here,
) -> None:
    """Make a projection, or change it.

    Args:
        table_sql: CREATE TABLE proj_…, or @FILE.
        on: EVENT=STATEMENT or EVENT=@FILE, such as order.placed=@placed.sql. May be repeated.
        description: What it is for.
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
    answer = cli.ask(sql.create, request)
    cli.show(answer, lambda: f"{answer.status} {answer.name}")


@app.command(name="list")
def list_(*, limit: int = 100, cursor: str = "", cli: Here) -> None:
    """List the projections.

    Args:
        limit: How many at most, 1 to 1000.
        cursor: Continue after an earlier answer.
    """
    answer = cli.ask(sql.list_, sql.ListSqlProjections(limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.projections:
        cli.say("no SQL projections", "dim")
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
    say_more(cli, answer.next_cursor)


@app.command
def get(name: Name, /, *, cli: Here) -> None:
    """Show one projection: its status, how far it is, and what it was made from."""
    answer = cli.ask(sql.get, sql.NamedSqlProjection(name=name))
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
def query(name: Name, /, *, where: str = "", order_by: str = "", limit: int = 100, offset: int = 0, cli: Here) -> None:
    """Show rows of a projection's first table.

    Args:
        where: SQL over its columns, such as "total > 100".
        order_by: Columns, such as "total DESC".
        limit: How many at most, 1 to 10000.
        offset: How many to leave out before them.
    """
    request = sql.QuerySqlProjection(name=name, where=where, order_by=order_by, limit=limit, offset=offset)
    answer = cli.ask(sql.query, request)
    rows = [[cell_text(msgspec.json.decode(cell), "NULL") for cell in row.typed_values] for row in answer.rows]
    cli.show(answer, lambda: table(answer.columns, rows))
    if answer.total_count > offset + len(rows):
        cli.say(f"{len(rows)} of {answer.total_count} rows.", "dim")


@app.command
def rebuild(name: Name, /, *, dry_run: Annotated[bool, Parameter(negative="")] = False, cli: Here) -> None:
    """Fill the tables anew from the whole log; readers keep the old rows until it has caught up.

    Args:
        dry_run: Only say how much there is to go through.
    """
    answer = cli.ask(sql.rebuild, sql.RebuildSqlProjection(name=name, dry_run=dry_run))
    cli.show(answer, lambda: f"{answer.status} {answer.name}, {answer.target} events of the log")


@app.command
def cancel_rebuild(name: Name, /, *, cli: Here) -> None:
    """Drop the version that is being filled; the rows stay as they are."""
    answer = cli.ask(sql.cancel_rebuild, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def pause(name: Name, /, *, cli: Here) -> None:
    """Apply nothing more until it is resumed."""
    answer = cli.ask(sql.pause, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def resume(name: Name, /, *, cli: Here) -> None:
    """Go on after a pause or an error, from where it stopped."""
    answer = cli.ask(sql.resume, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"{name} is {answer.status}")


@app.command
def delete(
    name: Name, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Here
) -> None:
    """Delete a projection with its tables. The events stay.

    Args:
        yes: Do not ask.
    """
    if not yes and not cli.confirm(f"Delete projection {name} with its tables?"):
        raise UsageError(f"projection {name} is left as it is. Add --yes to delete it.")
    answer = cli.ask(sql.delete, sql.NamedSqlProjection(name=name))
    cli.show(answer, lambda: f"deleted {name}")
