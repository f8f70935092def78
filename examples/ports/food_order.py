"""A meal is paid, cooked and brought by the courier that accepts first (Restate: food ordering; Temporal: saga).

Start it with `ironflow dev food_order.py`, then order:
`ironflow emit order.placed --data '{"id": "o1", "meal": "soup"}'`.
The restaurant answers with the run's id, a courier with the order's:
`ironflow emit meal.ready --data '{"runId": "run_…"}'`, `ironflow emit courier.accepted --data '{"id": "o1:swift"}'`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Context, NonRetryableError, Retry, Steps, function

COURIERS = ("swift", "steady")


class Order(msgspec.Struct):
    """patience: how long the meal, and then a courier, is waited for."""

    id: str
    meal: str
    patience: str = "1h"


class NotCooked(NonRetryableError):
    """The restaurant does not answer."""

    code = "NOT_COOKED"


@function(
    "deliver-order",
    on="order.placed",
    key="data.id",
    on_cancel="compensate",
    step_retry=Retry(max_attempts=5, initial_delay="500ms"),
)
async def deliver_order(ctx: Context, order: Order) -> dict[str, Any]:
    """Whatever ends it before the meal is on its way releases the money: a failure, a time-out, a cancel."""
    await ctx.step.run("authorize", authorize, order)
    ctx.step.compensate("authorize", lambda: release(order))

    # The id of the run is all that the restaurant needs for its answer.
    await ctx.step.run("cook", cook, order, ctx.run.id)
    ctx.set("status", "cooking")
    meal = await ctx.step.wait_for_event(
        "meal", event="meal.ready", match="runId", match_value=ctx.run.id, timeout=order.patience, on_timeout=None
    )
    if meal is None:
        raise NotCooked(f"{order.meal} was not cooked within {order.patience}")

    ctx.set("status", "looking for a courier")
    courier = await ctx.step.parallel(
        "couriers",
        [lambda steps, name=name: book_courier(steps, name, order) for name in COURIERS],
        until="first_success",
    )
    await ctx.step.run("capture", capture, order)
    ctx.set("status", "on its way")
    return {"order": order.id, "courier": courier}


async def book_courier(steps: Steps, name: str, order: Order) -> str:
    """The branch that comes second is cancelled, and undone."""
    await steps.run("book", book, name, order)
    steps.compensate("book", lambda: cancel(name, order))
    await steps.wait_for_event(
        "accepted", event="courier.accepted", match="id", match_value=f"{order.id}:{name}", timeout=order.patience
    )
    return name


async def authorize(order: Order) -> None:
    await outside.call("bank.authorize", order=order.id)


async def release(order: Order) -> None:
    await outside.call("bank.release", order=order.id)


async def capture(order: Order) -> None:
    await outside.call("bank.capture", order=order.id)


async def cook(order: Order, run_id: str) -> None:
    await outside.call("restaurant.cook", meal=order.meal, run=run_id)


async def book(courier: str, order: Order) -> None:
    await outside.call("courier.book", courier=courier, order=order.id)


async def cancel(courier: str, order: Order) -> None:
    await outside.call("courier.cancel", courier=courier, order=order.id)


functions = [deliver_order]
