"""The options of paged lists, and the hint at the next page."""

from typing import Annotated

from cyclopts import Parameter

from ironflow.cli.invocation import Cli

Limit = Annotated[int, Parameter(help="Maximum number of rows.")]
Cursor = Annotated[str, Parameter(help="Cursor of the next page.")]


def note_more(cli: Cli, following: object, option: str = "--cursor") -> None:
    """Shows the option for the next page. following: its cursor; None or empty on the last page."""
    if following:
        cli.note(f"There is more: {option} {following}", "dim")
