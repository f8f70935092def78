"""What an environment that has used up its bytes refuses: all that adds to them, and nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from ironflow.base.time import to_datetime
from tests.structure.contracts import all_operations
from tests.support.keys import Guarded, open_guarded

EMIT = {"name": "order.placed", "data": {"x": "y" * 100}}
HOUR_MS = 3_600_000
MASTER = "ab" * 32
# Of every operation that is no reading: what it adds to the bytes of its environment, the others nothing that counts.
ADDS = {
    "events": {
        "events.emit", "events.emit_batch", "events.emit_namespaced", "events.emit_sync", "events.import",
        "events.invoke", "events.invoke_sync", "messages.ask", "messages.send", "pubsub.publish", "streams.append",
        "schedules.backfill", "schedules.trigger", "streams.append_many", "webhooks.replay",
    },
    "stored": {"config.patch", "config.set", "kv.put", "streams.create_snapshot"},
}  # fmt: skip
# Scopes under which something is recorded that counts: whatever else they allow adds nothing.
COUNTED = ("events:", "functions:invoke", "topics:publish", "entities:append", "kv:write", "config:write")
ADDS_NOTHING = {"event_triggers.trigger", "config.delete", "kv.create_bucket", "kv.delete", "kv.delete_bucket"}


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, master_key=MASTER) as opened:
        yield opened


def test_each_operation_declares_what_it_adds():
    assert {
        adds: {each.name for each in all_operations() if each.adds == adds} for adds in ("events", "stored")
    } == ADDS
    counted = {
        each.name
        for each in all_operations()
        if each.scope.startswith(COUNTED) and not each.scope.endswith((":read", ":subscribe", ":redact"))
    }
    assert counted - ADDS["events"] - ADDS["stored"] == ADDS_NOTHING


async def full(guarded: Guarded, **limit: int) -> None:
    await guarded.request("POST", "/api/v1/events", EMIT)
    await guarded.request("PUT", "/api/v1/limits/env:default", limit)
    await guarded.loop("usage")
    await guarded.loop("limits")


async def refused(guarded: Guarded, method: str, path: str, body: object) -> bool:
    async with guarded.client() as client:
        answer = await client.request(method, path, json=body)
    return answer.status_code == 429 and answer.json()["reason"] == "LIMIT_REACHED" and "retry-after" in answer.headers


async def test_config_documents_and_messages_to_runs_are_refused_beyond_the_stored_bytes(guarded: Guarded):
    await full(guarded, stored_bytes=1)

    assert await refused(guarded, "PUT", "/api/v1/config/site", {"x": 1})
    assert await refused(guarded, "PATCH", "/api/v1/config/site", {"x": 1})
    assert await refused(guarded, "POST", "/api/v1/runs/chat:ada/messages", {"name": "prompt", "start": True})
    assert await refused(guarded, "POST", "/api/v1/runs/chat:ada/ask", {"name": "prompt"})


async def test_what_was_stored_is_deleted_beyond_the_stored_bytes(guarded: Guarded):
    await guarded.request("POST", "/api/v1/kv/buckets", {"name": "carts"})
    await guarded.request("PUT", "/api/v1/kv/buckets/carts/keys/a", {"x": 1})
    await guarded.request("PUT", "/api/v1/config/site", {"x": 1})
    await full(guarded, stored_bytes=1)

    assert await refused(guarded, "PUT", "/api/v1/kv/buckets/carts/keys/a", {"x": 2})
    for path in ("config/site", "kv/buckets/carts/keys/a", "kv/buckets/carts"):
        assert await guarded.status("DELETE", f"/api/v1/{path}") == 204


async def test_schedules_start_no_runs_by_hand_beyond_the_bytes_and_a_backfill_waits(guarded: Guarded):
    await guarded.request("POST", "/api/v1/functions", {"id": "report", "triggers": [{"event": "never"}]})
    path = "/api/v1/schedules"
    await guarded.request("POST", path, {"id": "hourly", "function_id": "report", "every_ms": HOUR_MS})
    now = to_datetime(guarded.now)
    past = {"since": (now - timedelta(hours=5)).isoformat(), "until": now.isoformat()}
    await guarded.request("POST", f"{path}/hourly/backfill", past)
    await full(guarded, stored_bytes=1)

    assert await refused(guarded, "POST", f"{path}/hourly/trigger", {})
    assert await refused(guarded, "POST", f"{path}/hourly/backfill", past)
    await guarded.loop("schedule-backfills")
    assert (await guarded.request("GET", "/api/v1/runs"))["runs"] == []

    await guarded.request("DELETE", "/api/v1/limits/env:default")
    await guarded.loop("limits")
    await guarded.loop("schedule-backfills")
    assert len((await guarded.request("GET", "/api/v1/runs"))["runs"]) >= 5


async def test_values_are_stored_beyond_the_event_bytes_of_a_day(guarded: Guarded):
    await full(guarded, event_bytes_per_day=1)

    assert await guarded.status("PUT", "/api/v1/config/site", {"x": 1}) in (200, 201)
    assert await refused(guarded, "POST", "/api/v1/runs/chat:ada/messages", {"name": "prompt", "start": True})


async def test_a_webhook_is_refused_with_the_time_to_send_it_again_and_taken_then(guarded: Guarded):
    await guarded.an_environment("staging")
    source = await guarded.request(
        "POST", "/api/v1/webhook-sources", {"name": "plain", "event_prefix": "shop"}, env="staging"
    )
    path = f"/api/v1/webhooks/{source['id']}?token={source['ingest_token']}"
    await guarded.request("POST", "/api/v1/events", EMIT, env="staging")
    await guarded.request("PUT", "/api/v1/limits/env:staging", {"stored_bytes": 1})
    await guarded.loop("usage")
    await guarded.loop("limits")

    assert await refused(guarded, "POST", path, {"type": "paid"})
    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 1
    await guarded.request("DELETE", "/api/v1/limits/env:staging")
    await guarded.loop("limits")
    assert not await refused(guarded, "POST", path, {"type": "paid"})
    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 2
