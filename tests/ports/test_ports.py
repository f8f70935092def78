"""The programs of examples/ports, whose worker and server are killed with `kill -9` in the middle."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.until import until
from tests.ports.playing import outcomes, playing

pytestmark = [pytest.mark.processes]


async def test_money_is_withdrawn_deposited_and_refunded_once(tmp_path: Path):
    async with playing("money_transfer", tmp_path) as (play, client):
        play.slow("bank.withdraw")
        transfers = [
            {"id": "t1", "source": "ada", "target": "bob", "amount": 25},
            {"id": "t2", "source": "eve", "target": "closed", "amount": 30},
        ]
        run_ids = [(await client.emit("transfer.requested", each)).run_ids[0] for each in transfers]
        await play.called("bank.withdraw", 2)
        play.slow("bank.refund")
        await play.kill_all()
        (play.folder / "bank.withdraw.slow").unlink()
        play.start_worker()
        await play.called("bank.refund")
        await play.kill_and_start_all()

        assert await outcomes(client, run_ids) == [{"transfer": "t1", "amount": 25}, ("failed", "NO_SUCH_ACCOUNT")]
        withdrawn = sorted(each["account"] for each in play.done("bank.withdraw"))
        assert withdrawn == ["ada", "eve"]
        assert play.done("bank.deposit") == [{"account": "bob", "amount": 25}]
        assert play.done("bank.refund") == [{"account": "eve", "amount": 30}]
        # The bodies that were killed ran twice; the key of the step made them count once.
        assert [play.repeated(f"bank.{action}") for action in ("withdraw", "deposit", "refund")] == [2, 0, 1]


async def test_a_change_of_a_subscription_is_taken_once_and_each_period_is_charged_once(tmp_path: Path):
    async with playing("subscription", tmp_path, stream=True) as (play, client):
        play.slow("bank.charge")
        plan = {"customer": "ada", "amount": 5, "trial": "50ms", "period": "50ms", "periods": 5}
        run = await client.invoke("subscribe", plan, key="ada")
        await play.called("bank.charge")
        await client.send("subscribe", "ada", "command", {"amount": 9})
        await play.kill_all()
        again = await client.invoke("subscribe", plan, key="ada")
        play.release()
        play.start_worker()

        assert await outcomes(client, [run.run_id]) == [{"status": "ended", "charged": 5}]
        assert (again.existing, again.run_id) == (True, run.run_id)
        assert [each["amount"] for each in play.done("bank.charge")] == [5, 9, 9, 9, 9]
        assert play.repeated("bank.charge") == 1
        assert [call["data"]["text"] for call in play.calls("mail.send")] == ["welcome", "goodbye"]
        chain = [link async for link in client.runs.chain(run.run_id)]
        assert [link.status for link in chain] == ["completed"] * 3
        shown = await client.runs.value("subscribe", "subscription", key="ada")
        assert shown == {"status": "ended", "amount": 9, "charged": 5}


async def test_a_polled_job_is_submitted_once_and_fetched_from_the_part_that_was_shown_last(tmp_path: Path):
    async with playing("polling", tmp_path) as (play, client):
        play.slow("studio.fetch.3")
        emitted = await client.emit("render.requested", {"film": "tides", "polls": 4, "parts": 5})

        async def shows_progress() -> bool:
            return any(step.progress == 3 for step in await client.runs.steps(emitted.run_ids[0]))

        await until(shows_progress, "the third part is shown", within_s=40)
        await play.kill_and_start_all()

        assert await outcomes(client, emitted.run_ids) == [{"job": "job-tides", "fetched": 5}]
        assert [len(play.calls(f"studio.{action}")) for action in ("submit", "poll")] == [1, 4]
        # Part 3 was fetched by the killed body; the next one began there.
        assert [len(play.calls(f"studio.fetch.{part}")) for part in range(5)] == [1, 1, 1, 2, 1]


async def test_an_order_is_paid_once_and_stock_restored_where_no_payment_comes(tmp_path: Path):
    async with playing("widget_store", tmp_path, stream=True) as (play, client):
        orders = {"paid": "1h", "late": "1ms", "refused": "1h"}
        play.slow("carrier.move", after=1)
        run_ids = [
            (await client.invoke("checkout", {"sku": "widget", "patience": patience}, key=key)).run_id
            for key, patience in orders.items()
        ]
        for key in ("paid", "refused"):
            order = await client.runs.value("checkout", "order", key=key, wait="20s")
            assert order["status"] == "awaiting payment"
        await play.kill_all()
        # No worker runs: the payments are kept.
        for paid, key in ((True, "paid"), (False, "refused")):
            await client.send("checkout", key, "payment", {"paid": paid}, idempotency_key=key)
            await client.send("checkout", key, "payment", {"paid": paid}, idempotency_key=key)
        play.start_worker()
        await play.called("carrier.move", 2)
        await play.kill_and_start_all()

        assert await outcomes(client, run_ids) == ["paid", "cancelled", "cancelled"]
        (parcel,) = [run async for run in client.runs.list(function_id="dispatch")]
        assert await outcomes(client, [parcel.id]) == [None]
        assert await client.runs.value(parcel.id, "parcel") == "delivered"
        assert [move["to"] for move in play.done("carrier.move")] == ["packed", "on its way", "delivered"]
        assert play.repeated("carrier.move") == 1
        assert sorted(each["order"] for each in play.done("bank.request")) == sorted(run_ids)
        history = [event.data["left"] async for event in client.entities.history("stock", "widget")]
        assert len(history) == 5
        assert [abs(after - before) for before, after in pairwise([12, *history])] == [1] * 5
        assert (await client.entities.get("stock", "widget")).state == {"left": history[-1]} == {"left": 11}


async def test_each_page_is_read_once_and_an_unreadable_one_is_named(tmp_path: Path):
    async with playing("document_index", tmp_path) as (play, client):
        play.slow("reader.read", after=8)
        documents = [{"name": "atlas", "pages": 20}, {"name": "coffee stain", "pages": 4}]
        emitted = await client.emit("documents.added", {"batch": "b1", "documents": documents})
        # Five pages at a time: three more than those that were answered are read, and no other begins.
        await play.called("reader.read", 13)
        await play.kill_and_start_all()

        missing = [{"document": "coffee stain", "page": 1}]
        assert await outcomes(client, emitted.run_ids) == [{"letters": 2300, "missing": missing}]
        pages = [(each["document"], each["page"]) for each in play.done("reader.read")]
        assert sorted(pages) == sorted(
            [("atlas", page) for page in range(1, 21)] + [("coffee stain", page) for page in range(2, 5)]
        )
        assert play.repeated("reader.read") == 5
        assert len([run async for run in client.runs.list(function_id="index-page")]) == 24
