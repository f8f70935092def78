"""A bucket under hundreds of random operations is what a simple dictionary says it is."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from ironflow.base.errors import IronflowError
from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import BucketFull, KeyNotFound, RevisionConflict
from tests.support.server import Server

KEYS = ["a", "b", "c/d", "e.f", "é"]


@dataclass
class Kept:
    revision: int
    operation: str
    value: bytes
    at: int


@dataclass
class Model:
    """What a bucket should be. entries: of each key, oldest first."""

    ttl_ms: int
    history: int
    bytes_max: int
    last_revision: int = 0
    entries: dict[str, list[Kept]] = field(default_factory=dict)

    def fresh(self, key: str, now: int) -> list[Kept]:
        return [each for each in self.entries.get(key, []) if not self.ttl_ms or each.at + self.ttl_ms > now]

    def live(self, key: str, now: int) -> Kept | None:
        fresh = self.fresh(key, now)
        return fresh[-1] if fresh and fresh[-1].operation == "put" else None

    def size(self) -> int:
        """Bytes stored."""
        return sum(len(each.value) for kept in self.entries.values() for each in kept)

    def add(self, key: str, operation: str, value: bytes, now: int) -> int:
        kept = [*self.entries.get(key, []), Kept(self.last_revision + 1, operation, value, now)][-self.history :]
        before = self.entries.get(key)
        self.entries[key] = kept
        if operation == "put" and self.bytes_max and self.size() > self.bytes_max:
            self.entries[key] = before or []
            raise BucketFull
        self.last_revision += 1
        return self.last_revision

    def purge(self, key: str) -> None:
        # What was there leaves a revision behind, for watchers.
        self.last_revision += 1 if self.entries.pop(key, None) else 0

    def put(self, key: str, value: bytes, expected: int | None, now: int) -> int:
        live = self.live(key, now)
        if expected is not None and (live.revision if live else 0) != expected:
            raise RevisionConflict
        return self.add(key, "put", value, now)

    def delete(self, key: str, now: int) -> None:
        if self.live(key, now):
            self.add(key, "delete", b"", now)

    def expire(self, now: int) -> None:
        self.entries = {key: self.fresh(key, now) for key in self.entries}


async def outcome(work: Awaitable[object]) -> object:
    """What is answered, or the class of the refusal."""
    try:
        return await work
    except IronflowError as refusal:
        return type(refusal)


def expected(put: Callable[..., int], *given: object) -> object:
    """What the model expects of a put."""
    try:
        return kv.Put(revision=put(*given))
    except IronflowError as refusal:
        return type(refusal)


@pytest.mark.parametrize(
    ("seed", "ttl_s", "history", "bytes_max"),
    [(1, 0, 1, 0), (2, 0, 3, 0), (3, 10, 1, 30), (4, 10, 3, 25), (5, 0, 2, 40)],
)
async def test_a_bucket_equals_a_model_in_memory(
    server: Server, seed: int, ttl_s: int, history: int, bytes_max: int
) -> None:
    chance = random.Random(seed)
    await server.call(kv.create_bucket, name="b", ttl_seconds=ttl_s, history=history, max_bytes=bytes_max)
    model = Model(ttl_s * 1000, history, bytes_max)
    refusals: set[object] = set()

    for _ in range(120):
        key, now = chance.choice(KEYS), server.now
        match chance.choice(["put", "put", "put", "cas", "cas", "delete", "purge", "wait", "expire"]):
            case "put":
                value = bytes(chance.randrange(256) for _ in range(chance.randrange(12)))
                found = await outcome(server.call(kv.put, bucket="b", key=key, value=value))
                assert found == expected(model.put, key, value, None, now)
                refusals.add(found if isinstance(found, type) else None)
            case "cas":
                live = model.live(key, now)
                guess = chance.choice([0, live.revision if live else 1, model.last_revision])
                found = await outcome(server.call(kv.put, bucket="b", key=key, value=b"cas", if_match=f"{guess}"))
                assert found == expected(model.put, key, b"cas", guess, now)
                refusals.add(found if isinstance(found, type) else None)
            case "delete":
                await server.call(kv.delete, bucket="b", key=key)
                model.delete(key, now)
            case "purge":
                await server.call(kv.delete, bucket="b", key=key, purge=True)
                model.purge(key)
            case "wait":
                server.move(chance.choice([1, 4_000]))
            case "expire":
                await server.loop("kv-expire")
                model.expire(now)
        await same(server, model, key)

    for key in KEYS:
        await same(server, model, key)
    assert refusals == {None, RevisionConflict} | ({BucketFull} if bytes_max else set())


async def same(server: Server, model: Model, key: str) -> None:
    """The bucket and this key of it are as the model says."""
    now = server.now
    live = [each for each in KEYS if model.live(each, now)]
    found = await server.call(kv.get_bucket, bucket="b")
    assert (found.values, found.bytes) == (len(live), model.size())
    assert (await server.call(kv.list_keys, bucket="b")).keys == sorted(live, key=str.encode)
    entry = model.live(key, now)
    got = await outcome(server.call(kv.get, bucket="b", key=key))
    if entry is None:
        assert got is KeyNotFound
    else:
        assert isinstance(got, kv.Entry)
        assert (got.revision, got.value) == (entry.revision, entry.value)
    kept = await outcome(server.call(kv.get_history, bucket="b", key=key))
    expected = [(each.revision, each.operation, each.value) for each in reversed(model.fresh(key, now))]
    if expected:
        assert isinstance(kept, kv.History)
        assert [(each.revision, each.operation, each.value) for each in kept.entries] == expected
    else:
        assert kept is KeyNotFound
