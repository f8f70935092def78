"""Opens the full screen of `ironflow inspect`."""

import asyncio
import os
import sys

from ironflow.cli.invocation import Cli
from ironflow.cli.run.timeline import ASCII, FINE
from ironflow.cli.run.tui import AVAILABLE
from ironflow.features.runs import contract as runs
from ironflow.sdk.client.client import Client
from ironflow.sdk.wire.retries import ATTEMPTS_DEFAULT, Retries

_MISSING = "The full screen needs textual: pip install 'ironflow-engine[inspect]'"


def is_terminal(cli: Cli) -> bool:
    """Whether there is a terminal for the full screen, and what it needs is installed; notes when it is not."""
    if not sys.stdin.isatty() or not cli.out.is_terminal or os.environ.get("TERM") == "dumb":
        return False
    if not AVAILABLE:
        cli.note(_MISSING, "dim")
    return AVAILABLE


def open_screen(cli: Cli, run: str, *, at: str, replay: bool, everything: bool) -> None:
    """Returns when the user has left. A run that is not there is refused before the screen opens."""
    if run:
        cli.call(runs.get, runs.GetRun(id=run))
    asyncio.run(_show(cli, run, at=at, replay=replay, everything=everything))


async def _show(cli: Cli, run: str, *, at: str, replay: bool, everything: bool) -> None:
    # Imported here, because the other commands need no full screen.
    from ironflow.cli.run.tui.app import InspectApp
    from ironflow.cli.run.tui.run_screen import Opening

    retries = Retries(attempts=ATTEMPTS_DEFAULT)
    async with Client(cli.url, api_key=cli.key, environment=cli.environment, retries=retries) as client:
        opening = Opening(at, play=replay, milestones=replay and not everything)
        signs = ASCII if cli.out.options.ascii_only else FINE
        # They are the size at the time of the start; the terminal itself knows when it is resized.
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        await InspectApp(client.call, run, opening=opening, clock=cli.clock, signs=signs).run_async()
