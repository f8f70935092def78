"""What callers record carries their principal in its own row."""

from tests.support.keys import Guarded


async def test_events_values_and_workers_carry_the_key_that_recorded_them(guarded: Guarded):
    made = await guarded.a_key("role_developer")
    by, key = f"key:{made['id']}", made["key"]
    await guarded.request("POST", "/api/v1/events", {"name": "order.placed", "data": {}}, key=key)
    appended = {"entity_type": "cart", "event_name": "cart.filled", "data": {}}
    await guarded.request("POST", "/api/v1/streams/cart-1/events", appended, key=key)
    await guarded.request("POST", "/ironflow.v1.PubSubService/Publish", {"topic": "news", "data": 1}, key=key)

    events = (await guarded.request("GET", "/api/v1/events"))["events"]
    assert {(each["name"], each["emitted_by"]) for each in events} >= {("order.placed", by), ("cart.filled", by)}
    topics = await guarded.db.read(lambda tx: tx.rows("SELECT name, emitted_by FROM events ORDER BY position"))
    assert ("news", by) in {(row[0].rpartition(":")[2], row[1]) for row in topics}

    await guarded.request("POST", "/api/v1/kv/buckets", {"name": "b"}, key=key)
    async with guarded.client(key) as client:
        await client.put("/api/v1/kv/buckets/b/keys/k", content=b"v")
        await client.delete("/api/v1/kv/buckets/b/keys/k")
    history = await guarded.request("GET", "/api/v1/kv/buckets/b/history/k")
    assert [(each["operation"], each["written_by"]) for each in history["entries"]] == [("delete", by)]

    # Its reports are those of this key.
    await guarded.request("POST", "/api/v1/workers/w1/register", {"function_ids": ["f"]}, key=key)
    (worker,) = (await guarded.request("GET", "/api/v1/workers"))["workers"]
    assert worker["registered_by"] == by
