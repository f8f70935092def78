"""What the shop keeps beside its runs: streams, projections, topics, groups, KV, config, schemas, webhooks."""

import contextlib
import hmac
import json
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ironflow.errors import IronflowError
from ironflow.features.functions.contract import RegisterFunction, RetryConfig, Trigger
from ironflow.projection import projection
from ironflow.sync import Client

# Never shown by any page; the tests look for it.
SECRET = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
ORDERS_TABLE = (
    "CREATE TABLE proj_orders (customer TEXT PRIMARY KEY, orders BIGINT NOT NULL, total BIGINT NOT NULL, note TEXT)"
)
ORDER_PLACED = (
    "INSERT INTO proj_orders (customer, orders, total, note) VALUES (:data.customer, 1, :data.total, :data.note) "
    "ON CONFLICT (customer) DO UPDATE SET orders = proj_orders.orders + 1, total = proj_orders.total + excluded.total"
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["customer"],
    "properties": {"customer": {"type": "string"}, "total": {"type": "integer"}},
}

# A schema with a field of each kind.
PARCEL: dict[str, Any] = {
    "type": "object",
    "required": ["id", "to"],
    "properties": {
        "id": {"type": "string", "minLength": 3},
        "weight": {"type": "integer", "minimum": 1, "maximum": 30},
        "insured": {"type": "boolean", "default": False},
        "speed": {"enum": ["slow", "fast"]},
        "due": {"type": "string", "format": "date"},
        "to": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "way": {"oneOf": [{"type": "string"}, {"type": "object"}]},
    },
}


@projection("cart-totals", events=["cart.*"], initial_state={"items": 0, "total": 0}, partition_key="data.customer")
def cart_totals(state: dict[str, int], event: Any) -> dict[str, Any]:
    return {"items": state["items"] + 1, "total": state["total"] + event.data.get("price", 0), "latest": event.data}


@projection("broken-totals", events=["cart.opened"], initial_state={})
def broken_totals(state: dict[str, Any], event: Any) -> dict[str, Any]:
    raise ValueError(f"cart {event.data['customer']} has no currency")


PROJECTIONS = [cart_totals, broken_totals]


def keep(client: Client, probe: str) -> None:
    """Fills streams, topics, groups, KV, config and schemas. probe: markup that stands in every text of a user."""
    _streams(client, probe)
    _values(client, probe)
    client.sql_projections.create("orders", table=ORDERS_TABLE, on={"cart.paid": ORDER_PLACED}, description=probe)
    client.schemas.register("cart.paid", 1, schema={"type": "object", "required": ["customer"]}, description=probe)
    client.schemas.register("cart.paid", 2, schema=SCHEMA, description="With the currency in minor units")
    old = {"type": "object", "properties": {"old": {"type": "string", "description": probe}}}
    client.schemas.register("parcel.wanted", 1, schema=old)
    client.schemas.register("parcel.wanted", 2, schema=PARCEL, description="A parcel to send " + probe)
    _topics(client, probe)
    _schedules(client, probe)
    _functions(client, probe)
    _access(client, probe)
    _webhooks(client, probe)


def _streams(client: Client, probe: str) -> None:
    for number in range(1, 4):
        cart = f"cart-{number}"
        customer = f"customer-{number}"
        client.streams.append(cart, "cart.opened", {"customer": customer, "note": probe}, entity_type="cart")
        for item in range(3):
            client.streams.append(cart, "cart.filled", {"customer": customer, "sku": f"a-{item}", "price": 100 + item})
        client.streams.append(cart, "cart.paid", {"customer": customer, "total": 303, "note": probe})
    client.streams.create_snapshot(
        "cart-1", 3, {"customer": "customer-1", "items": 2, "note": probe}, entity_type="cart"
    )


def _values(client: Client, probe: str) -> None:
    sessions = client.kv.create_bucket("sessions", history=10, description=probe)
    for number in range(1, 6):
        sessions.put(f"user.{number}", {"cart": f"cart-{number}", "note": probe})
    for page in ("/", "/cart", "/pay"):
        sessions.put("user.1", {"cart": "cart-1", "page": page, "note": probe})
    sessions.put("motd", "plain text " + probe)
    for rate in (0.05, 0.19):
        client.config.set("prices", {"vat": rate, "currency": "EUR", "note": probe})


def _topics(client: Client, probe: str) -> None:
    client.consumer_groups.create("mailers", "topic:mail.*", ack="manual", max_inflight=10)
    client.consumer_groups.create("billing", "cart.paid", ack="manual")
    for number in range(4):
        client.publish("mail.orders", {"to": f"customer-{number}", "text": probe})
    client.publish("mail.news", {"text": probe})
    _make_dead_letters(client, "mailers", 2)


def _make_dead_letters(client: Client, group: str, wanted: int) -> None:
    """Refuses the first events of a group."""
    with closing(client.consumer_groups.join(group, prefetch=1)) as events:
        for event in islice(events, wanted):
            event.term()


def _functions(client: Client, probe: str) -> None:
    """A push function in two versions, whose cron does not tick while tests run."""
    for attempts, reason in ((1, ""), (5, "more attempts " + probe)):
        client.functions.register(
            RegisterFunction(
                id="archive",
                description=probe,
                triggers=[Trigger(cron="0 3 29 2 *", timezone="Europe/Berlin")],
                endpoint_url="https://archive.example/ironflow",
                retry=RetryConfig(max_attempts=attempts),
                change_reason=reason,
            )
        )


def _schedules(client: Client, probe: str) -> None:
    """Two that start nothing while tests run, and one that is paused."""
    due = {"id": "inv_nightly", "note": probe}
    client.schedules.create(
        "nightly-settlement", "settle", due, cron="0 3 * * *", tz="Europe/Berlin", overlap="skip", description=probe
    )
    client.schedules.create("launch", "announce", {"id": "launch"}, at=datetime(2099, 1, 1, 9, tzinfo=UTC))
    client.schedules.create("stock-check", "sync-stock", every="15m", jitter="1m", catch_up="1h", paused=True)


def _access(client: Client, probe: str) -> None:
    role = client.roles.create("emitter " + probe)
    policy = client.policies.create(
        "allow-orders " + probe, effect="allow", actions="emit:*", resources="events/order.*", condition="1 < 2"
    )
    client.roles.assign_policy(role.id, policy.id)
    client.api_keys.create("gateway " + probe, roles=[role.id], expires_in="3d")
    client.api_keys.create("worker", roles=["role_developer"])
    client.users.create("ada@shop.example", "correct horse battery", name="Ada " + probe, roles=[role.id])
    client.users.create("bob@shop.example", "correct horse battery", roles=["viewer"])
    client.environments.create("staging", color="amber")
    client.secrets.create("STRIPE_KEY", SECRET, description=probe)
    client.limits.set("key:*", requests_per_second=500, burst=1000)


def _webhooks(client: Client, probe: str) -> None:
    """A source with a delivery that is genuine and one that is not."""
    source = client.webhooks.create("github", id="github", preset="github", secret=SECRET)
    for name, secret in (("push", SECRET), ("star", "another")):
        body = json.dumps({"ref": "main", "note": probe}).encode()
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": name}
        with contextlib.suppress(IronflowError):
            client.webhooks.send(source.id, source.ingest_token or "", body, headers)
