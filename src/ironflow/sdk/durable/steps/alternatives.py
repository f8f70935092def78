"""What `ctx.step.wait_any` waits for: `event`, `sleep` and `invoke`.

first = await ctx.step.wait_any("reply", paid=event("order.paid", match="orderId"), late=sleep("3d"))
if first.name == "paid":
    ...
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ironflow.base.duration import Duration

if TYPE_CHECKING:
    from ironflow.sdk.definition.function import FunctionDefinition
    from ironflow.sdk.values.definitions import EventDefinition

LookBack = Literal["execution", "run"]
OnTimeout = Literal["raise"] | None

# Waits by the steps that it is given, under the name that it is given. The steps are `Steps`, which import this module.
Alternative = Callable[[Any, str], Awaitable[Any]]


class First(NamedTuple):
    """The alternative that ended first. value: what its step gives; None for a sleep."""

    name: str
    value: Any


def event(
    name: "str | EventDefinition",
    *,
    match: str | None = None,
    match_value: str | None = None,
    payload: Any = None,
    look_back: LookBack = "run",
    timeout: Duration = "7d",
    on_timeout: OnTimeout = "raise",
) -> Alternative:
    """An event called `name`, or a definition; the rest as in `ctx.step.wait_for_event`."""

    async def wait(steps: Any, key: str) -> Any:
        return await steps.wait_for_event(
            key,
            event=name,
            match=match,
            match_value=match_value,
            payload=payload,
            look_back=look_back,
            timeout=timeout,
            on_timeout=on_timeout,
        )

    return wait


def sleep(duration: Duration) -> Alternative:
    """A time: `duration` from the moment at which the wait begins."""

    async def wait(steps: Any, key: str) -> None:
        await steps.sleep(key, duration)

    return wait


def invoke(function: "str | FunctionDefinition", input: Any = None, *, timeout: Duration = "30s") -> Alternative:
    """The output of another function, as `ctx.step.invoke`."""

    async def wait(steps: Any, key: str) -> Any:
        return await steps.invoke(function, input, timeout=timeout)

    return wait


def choose(first: str) -> dict[str, str]:
    """The body of the step that records which alternative was first."""
    return {"first": first}
