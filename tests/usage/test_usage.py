"""How many bytes environments have recorded and store, and what becomes of those beyond their limits."""

import pytest

from ironflow.base.time import DAY_MS
from ironflow.features.usage import rules
from ironflow.features.usage.rules import Chunk, Head, Usage
from ironflow.features.usage.store import usage_at
from tests.support.keys import Guarded

DATA = {"x": "y" * 100}
DATA_BYTES = len('{"x":"' + "y" * 100 + '"}')
EMIT = {"name": "order.placed", "data": DATA}


async def usage(guarded: Guarded) -> dict[str, Usage]:
    await guarded.loop("usage")
    return await guarded.db.read(lambda tx: usage_at(tx, guarded.now))


async def emitted(guarded: Guarded, count: int, env: str = "") -> None:
    for _ in range(count):
        await guarded.request("POST", "/api/v1/events", EMIT, env=env)


@pytest.mark.parametrize(
    ("head", "last", "now", "chunk"),
    [
        (Head(5, 0, 1), 5, 2, None),
        (Head(5, 0, 1), 7, 2, Chunk(5, 7, again=False)),
        (Head(0, 0, 1), 25_000, 2, Chunk(0, 10_000, again=False)),
        (Head(5, 0, 0), 5, 2, Chunk(0, 5, again=True)),
        (Head(25_000, 10_000, 1), 25_000, 2, Chunk(10_000, 20_000, again=True)),
        (Head(5, 0, 1), 5, 1 + rules.PASS_EVERY_MS, Chunk(0, 5, again=True)),
        (Head(5, 0, 1), 6, 1 + rules.PASS_EVERY_MS, Chunk(5, 6, again=False)),
    ],
)
def test_new_events_are_counted_first_and_all_of_them_once_an_hour(
    head: Head, last: int, now: int, chunk: Chunk | None
):
    assert rules.decide_chunk(head, last, now) == chunk


async def test_each_environment_has_its_own_bytes_by_day(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "CHUNK", 2)
    await guarded.an_environment("staging")
    await emitted(guarded, 5)
    await emitted(guarded, 1, "staging")
    assert await usage(guarded) == {
        "default": Usage(5 * DATA_BYTES, 5 * DATA_BYTES),
        "staging": Usage(DATA_BYTES, DATA_BYTES),
    }

    guarded.move(DAY_MS)
    await emitted(guarded, 1)
    found = await usage(guarded)
    assert found["default"] == Usage(DATA_BYTES, 6 * DATA_BYTES)
    async with guarded.client() as client:
        metrics = (await client.get("/metrics")).text
    assert f'ironflow_environment_event_bytes_today{{environment="default"}} {DATA_BYTES:.1f}' in metrics
    assert f'ironflow_environment_stored_bytes{{environment="default"}} {6 * DATA_BYTES:.1f}' in metrics


async def test_events_that_were_removed_count_no_more_after_an_hour_and_kv_values_count(guarded: Guarded):
    await emitted(guarded, 3)
    await guarded.request("POST", "/api/v1/kv/buckets", {"name": "carts"})
    async with guarded.client() as client:
        assert (await client.put("/api/v1/kv/buckets/carts/keys/a", content=b"z" * 50)).is_success
    before = (await usage(guarded))["default"].stored_bytes
    assert before >= 3 * DATA_BYTES + 50

    await guarded.db.write(lambda tx: tx.run("DELETE FROM events WHERE position = (SELECT min(position) FROM events)"))
    assert (await usage(guarded))["default"].stored_bytes == before
    guarded.move(rules.PASS_EVERY_MS)
    assert (await usage(guarded))["default"].stored_bytes == before - DATA_BYTES


async def test_an_environment_records_so_many_bytes_a_day_and_goes_on_the_next(guarded: Guarded):
    await guarded.an_environment("staging")
    await guarded.request("PUT", "/api/v1/limits/env:staging", {"event_bytes_per_day": 2 * DATA_BYTES})
    await emitted(guarded, 2, "staging")
    await guarded.loop("usage")
    await guarded.loop("limits")

    async with guarded.client(env="staging") as client:
        refused = await client.post("/api/v1/events", json=EMIT)
        assert (refused.status_code, refused.json()["reason"]) == (429, "LIMIT_REACHED")
        assert 0 < int(refused.headers["retry-after"]) <= DAY_MS // 1000
        assert (await client.get("/api/v1/events")).status_code == 200
        assert (await client.post("/api/v1/kv/buckets", json={"name": "carts"})).status_code == 201
    assert await guarded.status("POST", "/api/v1/events", EMIT) == 200
    (shown,) = (await guarded.request("GET", "/api/v1/limits"))["limits"]
    assert (shown["event_bytes_today"], shown["event_bytes_per_day"]) == (2 * DATA_BYTES, 2 * DATA_BYTES)
    assert shown["refused"] == 1

    guarded.move(DAY_MS)
    assert await guarded.status("POST", "/api/v1/events", EMIT, env="staging") == 200


async def test_an_environment_stores_so_many_bytes_and_reads_and_deletes_beyond(guarded: Guarded):
    await guarded.request("PUT", "/api/v1/limits/env:*", {"stored_bytes": 2 * DATA_BYTES})
    await guarded.request("POST", "/api/v1/kv/buckets", {"name": "carts"})
    await emitted(guarded, 2)
    await guarded.loop("usage")
    await guarded.loop("limits")

    async with guarded.client() as client:
        refused = [
            await client.post("/api/v1/events", json=EMIT),
            await client.put("/api/v1/kv/buckets/carts/keys/a", content=b"x"),
            await client.post(
                "/ironflow.v1.EntityStreamService/AppendEvent",
                json={"entity_id": "e", "entity_type": "cart", "event_name": "filled", "data": {}},
            ),
        ]
        assert [each.status_code for each in refused] == [429, 429, 429]
        assert (await client.get("/api/v1/events")).status_code == 200
    await guarded.request("PUT", "/api/v1/limits/env:*", {"stored_bytes": 100 * DATA_BYTES})
    assert await guarded.status("POST", "/api/v1/events", EMIT) == 200


async def test_bytes_are_limited_for_environments_only(guarded: Guarded):
    for subject in ("key:*", "key:apikey_x"):
        body = {"stored_bytes": 1}
        assert await guarded.status("PUT", f"/api/v1/limits/{subject}", body) == 400
