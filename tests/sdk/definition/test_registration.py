"""Functions by their event, and registrations without a handler."""

from collections import deque
from typing import Any

import pytest

from ironflow import Client, Concurrency, Context, Retry, function, handler, sync
from ironflow.features.functions.contract import ExecutionMode, InvalidFunction, Trigger
from ironflow.sdk.definition.registration import registration, registration_in
from ironflow.testing import time_machine
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer


@pytest.mark.parametrize(
    ("event", "id"),
    [
        ("order.placed", "order-placed-handler"),
        ("order", "order-handler"),
        ("order.*", "order-any-handler"),
        (">", "all-handler"),
        ("shop/order.item_added", "shop-order-item_added-handler"),
    ],
)
def test_a_handler_s_id_comes_from_its_event(event: str, id: str):
    @handler(event)
    async def on_event(ctx: Context) -> None:
        pass

    assert (on_event.id, on_event.settings.triggers) == (id, [Trigger(event=event)])


def test_a_handler_s_settings_are_those_of_a_function():
    async def on_order(ctx: Context) -> None:
        pass

    short = handler(
        "order.placed",
        id="large-orders",
        filter="data.total > 1000",
        retry={"max_attempts": 5},
        concurrency=Concurrency(10, key="customerId"),
        timeout="5m",
    )(on_order)
    long = function(
        "large-orders",
        on="order.placed",
        when="data.total > 1000",
        retry=Retry(max_attempts=5),
        concurrency=Concurrency(10, key="customerId"),
        timeout="5m",
    )(on_order)

    assert short.registration() == long.registration()


async def test_a_handler_runs():
    @handler("order.placed", filter="data.total > 10")
    async def on_order(ctx: Context, data: dict[str, int]) -> int:
        return await ctx.step.run("double", lambda: data["total"] * 2)

    async with time_machine([on_order]) as machine:
        await machine.client.emit("order.placed", {"total": 1})
        assert (await machine.emit("order.placed", {"total": 21})).output == 42
        assert [run.function_id async for run in machine.client.runs.list()] == ["order-placed-handler"]


URL = "https://shop.example/api/ironflow"
EXPECTED = registration(
    "settle",
    name="Settle",
    triggers=[{"event": "order.paid", "expression": "data.total > 1"}],
    endpoint_url=URL,
    mode="push",
    timeout="5m",
    retry={"max_attempts": 5, "initial_delay": "2s", "backoff_factor": 3},
    recording_retention="30d",
    recording=True,
)


def test_the_documents_spelling_means_the_same():
    documented = {
        "id": "settle",
        "name": "Settle",
        "triggers": [{"event": "order.paid", "expression": "data.total > 1"}],
        "endpointUrl": URL,
        "preferredMode": "push",
        "timeout": 300_000,
        "retry": {"maxAttempts": 5, "initialDelayMs": 2000, "backoffFactor": 3},
        "recording": True,
        "recordingRetention": "30d",
    }

    assert registration_in(documented) == EXPECTED
    assert registration_in({**documented, "mode": "push", "preferredMode": None}) == EXPECTED


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id": "f", "endpoint": URL}, "'endpoint' is none of its settings"),
        ({"id": "f", "schema": {}}, "schema belongs to the handler"),
        ({"id": "f", "timeout": "soon"}, "timeout"),
        ({"id": "f", "triggers": "order.paid"}, "triggers"),
        ({"id": "f", "metadata": {1, 2}}, "function 'f'"),
        ({"name": "no id"}, "id"),
    ],
)
def test_a_dict_that_is_no_registration_is_refused(config: dict[str, Any], message: str):
    with pytest.raises(InvalidFunction, match=message):
        registration_in(config)


REGISTERED = answer(
    {
        "created": True,
        "function": {
            "id": "settle",
            "name": "",
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
        },
    }
)


async def test_a_client_registers_by_settings_by_dict_and_by_definition():
    network = FakeAsyncTransport(deque([REGISTERED]))
    other = FakeSyncTransport(deque([REGISTERED]))

    @function("settle", on="order.paid", endpoint_url=URL, mode="push")
    async def settle(ctx: Context) -> None:
        pass

    settings: dict[str, Any] = {
        "id": "settle", "triggers": [{"event": "order.paid"}], "endpoint_url": URL, "mode": "push",
    }  # fmt: skip
    async with Client("http://x", transport=network) as client:
        assert (await client.functions.register(**settings)).created
        await client.functions.register(
            {"id": "settle", "triggers": [{"event": "order.paid"}], "endpointUrl": URL, "mode": "push"}
        )
        await client.functions.register(settle)
        with pytest.raises(InvalidFunction, match="not both"):
            await client.functions.register(settle, id="settle")
        with pytest.raises(InvalidFunction):
            await client.functions.register()
    sync.Client("http://x", transport=other).functions.register(**settings)

    first, second, third = (each.body for each in network.sent)
    assert first == second == other.sent[0].body
    assert (first["endpoint_url"], first["metadata"], first["compensation_timeout_ms"]) == (URL, {}, 0)
    # A definition has the hash of its code besides, and compensations in executions of their own.
    assert {**third, "metadata": {}, "compensation_timeout_ms": 0} == first


async def test_what_was_registered_without_a_handler_starts_runs():
    async with time_machine([]) as machine:
        await machine.client.functions.register(id="elsewhere", on="order.paid", timeout="1m")
        emitted = await machine.client.emit("order.paid", {})
        found = await machine.client.functions.get("elsewhere")

    assert len(emitted.run_ids) == 1
    assert (found.id, found.preferred_mode) == ("elsewhere", ExecutionMode.PULL)
