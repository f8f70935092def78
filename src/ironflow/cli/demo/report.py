"""The report of the demo: counts, verdict, the slowest run, and commands to continue with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.time import to_millis
from ironflow.cli.demo.tally import Tally
from ironflow.cli.run.overview import run_page
from ironflow.cli.terminal.output import status_text, table
from ironflow.cli.terminal.times import span_text
from ironflow.features.runs.contract import Run, Step


def report(
    counted: Tally, runs: Sequence[Run], steps: Mapping[str, Sequence[Step]], outlived: str | None, database: Path
) -> RenderableType:
    """The whole report. outlived: a run that one worker began and another finished."""
    slowest = max(runs, key=_took_ms)
    return Group(
        Text(),
        _statuses(counted),
        Text(),
        _executions(counted),
        Text(),
        _verdict(counted),
        Text(f"\nThe slowest run took {span_text(_took_ms(slowest))} from its event to its end:\n"),
        run_page(slowest, list(steps[slowest.id]), to_millis(slowest.ended_at or slowest.updated_at)),
        Text("\nTo inspect the runs, start the server again on the same database:\n"),
        _commands(slowest, outlived, database),
    )


def _statuses(counted: Tally) -> RenderableType:
    rows = [[status_text(status), str(count)] for status, count in counted.statuses.items()]
    return table(["STATUS", "RUNS"], rows, right=["RUNS"])


def _executions(counted: Tally) -> RenderableType:
    return table(
        ["STEPS", "TIMES", ""],
        [
            ["executed", str(counted.executed), "bodies started, counted outside Ironflow"],
            ["  recorded", str(counted.recorded), "one result for each completed step"],
            ["  failed", str(counted.refused), "raised an error, retried while attempts were left"],
            ["  killed", str(counted.cut_short), "interrupted by the kill, executed again"],
            ["  unreported", str(counted.repeated), "finished but killed before the report, executed again"],
        ],
        right=["TIMES"],
    )


def _verdict(counted: Tally) -> Text:
    if counted.wrong:
        return Text("\n".join(f"WRONG: {each}" for each in counted.wrong), style="bold red")
    return Text("Every order has one run, every run has ended, no recorded step was executed again.", style="green")


def _commands(slowest: Run, outlived: str | None, database: Path) -> RenderableType:
    rows = [
        [f"  ironflow serve --dev --db {database}", "its dashboard: http://127.0.0.1:9123"],
        [f"  ironflow run get {slowest.id}", "the slowest"],
        [f"  ironflow run get {outlived}", "began on the killed worker"] if outlived else None,
        ["  ironflow run list --status failed", "the order that always fails"],
    ]
    drawn = table(["", ""], [row for row in rows if row], right=[])
    drawn.show_header = False
    drawn.columns[1].style = "dim"
    return drawn


def _took_ms(run: Run) -> int:
    return to_millis(run.ended_at or run.updated_at) - to_millis(run.created_at)
