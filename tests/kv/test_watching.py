"""What watchers of a bucket are told: every change once, in order, from wherever they begin."""

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest

from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import BucketNotFound, RevisionAhead
from ironflow.features.kv.rules import PURGES_KEPT_MS
from tests.support.house import House
from tests.support.streams import told


@pytest.fixture
async def bucket(house: House) -> str:
    await house.call(kv.create_bucket, name="b")
    return "b"


async def put(house: House, key: str, value: bytes = b"v", bucket: str = "b") -> None:
    await house.call(kv.put, bucket=bucket, key=key, value=value)


def said(frame: kv.KeyFrame) -> tuple[Any, ...]:
    return frame.type, frame.key, frame.value, frame.revision, frame.operation


async def some(frames: Any, count: int) -> list[tuple[Any, ...]]:
    return [said(await anext(frames)) for _ in range(count)]


async def test_puts_deletes_and_purges_are_told_as_they_are_committed(house: House, bucket: str) -> None:
    async with aclosing(house.stream(kv.watch, bucket=bucket)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await told(first)
        await put(house, "k", b"1")
        seen = [said(await first)]
        await house.call(kv.delete, bucket=bucket, key="k")
        await house.call(kv.delete, bucket=bucket, key="k")
        seen += await some(frames, 1)
        await put(house, "k", b"2")
        seen += await some(frames, 1)
        await house.call(kv.delete, bucket=bucket, key="k", purge=True)
        await house.call(kv.delete, bucket=bucket, key="k", purge=True)
        seen += await some(frames, 1)

    assert seen == [
        ("kv_update", "k", b"1", 1, "put"),
        ("kv_update", "k", b"", 2, "delete"),
        ("kv_update", "k", b"2", 3, "put"),
        ("kv_update", "k", b"", 4, "delete"),
    ]


async def test_a_pattern_chooses_the_keys(house: House, bucket: str) -> None:
    for key in ("user.1", "order.1", "user.2.cart"):
        await put(house, key)

    async with aclosing(house.stream(kv.watch, bucket=bucket, key="user.*", after=0)) as frames:
        assert (await anext(frames)).key == "user.1"
        await put(house, "user.3")
        assert (await anext(frames)).key == "user.3"


async def test_without_a_place_to_begin_only_what_comes_is_told(house: House, bucket: str) -> None:
    await put(house, "old")

    async with aclosing(house.stream(kv.watch, bucket=bucket)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await told(first)
        await put(house, "new")
        assert (await first).key == "new"


async def test_initial_values_come_by_key_and_then_a_word_that_they_have(house: House, bucket: str) -> None:
    for key in ("b", "a", "gone"):
        await put(house, key, key.encode())
    await house.call(kv.delete, bucket=bucket, key="gone")

    async with aclosing(house.stream(kv.watch, bucket=bucket, initial=True)) as frames:
        assert await some(frames, 3) == [
            ("kv_update", "a", b"a", 2, "put"),
            ("kv_update", "b", b"b", 1, "put"),
            ("kv_ready", None, None, 4, None),
        ]
        await put(house, "c")
        assert (await anext(frames)).key == "c"


@pytest.mark.parametrize("seed", [1, 2])
async def test_who_resumes_anywhere_ends_with_what_is_in_the_bucket(house: House, bucket: str, seed: int) -> None:
    chance = random.Random(seed)
    keys = ["a", "b", "c", "d"]
    seen: dict[str, bytes] = {}
    after = 0

    for _ in range(30):
        for _ in range(chance.randrange(6)):
            key = chance.choice(keys)
            match chance.choice(["put", "put", "delete", "purge"]):
                case "put":
                    await put(house, key, str(chance.randrange(100)).encode())
                case how:
                    await house.call(kv.delete, bucket=bucket, key=key, purge=how == "purge")
        await put(house, "mark")
        # Some changes are read, then the connection is lost in the middle.
        async with aclosing(house.stream(kv.watch, bucket=bucket, after=after)) as frames:
            for _ in range(chance.randrange(4)):
                frame = await anext(frames)
                assert frame.revision > after
                after = _keep(seen, frame)
                if frame.key == "mark":
                    break
    await put(house, "end")
    async with aclosing(house.stream(kv.watch, bucket=bucket, after=after)) as frames:
        async for frame in frames:
            _keep(seen, frame)
            if frame.key == "end":
                break

    found = (await house.call(kv.list_keys, bucket=bucket)).keys
    assert seen == {key: (await house.call(kv.get, bucket=bucket, key=key)).value for key in found}


def _keep(seen: dict[str, bytes], frame: kv.KeyFrame) -> int:
    assert frame.key is not None
    if frame.operation == "put":
        seen[frame.key] = frame.value or b""
    else:
        seen.pop(frame.key, None)
    return frame.revision


async def test_many_watchers_under_many_writers_each_see_every_key(house: House, bucket: str) -> None:
    wanted = {f"k{n}" for n in range(60)}

    async def watch() -> set[str]:
        seen: set[str] = set()
        async with aclosing(house.stream(kv.watch, bucket=bucket, after=0)) as frames:
            async for frame in frames:
                assert frame.key is not None
                seen.add(frame.key)
                if seen == wanted:
                    break
        return seen

    watchers = [asyncio.ensure_future(watch()) for _ in range(5)]
    await asyncio.gather(*(put(house, key) for key in wanted))

    async with asyncio.timeout(20):
        assert await asyncio.gather(*watchers) == [wanted] * 5


async def test_a_bucket_that_is_deleted_ends_its_watches(house: House, bucket: str) -> None:
    async with aclosing(house.stream(kv.watch, bucket=bucket)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await told(first)
        await house.call(kv.delete_bucket, bucket=bucket)
        with pytest.raises(BucketNotFound):
            await first


async def test_a_watch_of_no_bucket_is_refused(house: House) -> None:
    with pytest.raises(BucketNotFound):
        await anext(house.stream(kv.watch, bucket="none"))


async def test_a_place_that_the_bucket_has_not_reached_is_refused(house: House, bucket: str) -> None:
    await put(house, "k")

    with pytest.raises(RevisionAhead, match=r"Revision 9 .* it is at 1"):
        await anext(house.stream(kv.watch, bucket=bucket, after=9))


async def test_old_purges_are_forgotten(house: House, bucket: str) -> None:
    await put(house, "k")
    await house.call(kv.delete, bucket=bucket, key="k", purge=True)
    house.move(PURGES_KEPT_MS - 1)
    assert [each.removed for each in await house.loop("kv-expire")] == [0]
    house.move(1)
    assert [each.removed for each in await house.loop("kv-expire")] == [1]
