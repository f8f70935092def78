"""The quickstart: realistic orders, a durable function, and services that fail as described."""

import asyncio
import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.cli.process import Child, start_server
from ironflow.sync import Client
from tests.support.waiting import eventually

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
LINES = (QUICKSTART / "orders.jsonl").read_bytes().splitlines()
ORDERS = [msgspec.json.decode(line) for line in LINES]


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """The example's two modules, loaded from its folder and unloaded afterwards."""
    monkeypatch.syspath_prepend(str(QUICKSTART))
    monkeypatch.setenv("QUICKSTART_RECORDS", str(tmp_path / "outside"))
    loaded: dict[str, Any] = {}
    for name in ("services", "app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        loaded[name] = importlib.import_module(name)
    yield loaded
    for name in loaded:
        sys.modules.pop(name, None)


def moods(services, order):
    """The services that fail for an order."""
    skus = {item["sku"] for item in order["items"]}
    return [
        mood
        for mood, troubled in (
            ("stock", services.RECOUNTED_SKU in skus),
            ("slow card", order["card"] == services.SLOW_CARD),
            ("mail", order["customer"]["email"].endswith(services.GREYLISTING_DOMAIN)),
            ("dead card", order["card"] == services.DEAD_CARD),
        )
        if troubled
    ]


def test_every_order_has_the_declared_shape_and_adds_up(shop):
    orders = [msgspec.json.decode(line, type=shop["app"].Order) for line in LINES]

    assert len({order.id for order in orders}) == len(orders) == 240
    assert all(sum(item.quantity * item.unit_price for item in order.items) == order.total for order in orders)
    assert len({order.currency for order in orders}) > 5


def test_about_one_order_in_ten_fails_once_and_exactly_one_always(shop):
    troubles = [moods(shop["services"], order) for order in ORDERS]

    assert Counter(len(each) for each in troubles) == {0: 214, 1: 26}
    assert Counter(each[0] for each in troubles if each) == {"stock": 9, "slow card": 9, "mail": 7, "dead card": 1}


def test_an_unreliable_service_refuses_the_first_call_of_a_run_and_accepts_the_second(shop):
    services = shop["services"]

    async def reserve(key):
        return await services.reserve_stock({services.RECOUNTED_SKU: 1}, key=key)

    with pytest.raises(services.Refused, match="being recounted"):
        asyncio.run(reserve("run_00000001"))
    assert asyncio.run(reserve("run_00000001")) == "res_00000001"
    with pytest.raises(services.Refused):
        asyncio.run(reserve("run_00000002"))


def test_every_call_is_one_line_of_the_journal(shop, tmp_path):
    services = shop["services"]
    asyncio.run(services.charge_card("tok_visa", 100, "EUR", key="run_00000001"))
    with pytest.raises(services.Refused):
        asyncio.run(services.charge_card(services.DEAD_CARD, 100, "EUR", key="run_00000002"))

    lines = [msgspec.json.decode(line) for line in (tmp_path / "outside" / "calls.jsonl").read_bytes().splitlines()]
    assert [(line["run"], line["step"], line["what"]) for line in lines] == [
        ("run_00000001", "charge-card", "started"),
        ("run_00000001", "charge-card", "finished"),
        ("run_00000002", "charge-card", "started"),
        ("run_00000002", "charge-card", "refused"),
    ]


@pytest.mark.processes
def test_orders_go_through_a_real_server_and_worker(tmp_path):
    good = next(line for line in LINES if b"tok_visa" in line and b"CHAIR" not in line and b"greylisted" not in line)
    once = next(line for line in LINES if b"tok_issuer_slow" in line)
    never = next(line for line in LINES if b"tok_processor_down" in line)
    server, url = start_server(["--dev", "--port", "0", "--db", str(tmp_path / "x.db")], output=subprocess.DEVNULL)
    worker = Child(
        ["worker", "app.py:functions"],
        folder=QUICKSTART,
        output=subprocess.DEVNULL,
        environment={"IRONFLOW_SERVER_URL": url, "QUICKSTART_RECORDS": str(tmp_path / "outside")},
    )
    try:
        with Client(url) as client:
            eventually(lambda: any(each.id == "process-order" for each in client.functions.list()))
            runs = [client.emit("order.placed", msgspec.Raw(line)).run_ids[0] for line in (good, once, never)]
            eventually(lambda: all(client.runs.get(run).ended_at is not None for run in runs))
            ended = [client.runs.get(run) for run in runs]
            steps = [[step.name for step in client.runs.steps(run) if step.status == "completed"] for run in runs]
    finally:
        worker.stop()
        server.stop()

    assert [(run.status, run.attempt) for run in ended] == [("completed", 1), ("completed", 2), ("failed", 3)]
    assert steps == [
        ["reserve-stock", "charge-card", "send-confirmation"],
        ["reserve-stock", "charge-card", "send-confirmation"],
        ["reserve-stock"],
    ]
    assert ended[0].output["order"] == msgspec.json.decode(good)["id"]
    assert ended[2].error is not None
    assert "no answer to a charge" in ended[2].error.message
