"""What the demo shows at its end: the numbers, whether they are right, the slowest run, and how to look further."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.time import to_millis
from ironflow.cli.output import status_text, table
from ironflow.cli.portrait import portrait
from ironflow.cli.tally import Tally
from ironflow.cli.times import span_text
from ironflow.features.runs.contract import Run, Step


def report(
    counted: Tally, runs: Sequence[Run], steps: Mapping[str, Sequence[Step]], outlived: str | None, database: Path
) -> RenderableType:
    """The whole page. outlived: a run whose worker was killed and that another one finished."""
    slowest = max(runs, key=_took_ms)
    return Group(
        Text(),
        _statuses(counted),
        Text(),
        _executions(counted),
        Text(),
        _verdict(counted),
        Text(f"\nThe slowest run took {span_text(_took_ms(slowest))} from its event to its end:\n"),
        portrait(slowest, list(steps[slowest.id]), to_millis(slowest.ended_at or slowest.updated_at)),
        Text("\nTo look around, start the server again on the same database:\n"),
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
            ["  recorded", str(counted.recorded), "results kept, one for each step"],
            ["  refused", str(counted.refused), "failed, and were tried again while attempts were left"],
            ["  cut short", str(counted.cut_short), "killed half-way, run again"],
            ["  unreported", str(counted.repeated), "finished, but killed before saying so, run again"],
        ],
        right=["TIMES"],
    )


def _verdict(counted: Tally) -> Text:
    if counted.wrong:
        return Text("\n".join(f"WRONG: {each}" for each in counted.wrong), style="bold red")
    return Text("Every order has one run, every run has ended, no recorded step was executed again.", style="green")


def _commands(slowest: Run, outlived: str | None, database: Path) -> RenderableType:
    rows = [
        [f"  ironflow serve --dev --db {database}", ""],
        [f"  ironflow run get {slowest.id}", "the slowest"],
        [f"  ironflow run get {outlived}", "one that outlived its worker"] if outlived else None,
        ["  ironflow run list --status failed", "the one that could not succeed"],
    ]
    drawn = table(["", ""], [row for row in rows if row], right=[])
    drawn.show_header = False
    drawn.columns[1].style = "dim"
    return drawn


def _took_ms(run: Run) -> int:
    return to_millis(run.ended_at or run.updated_at) - to_millis(run.created_at)
