"""A handler of an entity is invoked with the key of its entity, which need not be in the data."""

from typing import Any

import pytest

from ironflow import Context, InvokeError, entity, function
from ironflow.base.errors import InvalidArgument
from ironflow.testing import TestClient

payment = entity("payment", key="id", initial={"status": "new"})


@payment.handler
async def cancel(ctx: Context, data: Any) -> Any:
    ctx.state = {"status": "cancelled", "by": data["by"]}


@function("charge")
async def charge(ctx: Context) -> None: ...


async def test_a_handler_is_invoked_with_a_key_that_its_data_does_not_have():
    client = TestClient([cancel])

    run = await client.invoke(cancel, {"by": "ada"}, entity_key="p1")

    assert run.status == "completed"
    assert client.state("payment", "p1") == {"status": "cancelled", "by": "ada"}


@function("support")
async def support(ctx: Context, data: Any) -> Any:
    await ctx.step.invoke(cancel, {"by": "step"}, entity_key=data)
    try:
        await ctx.step.invoke(charge, entity_key=data)
    except InvokeError as error:
        return error.cause


async def test_a_step_invokes_a_handler_with_a_key():
    client = TestClient([support, cancel, charge], strict=False)

    run = await client.invoke(support, "p1")

    assert run.output == "function 'charge' is no handler of an entity: it takes no entity_key"
    assert client.state("payment", "p1") == {"status": "cancelled", "by": "step"}


async def test_a_function_without_an_entity_takes_no_key():
    with pytest.raises(InvalidArgument, match="no handler of an entity"):
        await TestClient([charge]).invoke(charge, entity_key="p1")
