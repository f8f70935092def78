"""Orders as streams: no decision on stale state, old events are readable, read models are rebuilt."""

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from ironflow import NonRetryableError
from ironflow.projection import create_projection
from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.examples.apps import EXAMPLES, load_app
from tests.support.waiting import eventually

APP = load_app("order-history")
PLACED = {"id": "order-1", "customer": "Ada", "amount": 1999, "currency": "EUR"}

pytestmark = pytest.mark.processes


@pytest.fixture
def server(tmp_path):
    server = ServerProcess(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with Client(server.url) as client:
        yield client


@contextmanager
def program(server, client):
    """`python app.py`, once the server knows its definitions."""
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=EXAMPLES / "order-history",
        env={**os.environ, "IRONFLOW_SERVER_URL": server.url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: {each.id for each in client.functions.list()} == {"change-order", "confirm-order"})
        eventually(lambda: {each.name for each in client.projections.list()} == {"open-orders", "revenue"})
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def place(client, order_id, *, version=2):
    """Places an order of 19.99 EUR in the format of that version; returns the runs it started."""
    price = {"total": 19.99} if version == 1 else {"amount": 1999, "currency": "EUR"}
    data = {"id": order_id, "customer": "Ada", **price}
    return client.streams.append(order_id, "order.placed", data, entity_type="order", version=version).run_ids


def change(client, order_id, event):
    return client.invoke_sync("change-order", {"id": order_id, "event": event})


def orders(client):
    """Three orders: the first is paid, the second is cancelled, nothing happened to the third."""
    for number in (1, 2, 3):
        place(client, f"order-{number}", version=1 if number == 1 else 2)
    client.streams.append("order-1", "order.paid", {"id": "order-1"})
    client.streams.append("order-2", "order.cancelled", {"id": "order-2"})


def rows(client):
    found = client.sql_projections.query("revenue", order_by="id")
    return [(row["id"], row["amount"], row["paid"]) for row in found.dicts()]


async def test_of_concurrent_payments_and_cancellations_one_kind_is_recorded_once(server):
    async with server.client() as client:
        await client.streams.append("order-1", "order.placed", PLACED, entity_type="order", version=2)
        asked = ["order.paid", "order.cancelled"] * 10
        outcomes = await asyncio.gather(
            *(APP.change(client, "order-1", name) for name in asked), return_exceptions=True
        )
        names = [event.name async for event in client.streams.read("order-1")]

    won = names[1]
    winner = APP.Order(status=won.removeprefix("order."), amount=1999, currency="EUR", version=2)
    assert names == ["order.placed", won]
    assert [each for name, each in zip(asked, outcomes, strict=True) if name == won] == [winner] * 10
    assert {type(each) for name, each in zip(asked, outcomes, strict=True) if name != won} == {NonRetryableError}


def test_an_order_of_the_first_version_is_confirmed_changed_and_read_like_a_current_one(server, client):
    with program(server, client):
        runs = [place(client, f"order-{version}", version=version)[0] for version in (1, 2)]
        confirmed = [client.runs.wait(run).output for run in runs]
        paid = [change(client, f"order-{version}", "order.paid") for version in (1, 2)]
        kept = [next(iter(client.streams.read(f"order-{version}"))).data for version in (1, 2)]

    assert confirmed == [f"to Ada: we have your order order-{version} of 19.99 EUR." for version in (1, 2)]
    assert paid == [{"status": "paid", "amount": 1999, "currency": "EUR", "version": 2}] * 2
    # The log is unchanged.
    assert kept == [{"id": "order-1", "customer": "Ada", "total": 19.99}, {**PLACED, "id": "order-2"}]


def test_an_invalid_change_is_refused_and_a_repeated_one_is_recorded_once(server, client):
    with program(server, client):
        place(client, "order-1")
        twice = [change(client, "order-1", "order.paid") for _ in range(2)]
        run = client.runs.wait(client.invoke("change-order", {"id": "order-1", "event": "order.cancelled"}).run_id)
        names = [event.name for event in client.streams.read("order-1")]

    assert twice[0] == twice[1]
    assert (run.status, run.attempt) == ("failed", 1)
    assert "order.cancelled needs an order that is placed; this one is paid." in run.error.message
    assert names == ["order.placed", "order.paid"]


def test_a_rebuild_folds_the_whole_log_with_the_current_reducer(server, client):
    def forgetful(state, event):
        """The reducer before cancelled orders existed."""
        return {**state, event.data["id"]: event.name.removeprefix("order.")}

    before = create_projection(name="open-orders", events=["order.*"], handler=forgetful, initial_state={})
    with server.worker([], projections=[before]):
        orders(client)
        eventually(lambda: [each.name for each in client.projections.list()] == ["open-orders"])
        assert client.projections.wait("open-orders").caught_up
    with program(server, client):
        place(client, "order-4")
        assert client.projections.wait("open-orders").caught_up
        stale = client.projections.get("open-orders").state
        client.projections.rebuild("open-orders")
        eventually(lambda: client.projections.rebuild_job("open-orders").status == "completed")
        rebuilt = client.projections.get("open-orders").state

    assert stale == {"order-1": "paid", "order-2": "cancelled", "order-3": "placed", "order-4": "placed"}
    assert rebuilt == {"order-1": "paid", "order-3": "placed", "order-4": "placed"}


def test_a_rebuild_fills_the_table_with_the_current_statements(server, client):
    # The state before the second version existed: its amounts are ignored.
    before = {
        **APP.REVENUE,
        "order.placed": """
            INSERT INTO proj_revenue (id, customer, amount)
            VALUES (:data.id, :data.customer, CAST(round(coalesce(:data.total, 0) * 100) AS BIGINT))""",
    }
    client.sql_projections.create("revenue", table=APP.REVENUE_TABLE, on=before)
    orders(client)
    assert client.projections.wait("revenue").caught_up
    with program(server, client):
        # The program has registered the current statements; they apply from now on.
        eventually(lambda: client.sql_projections.get("revenue").event_handlers == APP.REVENUE)
        place(client, "order-4")
        assert client.projections.wait("revenue").caught_up
        stale = rows(client)
        client.sql_projections.rebuild("revenue")
        eventually(lambda: rows(client) != stale)
        rebuilt = rows(client)

    assert stale == [("order-1", 1999, 1), ("order-2", 0, 0), ("order-3", 0, 0), ("order-4", 1999, 0)]
    assert rebuilt == [("order-1", 1999, 1), ("order-2", 1999, 0), ("order-3", 1999, 0), ("order-4", 1999, 0)]
