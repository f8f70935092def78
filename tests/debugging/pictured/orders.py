from ironflow import Context, NonRetryableError, function


def reserve(guests: int) -> dict[str, int]:
    return {"table": 12, "guests": guests}


def charge(total: int) -> dict[str, int]:
    if total == 13:
        raise NonRetryableError("card declined")
    return {"charged": total}


@function("process-order", on="order.placed", recording=True)
async def process_order(ctx: Context) -> str:
    order = ctx.event.data
    place = await ctx.step.run("reserve", reserve, order["guests"])
    if order["total"] > 1_000:
        await ctx.step.wait_for_event("approval", event="approved")
    paid = await ctx.step.run("charge", charge, order["total"])
    ctx.logger.info("charged %d", paid["charged"])
    return f"table {place['table']}"
