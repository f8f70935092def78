"""The programs of examples/ports, whose worker and server are killed with `kill -9` in the middle."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ironflow import AskRefused
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
        await client.runs.wait(run_ids[0], timeout="40s")
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
    async with playing("polling", tmp_path, stream=True) as (play, client):
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


async def test_a_ticket_is_sold_once_and_one_that_was_not_paid_is_free_again(tmp_path: Path):
    async with playing("tickets", tmp_path, stream=True) as (play, client):

        async def add(cart: str, ticket: str, hold: str = "1h") -> bool:
            return await client.entities.call(
                "cart", cart, "add", {"cart": cart, "ticket": ticket, "hold": hold}, timeout="30s"
            )

        added = [await add("ada", "A1"), await add("ada", "A2"), await add("bob", "A1")]
        await add("eve", "A3", hold="1ms")
        play.slow("bank.pay")
        checkouts = [(await client.entities.send("cart", "ada", "checkout")).run_id for _ in range(2)]
        await play.called("bank.pay")
        await play.kill_and_start_all()

        assert added == [True, True, False]
        assert await outcomes(client, checkouts) == [["A1", "A2"], []]
        assert play.done("bank.pay") == [{"cart": "ada", "amount": 40}]
        assert play.repeated("bank.pay") == 1

        async def is_free() -> bool:
            return (await client.entities.get("ticket", "A3")).state == {"status": "free"}

        await until(is_free, "the ticket of eve is free", within_s=40)
        assert [await add("bob", ticket) for ticket in ("A1", "A3")] == [False, True]
        states = {
            "A1": ["reserved", "sold"],
            "A2": ["reserved", "sold"],
            "A3": ["reserved", "free", "reserved"],
        }
        for ticket, expected in states.items():
            history = [event.data async for event in client.entities.history("ticket", ticket)]
            assert [each["status"] for each in history] == expected
            assert (await client.entities.get("ticket", ticket)).state == history[-1]


async def test_each_prompt_of_a_chat_is_answered_once_over_kills_and_a_restart(tmp_path: Path):
    async with playing("agent", tmp_path) as (play, client):

        async def ask(text: str, key: str) -> str:
            return await client.ask(
                "agent", "ada", "prompt", {"text": text}, start=True, input={}, idempotency_key=key, timeout="60s"
            )

        answers = [await ask("Hello", "q1")]
        play.slow("model.complete", after=2)
        asking = asyncio.create_task(ask("What is the weather in Oslo?", "q2"))
        # The forecast is recorded; the completion that uses it is killed.
        await play.called("model.complete", 3)
        await play.kill_and_start_all()
        answers += [await asking, await ask("Thanks", "q3"), await ask("Bye", "q4")]

        assert answers == ["You asked: Hello", "In Oslo it rains.", "You asked: Thanks", "You asked: Bye"]
        with pytest.raises(AskRefused, match="the prompt is empty"):
            await ask(" ", "q5")
        # A repeated question gets its answer, and asks the model nothing.
        assert await ask("What is the weather in Oslo?", "q2") == "In Oslo it rains."
        assert play.done("weather.forecast") == [{"city": "Oslo"}]
        assert (len(play.done("model.complete")), play.repeated("model.complete")) == (5, 1)
        chain = [link.status async for link in client.runs.chain("agent", key="ada")]
        assert [status.ended for status in chain] == [True, False]

        async def listens() -> bool:
            return await client.runs.value("agent", "doing", key="ada") == "listening"

        await until(listens, "the agent listens", within_s=40)


async def test_each_mail_to_a_new_user_is_sent_once_and_none_to_a_deleted_one(tmp_path: Path):
    async with playing("onboarding", tmp_path, stream=True) as (play, client):
        play.slow("mail.send")
        patience = {"ada": "1h", "bob": "1ms", "eve": "1h"}
        runs = {
            user: (await client.emit("user.signed_up", {"userId": user, "pause": "1ms", "patience": each})).run_ids[0]
            for user, each in patience.items()
        }
        await play.called("mail.send", 3)
        await play.kill_all()
        await client.emit("user.deleted", {"userId": "eve"})
        play.release()
        play.start_worker()

        async def ada_waits() -> bool:
            return (await client.runs.get(runs["ada"])).pause_reason == "wait_event"

        await outcomes(client, [runs["bob"], runs["eve"]])
        await until(ada_waits, "the run of ada waits for a first post", within_s=40)
        await play.kill_all()
        await client.emit("post.created", {"userId": "ada"})
        play.start_worker()

        assert await outcomes(client, runs.values()) == [
            ["welcome", "advice", "congratulations"],
            ["welcome", "advice", "nudge"],
            ("cancelled", None),
        ]
        mails = {user: [each["text"] for each in play.done("mail.send") if each["to"] == user] for user in runs}
        assert mails == {
            "ada": ["welcome", "advice", "congratulations"],
            "bob": ["welcome", "advice", "nudge"],
            "eve": ["welcome"],
        }
        assert play.repeated("mail.send") == 2


async def test_each_subscriber_gets_an_issue_once_and_those_that_pay_get_it_first(tmp_path: Path):
    async with playing("newsletter", tmp_path) as (play, client):
        play.slow("mail.send", after=2)
        await client.schedules.create("weekly", "send-newsletter", {"topic": "gardens"}, cron="0 8 * * 1")
        weekly = await client.schedules.trigger("weekly")
        await play.called("mail.send", 3)
        # Its moment comes while worker and server are killed, or about then.
        soon = datetime.now(UTC) + timedelta(seconds=1)
        await client.schedules.create("extra", "send-newsletter", {"topic": "harbours"}, at=soon)
        await play.kill_and_start_all()

        assert await outcomes(client, [weekly]) == [{"topic": "gardens", "sent": 7, "bounced": ["unknown"]}]

        async def extra_has_run() -> bool:
            return (await client.schedules.get("extra")).started == 1

        await until(extra_has_run, "the extra issue is started", within_s=40)
        (extra,) = [run.id async for run in client.runs.list(function_id="send-newsletter") if run.id != weekly]
        assert await outcomes(client, [extra]) == [{"topic": "harbours", "sent": 1, "bounced": ["unknown"]}]
        sent = [each["to"] for each in play.done("mail.send") if each["topic"] == "gardens"]
        assert sorted(sent) == ["basic-0", "basic-1", "basic-2", "basic-3", "basic-4", "gold-5", "gold-6"]
        # The first subscriber may be on its way when the others come.
        assert {"gold-5", "gold-6"} <= set(sent[:3])
        assert len(play.done("mail.send")) == 8
        assert play.repeated("mail.send") == 1


async def test_a_meal_is_brought_by_one_courier_and_money_released_once_where_it_is_not(tmp_path: Path):
    async with playing("food_order", tmp_path, stream=True) as (play, client):
        patience = {"o1": "1h", "o2": "1h", "o3": "1ms"}
        play.slow("bank.release")
        runs = {
            order: (await client.emit("order.placed", {"id": order, "meal": "soup", "patience": each})).run_ids[0]
            for order, each in patience.items()
        }

        async def is_cooking(order: str) -> bool:
            return (await client.runs.get(runs[order])).pause_reason == "wait_event"

        for order in ("o1", "o2"):
            await until(lambda order=order: is_cooking(order), f"{order} is cooked", within_s=40)
        await client.runs.cancel("deliver-order", key="o2")
        await play.called("bank.release", 2)
        await play.kill_all()
        await client.emit("meal.ready", {"runId": runs["o1"]})
        play.release()
        play.slow("courier.cancel")
        play.start_worker()
        await play.called("courier.book", 2)
        await client.emit("courier.accepted", {"id": "o1:steady"})
        await play.called("courier.cancel")
        await play.kill_and_start_all()

        assert await outcomes(client, runs.values()) == [
            {"order": "o1", "courier": "steady"},
            ("cancelled", None),
            ("failed", "NOT_COOKED"),
        ]
        assert play.done("courier.cancel") == [{"courier": "swift", "order": "o1"}]
        assert play.done("bank.capture") == [{"order": "o1"}]
        assert sorted(each["order"] for each in play.done("bank.release")) == ["o2", "o3"]
        assert sorted(each["order"] for each in play.done("bank.authorize")) == ["o1", "o2", "o3"]
        counted = {action: play.repeated(action) for action in ("bank.release", "courier.cancel", "courier.book")}
        assert counted == {"bank.release": 2, "courier.cancel": 1, "courier.book": 0}
        assert await client.runs.value(runs["o1"], "status") == "on its way"
