"""Answers that come in pages: how much of them is asked for, and how one reads on."""

from typing import Annotated

from cyclopts import Parameter

from ironflow.cli.invocation import Cli

Limit = Annotated[int, Parameter(help="How many at most.")]
Cursor = Annotated[str, Parameter(help="Continue after an earlier answer.")]


def say_more(cli: Cli, following: object, option: str = "--cursor") -> None:
    """Says how to read on. following: where, None or empty when that was all."""
    if following:
        cli.say(f"There is more: {option} {following}", "dim")
