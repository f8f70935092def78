"""What is sent to the programs of the guides before and after the server is killed, and what must come of it."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from ironflow import Client
from ironflow.cli.app import run_command
from tests.examples.restarts import DOCS, Scene, block, command, run_block

ALL = list(range(10))
FIRST, SECOND = ALL[:5], ALL[5:]


def greetings(scene: Scene) -> Iterator[None]:
    def join(numbers: list[int]) -> list[str]:
        return [scene.client.emit("user.joined", {"email": f"{each}"}).run_ids[0] for each in numbers]

    scene.serves("greet")
    runs = join(FIRST)
    scene.until(lambda: bool(scene.calls("send_mail")))
    yield
    runs += join(SECOND)
    scene.completed(runs)
    assert {*scene.calls("send_mail")} == {str(each) for each in ALL}
    assert [scene.steps(each) for each in runs] == [["mail"]] * 10


def orders(scene: Scene) -> Iterator[None]:
    client = scene.client
    scene.serves("process-order", "nightly-report", "pay", "close-order")
    processed: list[str] = []
    ending: list[str] = []

    def order(number: int) -> None:
        name = f"o{number}"
        data = {"id": name, "card": name, "amount": 100}
        for run in client.emit("order.placed", data).run_ids:
            (processed if client.runs.get(run).function_id == "process-order" else ending).append(run)
        ending.append(client.invoke("nightly-report").run_id)
        ending.extend(client.streams.append(name, "order.paid", {"id": name}, entity_type="order").run_ids)

    def sleeping(run: str) -> bool:
        return client.runs.get(run).pause_reason == "sleep"

    order(1)
    scene.until(lambda: any(map(sleeping, processed)))
    before = client.runs.get(processed[0])
    yield
    order(2)
    scene.completed(ending)
    scene.until(lambda: all(map(sleeping, processed)))
    assert (len(processed), len(ending)) == (2, 6)
    assert client.runs.get(processed[0]).attempt == before.attempt
    assert [scene.steps(each) for each in processed] == [["charge", "cool-off"]] * 2
    for name in ("o1", "o2"):
        assert [event.name for event in client.streams.read(name)] == ["order.paid", "order.closed"]


def waits(scene: Scene) -> Iterator[None]:
    client = scene.client
    scene.serves("pay-invoice", "collect-votes", "checkout")
    invoices = [client.emit("invoice.received", {"invoiceId": each}).run_ids[0] for each in ("i1", "i2")]
    (poll,) = client.emit("poll.opened", {"pollId": "p", "voters": 4}).run_ids
    (late,) = client.emit("order.placed", {"orderId": "o"}).run_ids
    scene.until(lambda: all(client.runs.get(each).pause_reason for each in (*invoices, poll, late)))
    for vote in (1, 2):
        client.emit("vote.cast", {"pollId": "p", "vote": vote})
    client.emit("invoice.approved", {"invoiceId": "i1", "approved": True})
    yield
    for vote in (3, 4):
        client.emit("vote.cast", {"pollId": "p", "vote": vote})
    client.emit("invoice.approved", {"invoiceId": "i2", "approved": True})
    client.emit("order.paid", {"orderId": "o", "by": "ada"})
    *_, votes, outcome = scene.completed([*invoices, poll, late])
    assert [each["vote"] for each in votes] == [1, 2, 3, 4]
    assert outcome[0] == "paid"
    assert {each["invoiceId"] for each in scene.calls("pay")} == {"i1", "i2"}


def chat(scene: Scene) -> Iterator[None]:
    scene.serves("chat")

    opening = block("guides/run-messages.md", "start=True").splitlines()[0]

    async def send() -> None:
        async with Client() as client:
            await run_block(opening, client=client)

    asyncio.run(send())
    scene.until(lambda: {"text": "hello"} in scene.calls("think"))
    run = scene.client.runs.get("chat", key="ada")
    yield
    answer = scene.client.ask("chat", "ada", "prompt", {"text": "again"}, timeout="60s")
    assert answer == {"id": "think"}
    assert [each for each in ("hello", "again") if {"text": each} not in scene.calls("think")] == []
    assert scene.client.runs.get("chat", key="ada").id == run.id


def long_chat(scene: Scene) -> Iterator[None]:
    scene.serves("chat")
    run = scene.client.invoke("chat", {}).run_id
    for each in FIRST:
        scene.client.send(run, "", "prompt", each)
    yield
    for each in SECOND:
        scene.client.send(run, "", "prompt", each)
    scene.until(lambda: len(list(scene.client.runs.steps(run))) > len(ALL))
    assert [step.output["data"] for step in list(scene.client.runs.steps(run))[:10]] == ALL


def packing(scene: Scene) -> Iterator[None]:
    scene.serves("ship")

    def ship(key: str) -> str:
        run = scene.client.invoke("ship", {"orderId": key}).run_id
        scene.until(lambda: scene.client.runs.get(run).pause_reason == "sleep")
        return run

    def status(key: str) -> object:
        return scene.client.runs.value("ship", "status", key=key, wait="30s")

    ship("o-7")
    yield
    ship("o-8")
    assert [status(key) for key in ("o-7", "o-8")] == [{"at": "waiting for the truck"}] * 2
    assert {each["orderId"] for each in scene.calls("pack")} == {"o-7", "o-8"}


def keys(scene: Scene) -> Iterator[None]:
    scene.serves("fulfil")
    runs = scene.client.emit("order.placed", {"orderId": "1"}).run_ids
    yield
    runs += scene.client.emit("order.placed", {"orderId": "2"}).run_ids
    scene.completed(runs)
    assert len({*runs}) == 2


def imports(scene: Scene) -> Iterator[None]:
    def ask(pages: list[int]) -> list[str]:
        return scene.client.emit("import.requested", {"pages": pages}).run_ids

    scene.serves("import", "index")
    runs = ask(FIRST)
    scene.until(lambda: bool(scene.calls("read")))
    yield
    runs += ask(SECOND)
    outputs = scene.completed(runs)
    assert outputs == [FIRST, SECOND]
    assert {*scene.calls("read")} == {*ALL}


def payments(scene: Scene) -> Iterator[None]:
    client = scene.client
    scene.serves("payment.make", "payment.cancel", "payment.status")

    def clearing(key: str) -> None:
        client.emit("payment.make", {"id": key, "amount": 100})
        scene.until(lambda: any(each["id"] == key for each in scene.calls("authorize")))

    clearing("p1")
    client.entities.call("payment", "p0", "cancel", {"by": "ada"}, timeout="1m", idempotency_key="c-7")
    yield
    clearing("p2")
    again = client.entities.call("payment", "p0", "cancel", {"by": "ada"}, timeout="1m", idempotency_key="c-7")
    assert again is None
    assert client.entities.get("payment", "p0").state == {"status": "cancelled", "by": "ada"}
    for key in ("p1", "p2"):
        scene.until(lambda key=key: client.entities.call("payment", key, "status", timeout="1m") == "clearing")
    assert {each["id"] for each in scene.calls("authorize")} == {"p1", "p2"}


def films(scene: Scene) -> Iterator[None]:
    scene.serves("fetch", "film", "encode-on-here")
    runs = scene.client.emit("film.uploaded", {"name": "tides"}).run_ids
    scene.until(lambda: "tides" in scene.calls("encoding"))
    yield
    runs += scene.client.emit("film.uploaded", {"name": "waves"}).run_ids
    scene.until(lambda: {*scene.calls("encoding")} == {"tides", "waves"})
    (scene.folder / "finish").touch()
    assert scene.completed(runs) == [{"host": "here", "film": "TIDES"}, {"host": "here", "film": "WAVES"}]


def schedules(scene: Scene) -> Iterator[None]:
    client = scene.client
    scene.serves("report", "poll", "launch")

    async def create() -> None:
        async with Client() as client:
            await run_block(block("guides/schedules.md", "launch"), client=client, datetime=datetime, UTC=UTC)

    asyncio.run(create())
    before = {each.id: (each.function_id, each.next_at) for each in client.schedules.list()}
    runs = [client.schedules.trigger("poll")]
    yield
    after = {each.id: (each.function_id, each.next_at) for each in client.schedules.list()}
    assert before == after
    assert {*after} == {"report-acme", "poll", "launch"}
    runs.append(client.schedules.trigger("report-acme"))
    assert scene.completed(runs)[1] == {"customer": "acme"}


def billing(scene: Scene) -> Iterator[None]:
    def publish(numbers: list[int]) -> None:
        for each in numbers:
            scene.client.publish("orders.placed", each)

    publish(FIRST)
    scene.until(lambda: bool(scene.calls("charge")))
    yield
    publish(SECOND)
    # What the killed server had handed out comes again when the lease of its member is over.
    scene.until(lambda: {*scene.calls("charge")} == {*ALL})


def billing_events(scene: Scene) -> Iterator[None]:
    def emit(numbers: list[int]) -> None:
        for each in numbers:
            scene.client.emit("order.placed", {"card": each})

    # The group is made by its first member, and begins then.
    scene.until(lambda: [each.name for each in scene.client.consumer_groups.list()] == ["billing"])
    emit(FIRST)
    scene.until(lambda: bool(scene.calls("charge_card")))
    yield
    emit(SECOND)
    scene.until(lambda: {*scene.calls("charge_card")} == {*ALL})


def follower(scene: Scene) -> Iterator[None]:
    def emit(number: int) -> None:
        scene.client.emit("order.placed", {"total": 1000 + number, "number": number})

    def numbers() -> list[int]:
        return [int(each) for each in re.findall(r"number\W+(\d+)", "\n".join(scene.output))]

    scene.sent_until(emit, lambda: bool(numbers()))
    for each in FIRST:
        emit(each)
    scene.until(lambda: 0 in numbers())
    yield
    for each in SECOND:
        emit(each)
    scene.until(lambda: 9 in numbers())
    assert [each for each in numbers() if each < 1000] == ALL


def connection(scene: Scene) -> Iterator[None]:
    story = follower(scene)
    next(story)
    states = [line for line in scene.output if line.startswith("subscription is")]
    yield
    yield from story
    assert len([line for line in scene.output if line.startswith("subscription is")]) > len(states)


def stream(scene: Scene) -> Iterator[None]:
    def append(number: int) -> None:
        scene.client.streams.append("order-7", "order.changed", {"number": number}, entity_type="order")

    def numbers() -> list[int]:
        return [int(each) for each in re.findall(r"number\W+(\d+)", "\n".join(scene.output))]

    scene.sent_until(append, lambda: bool(numbers()))
    for each in FIRST:
        append(each)
    scene.until(lambda: 0 in numbers())
    yield
    for each in SECOND:
        append(each)
    scene.until(lambda: 9 in numbers())
    assert [each for each in numbers() if each < 1000] == ALL


def totals(scene: Scene) -> Iterator[None]:
    client = scene.client

    def place(numbers: list[int]) -> None:
        for each in numbers:
            client.emit("order.placed", {"id": each, "amount": 10, "customerId": "c-17"})
            client.emit("order.paid", {"id": each, "customerId": "c-17"})

    def count(projection: str, field: str, partition: str = "") -> int:
        return client.projections.get(projection, partition=partition).state[field]

    scene.until(lambda: {"order-totals", "receipts", "customers"} <= {each.name for each in client.projections.list()})
    place(FIRST)
    scene.until(lambda: count("order-totals", "count") > 0)
    yield
    place(SECOND)
    scene.until(lambda: count("order-totals", "count") == 10)
    scene.until(lambda: count("customers", "orders", "c-17") == 20)
    assert client.projections.get("order-totals").state == {"count": 10, "amount": 100}
    # A receipt may be written again, and none is left out.
    assert client.projections.wait("receipts", timeout="60s").caught_up
    assert {*re.findall(r"receipt\b.*\border=(\d)", scene.log)} == {str(each) for each in ALL}


def history(scene: Scene) -> Iterator[None]:
    client = scene.client
    scene.serves("change-order", "confirm-order")
    scene.until(lambda: {each.name for each in client.projections.list()} == {"open-orders", "revenue"})
    changed: list[str] = []

    def place(number: int) -> None:
        data = {"id": f"order-{number}", "customer": "Ada", "amount": 1999, "currency": "EUR"}
        client.streams.append(data["id"], "order.placed", data, entity_type="order", version=2)
        changed.append(client.invoke("change-order", {"id": data["id"], "event": "order.paid"}).run_id)

    for each in FIRST:
        place(each)
    yield
    for each in SECOND:
        place(each)
    scene.completed(changed)
    for projection in ("open-orders", "revenue"):
        assert client.projections.wait(projection, timeout="60s").caught_up
    assert client.projections.get("open-orders").state == {f"order-{each}": "paid" for each in ALL}
    rows = client.sql_projections.query("revenue").dicts()
    assert sorted((row["id"], row["amount"], row["paid"]) for row in rows) == [(f"order-{n}", 1999, 1) for n in ALL]


def sql_orders(scene: Scene) -> Iterator[None]:
    client = scene.client
    (definition,) = re.findall(r"sql-projections -d '(\{.*?\n\})'", (DOCS / "guides/sql.md").read_text(), re.DOTALL)
    made = json.loads(definition)
    client.sql_projections.create(made["name"], table=made["table_sql"], on=made["event_handlers"])

    def place(numbers: list[int]) -> None:
        for _ in numbers:
            client.emit("order.placed", {"customer": "Ada", "amount": 50})
            client.emit("order.refunded", {"customer": "Ada", "amount": 1})

    place(FIRST)
    yield
    place(SECOND)
    assert client.projections.wait("orders", timeout="60s").caught_up
    (row,) = client.sql_projections.query("orders", where="total > 100", order_by="total DESC").dicts()
    assert (row["customer"], row["orders"], float(row["total"])) == ("Ada", 10, 490.0)


def kv_watch(scene: Scene) -> Iterator[None]:
    sessions = scene.client.kv.bucket("sessions")
    yield from changes(scene, lambda number: sessions.put(f"user.{number}", {"number": number}), {*ALL})


def config_watch(scene: Scene) -> Iterator[None]:
    # Of several changes that come while nothing is connected, a document's watch shows the newest.
    yield from changes(scene, lambda number: scene.client.config.set("app", {"limit": 1, "number": number}), {9})


def changes(scene: Scene, change: Callable[[int], object], shown: set[int]) -> Iterator[None]:
    """shown: the numbers that the watch is certain to show."""

    def seen() -> list[int]:
        texts = [*scene.output, *(json.dumps(each) for each in scene.recorded)]
        return [int(each) for text in texts for each in re.findall(r"number\W+(\d+)", text)]

    scene.sent_until(change, lambda: bool(seen()))
    for each in FIRST:
        change(each)
    scene.until(lambda: 4 in seen())
    yield
    for each in SECOND:
        change(each)
    scene.until(lambda: 9 in seen())
    assert shown <= {*seen()}


def receipts(scene: Scene) -> Iterator[None]:
    def place(amount: int) -> list[str]:
        return scene.client.emit("order.placed", {"amount": amount}).run_ids

    scene.serves("process-order")
    runs = place(1250)
    scene.until(lambda: scene.client.runs.get(runs[0]).pause_reason == "sleep")
    yield
    runs += place(500)
    assert scene.completed(runs) == ["14.87 EUR", "5.95 EUR"]
    assert [scene.steps(each) for each in runs] == [["add tax", "cool off", "write receipt"]] * 2


def welcomes(scene: Scene) -> Iterator[None]:
    def create(name: str) -> list[str]:
        return scene.client.emit("user.created", {"name": name}).run_ids

    port = str(scene.server.other_port)
    scene.listens()
    register = [each.replace("localhost:8000", f"127.0.0.1:{port}") for each in command("guides/push.md", "register")]
    assert run_command(register) == 0
    runs = create("Ada")
    scene.until(lambda: scene.client.runs.get(runs[0]).pause_reason == "sleep")
    yield
    runs += create("Bob")
    assert scene.completed(runs) == ["Hello Ada, welcome!", "Hello Bob, welcome!"]


def sales(scene: Scene) -> Iterator[None]:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    def sell(number: int) -> int:
        body = json.dumps({"type": "sold", "id": f"s{number}", "data": number}).encode()
        at = str(int(time.time()))
        signature = hmac.new(secret, f"m{number}.{at}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "webhook-id": f"m{number}",
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
            "content-type": "application/json",
        }
        url = f"http://127.0.0.1:{scene.server.other_port}/webhooks/shop"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status

    scene.listens()
    assert {sell(each) for each in FIRST} == {200}
    yield
    # A provider that did not read an answer sends again.
    assert {sell(each) for each in ALL} == {200}
    assert [event.data for event in scene.client.events.list(name="shop.sold")][::-1] == ALL
