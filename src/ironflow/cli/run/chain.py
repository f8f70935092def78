"""`ironflow run get --chain`: the runs that restarted one another."""

from rich.console import RenderableType

from ironflow.base.time import Millis
from ironflow.cli.invocation import Cli
from ironflow.cli.run.overview import run_status, run_took
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import since_text
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run


def show_chain(cli: Cli, run: str, limit: int, cursor: str) -> None:
    answer = cli.call(runs.chain, runs.GetRunChain(id=run, limit=limit, cursor=cursor))
    now = cli.clock.now()
    cli.show(answer, lambda: _links_table(answer.runs, now))
    if answer.next_cursor:
        cli.note(f"There is more: --cursor {answer.next_cursor}", "dim")


def _links_table(links: list[Run], now: Millis) -> RenderableType:
    return table(
        ["LINK", "STATUS", "RUN", "CREATED", "TOOK"],
        (
            [
                str(each.link or 0),
                run_status(each) if each.restarted_as is None else "restarted",
                each.id,
                since_text(each.created_at, now),
                run_took(each, now),
            ]
            for each in links
        ),
        right=["LINK", "TOOK"],
        # Copied into other commands.
        whole=["RUN"],
    )
