"""Published commands that this program has not: each is refused in a sentence that names what takes its place."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError

# Source: protocol/operating.md 1, the last row.
REFUSED = {
    "outbox": "there is no outbox: events are committed with what they start. See `ironflow group dead`, the dead "
    "letters of a consumer group.",
    "capacity": "capacity has no command of its own: see `ironflow run why RUN`, `ironflow function get FUNCTION` with "
    "its limits, and `ironflow server info`.",
    "mcp": "there is no MCP server: programs use the REST API, see `ironflow server capabilities`.",
    "skills": "there are no skills to install: `ironflow init DIR` writes an example project.",
    "deploy": "deployment is not part of this program: run `ironflow worker app:functions` beside `ironflow serve`.",
    "provision": "nothing is provisioned: create an environment with `ironflow env create NAME`.",
    "cloud": "there is no hosted service: start a server of your own with `ironflow serve`.",
    "platform": "there is no platform kind: give each tenant an environment with `ironflow env create NAME`.",
}
DURABLES = "projections have no durables that outlive them: `ironflow projection delete NAME` removes everything."
PLATFORM_KEY = "there is no platform kind: a key with --role role_admin and without --env is for every environment."
AS_ORG = "a key acts for its own organisation only: give --api-key the key of the other one, without --as-org."


def refused(sentence: str, name: str) -> App:
    """A hidden command that takes anything and raises UsageError with the sentence."""
    command = App(name, help_flags=(), version_flags=(), show=False)

    @command.default
    def refuse(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:  # pyright: ignore[reportUnusedFunction]
        raise UsageError(sentence)

    return command
