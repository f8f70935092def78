"""`ironflow run logs`: what a run wrote with `ctx.logger`."""

from typing import Annotated

from cyclopts import Parameter
from msgspec.structs import replace
from rich.text import Text

from ironflow.base.json import write_json
from ironflow.base.spelling import writer
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import json_line
from ironflow.cli.terminal.times import time_text
from ironflow.features.run_logs import contract
from ironflow.features.run_logs.contract import LogLine

_HOLD_S = 20.0
_STYLES = {"debug": "dim", "info": "", "warn": "yellow", "error": "red"}


def logs(
    run: Annotated[str, Parameter(help="The run's id, such as run_06DGK3….")],
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    level: str = "",
    step: str = "",
    limit: int = 1000,
    cursor: str = "",
    cli: Injected,
) -> None:
    """Show what a run wrote with ctx.logger.

    Args:
        follow: Go on with new lines until the run has ended. With --json, one line of JSON each.
        level: Only lines of this level and above: debug, info, warn or error.
        step: Only lines of this step, by id or name.
        limit: Maximum number of lines, 1 to 1000.
        cursor: Cursor of the next page.
    """
    request = contract.GetRunLogs(run_id=run, level=level, step=step, limit=limit, cursor=cursor)
    if follow:
        _follow(cli, replace(request, wait=_HOLD_S))
        return
    answer = cli.call(contract.get, request)
    if not answer.lines:
        cli.note("no lines", "dim")
    if answer.lines or cli.json:
        cli.show(answer, lambda: Text("\n").join(_shown(each) for each in answer.lines))
    if answer.next_cursor:
        cli.note(f"There is more: --cursor {answer.next_cursor}", "dim")


def _follow(cli: Cli, request: contract.GetRunLogs) -> None:
    write = writer(LogLine).write
    while True:
        answer = cli.call(contract.get, request, timeout=_HOLD_S + 30)
        for line in answer.lines:
            if cli.json:
                cli.write(write_json(write(line)) + b"\n")
            else:
                cli.out.print(_shown(line))
        if answer.ended:
            return
        request = replace(request, cursor=answer.cursor)


def _shown(line: LogLine) -> Text:
    """Time, level, step and attempt, text and data."""
    text = Text(f"{time_text(line.at)}  ")
    text.append(f"{line.level:<5}", style=_STYLES.get(line.level, ""))
    again = f" #{line.attempt}" if line.attempt > 1 else ""
    text.append(f"  {line.step_name or '-'}{again}  ", style="dim")
    text.append(line.message, style=_STYLES.get(line.level, ""))
    if line.data is not None:
        text.append(f"  {json_line(line.data, 200)}", style="dim")
    if line.truncated:
        text.append("  (shortened)", style="dim")
    return text
