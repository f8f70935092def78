"""`ironflow sql`: SQL queries over events, runs, steps, streams and projections."""

import csv
import io
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms
from ironflow.base.json import write_json
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.features.query import contract as query

app = App("sql", help="Query events, runs, steps, streams and projections in SQL, read-only.")


@app.default
def sql(
    select: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    /,
    *,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    format: Literal["table", "json", "csv", "jsonl"] | None = None,
    max_rows: int = 1000,
    timeout: str = "5s",
    cli: Injected,
) -> None:
    """Run one SELECT over events, runs, steps, streams and projections; without one, list the tables.

    Args:
        select: The query, @FILE for a file's content, - for standard input.
        as_csv: Print CSV with a header line, as --format csv.
        format: json prints the response as --json, jsonl one object for each row.
        max_rows: Maximum number of rows, 1 to 10000.
        timeout: Maximum duration of the query, at most 30s; a bare number is milliseconds.
    """
    as_csv = as_csv or format == "csv"
    cli.json = cli.json or format == "json"
    if as_csv and cli.json:
        raise UsageError("--csv and --json exclude each other.")
    if not select:
        _tables(cli)
        return
    text = read_bytes(select, cli.stdin).decode()
    timeout_ms = int(timeout) if timeout.isdecimal() else duration_ms(timeout)
    request = query.ExecuteSql(query=text, timeout_ms=timeout_ms, max_rows=max_rows)
    answer = cli.call(query.execute, request, timeout=timeout_ms / 1000 + 5)
    rows: list[list[Any]] = [msgspec.json.decode(row) for row in answer.rows]
    if as_csv:
        cli.write(_csv(answer.columns, rows))
    elif format == "jsonl":
        cli.write(b"".join(write_json(dict(zip(answer.columns, row, strict=True))) + b"\n" for row in rows))
    else:
        right = [name for name, kind in zip(answer.columns, answer.types, strict=True) if _is_number(kind)]
        cells = ([cell_text(cell, "NULL") for cell in row] for row in rows)
        cli.show(answer, lambda: table(answer.columns, cells, right=right))
    if answer.truncated:
        cli.note(f"There are more than {answer.total_rows} rows: use --max-rows, or LIMIT and OFFSET.", "dim")


def _tables(cli: Cli) -> None:
    answer = cli.call(query.tables, query.ListSqlTables())
    cli.show(
        answer,
        lambda: table(
            ["TABLE", "COLUMNS"], ([each.name, ", ".join(c.name for c in each.columns)] for each in answer.tables)
        ),
    )


def cell_text(cell: Any, null: str = "") -> str:
    """A cell as text: strings unchanged, other values as JSON."""
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
