"""`ironflow sql`: questions in SQL over events, runs, steps, streams and projections."""

import csv
import io
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import table
from ironflow.cli.payload import read_bytes
from ironflow.features.query import contract as query

app = App("sql", help="Ask in SQL over events, runs, steps, streams and projections. It only reads.")


@app.default
def sql(
    select: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    /,
    *,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    max_rows: int = 1000,
    timeout: str = "5s",
    cli: Here,
) -> None:
    """Ask one SELECT; without one, list what can be read.

    Args:
        select: The query, @FILE for a file's content, - for standard input.
        as_csv: Answer as CSV with a line of column names.
        max_rows: How many rows at most, 1 to 10000.
        timeout: How long the query may take, at most 30s.
    """
    if as_csv and cli.json:
        raise UsageError("--csv and --json exclude each other.")
    if not select:
        _tables(cli)
        return
    text = read_bytes(select, cli.stdin).decode()
    timeout_ms = duration_ms(timeout)
    request = query.ExecuteSql(query=text, timeout_ms=timeout_ms, max_rows=max_rows)
    answer = cli.ask(query.execute, request, timeout=timeout_ms / 1000 + 5)
    rows: list[list[Any]] = [msgspec.json.decode(row) for row in answer.rows]
    if as_csv:
        cli.write(_csv(answer.columns, rows))
    else:
        right = [name for name, kind in zip(answer.columns, answer.types, strict=True) if _is_number(kind)]
        cells = ([cell_text(cell, "NULL") for cell in row] for row in rows)
        cli.show(answer, lambda: table(answer.columns, cells, right=right))
    if answer.truncated:
        cli.say(f"There are more than these {answer.total_rows} rows: --max-rows, or LIMIT and OFFSET.", "dim")


def _tables(cli: Cli) -> None:
    answer = cli.ask(query.tables, query.ListSqlTables())
    cli.show(
        answer,
        lambda: table(
            ["TABLE", "COLUMNS"], ([each.name, ", ".join(c.name for c in each.columns)] for each in answer.tables)
        ),
    )


def cell_text(cell: Any, null: str = "") -> str:
    """A cell as text: a text itself, else as JSON."""
    if cell is None:
        return null
    return cell if isinstance(cell, str) else msgspec.json.encode(cell).decode()


def _csv(columns: list[str], rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell_text(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "bigint", "real", "float", "numeric", "double", "decimal"))
