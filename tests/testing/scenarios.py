"""What the table of scenarios is made of: functions that are run by TestClient and by the engine of a server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ironflow import (
    Context,
    function,
)
from ironflow.sdk.definition.function import FunctionDefinition

# How long the time machine gives a run.
WITHIN = "40d"


@dataclass(frozen=True)
class Scenario:
    """functions: makes them anew, the first is the one that is run. events: that come while it runs, in order.

    expect: status and output.
    """

    name: str
    functions: Callable[[], list[FunctionDefinition]]
    data: Any = None
    events: tuple[tuple[str, Any], ...] = ()
    cancel_at: str = ""
    expect: tuple[str, Any] = ("completed", None)


SCENARIOS: list[Scenario] = []


def scenario(data: Any = None, *events: tuple[str, Any], expect: tuple[str, Any], cancel_at: str = ""):
    def add(functions: Callable[[], list[FunctionDefinition]]) -> Callable[[], list[FunctionDefinition]]:
        SCENARIOS.append(Scenario(functions.__name__, functions, data, events, cancel_at, expect))
        return functions

    return add


def failing(*errors: Exception | None) -> Callable[[], str]:
    """A body that raises these, one after the other, and then succeeds."""
    left = list(errors)

    def body() -> str:
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return "done"

    return body


def always(error: Exception) -> Callable[[], str]:
    def body() -> str:
        raise error

    return body


def nothing() -> None:
    """A body or compensation that succeeds."""


def sleeper(span: str, **settings: Any) -> FunctionDefinition:
    @function("child", **settings)
    async def child(ctx: Context):
        await ctx.step.sleep("long", span)
        return "child"

    return child
