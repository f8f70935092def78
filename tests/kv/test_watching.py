"""What watchers of a bucket receive: every change once, in order, from wherever they begin."""

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest

from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import BucketNotFound, RevisionAhead
from ironflow.features.kv.rules import PURGES_KEPT_MS
from tests.support.server import Server
from tests.support.streams import still_waiting


@pytest.fixture
async def bucket(server: Server) -> str:
    await server.call(kv.create_bucket, name="b")
    return "b"


async def put(server: Server, key: str, value: bytes = b"v", bucket: str = "b") -> None:
    await server.call(kv.put, bucket=bucket, key=key, value=value)


def plain(frame: kv.KeyFrame) -> tuple[Any, ...]:
    return frame.type, frame.key, frame.value, frame.revision, frame.operation


async def some(frames: Any, count: int) -> list[tuple[Any, ...]]:
    return [plain(await anext(frames)) for _ in range(count)]


async def test_puts_deletes_and_purges_are_sent_as_they_are_committed(server: Server, bucket: str) -> None:
    async with aclosing(server.stream(kv.watch, bucket=bucket, initial=False)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await still_waiting(first)
        await put(server, "k", b"1")
        seen = [plain(await first)]
        await server.call(kv.delete, bucket=bucket, key="k")
        await server.call(kv.delete, bucket=bucket, key="k")
        seen += await some(frames, 1)
        await put(server, "k", b"2")
        seen += await some(frames, 1)
        await server.call(kv.delete, bucket=bucket, key="k", purge=True)
        await server.call(kv.delete, bucket=bucket, key="k", purge=True)
        seen += await some(frames, 1)

    assert seen == [
        ("kv_update", "k", b"1", 1, "put"),
        ("kv_update", "k", b"", 2, "delete"),
        ("kv_update", "k", b"2", 3, "put"),
        ("kv_update", "k", b"", 4, "delete"),
    ]


async def test_a_pattern_chooses_the_keys(server: Server, bucket: str) -> None:
    for key in ("user.1", "order.1", "user.2.cart"):
        await put(server, key)

    async with aclosing(server.stream(kv.watch, bucket=bucket, key="user.*", after=0)) as frames:
        assert (await anext(frames)).key == "user.1"
        await put(server, "user.3")
        assert (await anext(frames)).key == "user.3"


@pytest.mark.parametrize(("more", "expected"), [({}, ["old", None]), ({"after": 0}, ["old"]), ({"after": 1}, [])])
async def test_a_watch_begins_with_the_current_values_unless_it_names_a_revision(
    server: Server, bucket: str, more: dict[str, Any], expected: list[str | None]
) -> None:
    """Existing clients name neither a revision nor whether they want them."""
    await put(server, "old")

    async with aclosing(server.stream(kv.watch, bucket=bucket, **more)) as frames:
        assert [(await anext(frames)).key for _ in expected] == expected
        await put(server, "new")
        assert (await anext(frames)).key == "new"


async def test_without_initial_values_only_changes_come(server: Server, bucket: str) -> None:
    await put(server, "old")

    async with aclosing(server.stream(kv.watch, bucket=bucket, initial=False)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await still_waiting(first)
        await put(server, "new")
        assert (await first).key == "new"


async def test_initial_values_come_by_key_and_then_a_ready_frame(server: Server, bucket: str) -> None:
    for key in ("b", "a", "gone"):
        await put(server, key, key.encode())
    await server.call(kv.delete, bucket=bucket, key="gone")

    async with aclosing(server.stream(kv.watch, bucket=bucket, initial=True)) as frames:
        assert await some(frames, 3) == [
            ("kv_update", "a", b"a", 2, "put"),
            ("kv_update", "b", b"b", 1, "put"),
            ("kv_ready", None, None, 4, None),
        ]
        await put(server, "c")
        assert (await anext(frames)).key == "c"


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_watcher_that_resumes_anywhere_ends_with_the_content_of_the_bucket(
    server: Server, bucket: str, seed: int
) -> None:
    chance = random.Random(seed)
    keys = ["a", "b", "c", "d"]
    seen: dict[str, bytes] = {}
    after = 0

    for _ in range(30):
        for _ in range(chance.randrange(6)):
            key = chance.choice(keys)
            match chance.choice(["put", "put", "delete", "purge"]):
                case "put":
                    await put(server, key, str(chance.randrange(100)).encode())
                case how:
                    await server.call(kv.delete, bucket=bucket, key=key, purge=how == "purge")
        await put(server, "mark")
        # Some changes are read, then the connection is lost in the middle.
        async with aclosing(server.stream(kv.watch, bucket=bucket, after=after)) as frames:
            for _ in range(chance.randrange(4)):
                frame = await anext(frames)
                assert frame.revision > after
                after = _keep(seen, frame)
                if frame.key == "mark":
                    break
    await put(server, "end")
    async with aclosing(server.stream(kv.watch, bucket=bucket, after=after)) as frames:
        async for frame in frames:
            _keep(seen, frame)
            if frame.key == "end":
                break

    found = (await server.call(kv.list_keys, bucket=bucket)).keys
    assert seen == {key: (await server.call(kv.get, bucket=bucket, key=key)).value for key in found}


def _keep(seen: dict[str, bytes], frame: kv.KeyFrame) -> int:
    assert frame.key is not None
    if frame.operation == "put":
        seen[frame.key] = frame.value or b""
    else:
        seen.pop(frame.key, None)
    return frame.revision


async def test_many_watchers_under_many_writers_each_see_every_key(server: Server, bucket: str) -> None:
    wanted = {f"k{n}" for n in range(60)}

    async def watch() -> set[str]:
        seen: set[str] = set()
        async with aclosing(server.stream(kv.watch, bucket=bucket, after=0)) as frames:
            async for frame in frames:
                assert frame.key is not None
                seen.add(frame.key)
                if seen == wanted:
                    break
        return seen

    watchers = [asyncio.ensure_future(watch()) for _ in range(5)]
    await asyncio.gather(*(put(server, key) for key in wanted))

    async with asyncio.timeout(20):
        assert await asyncio.gather(*watchers) == [wanted] * 5


async def test_a_bucket_that_is_deleted_ends_its_watches(server: Server, bucket: str) -> None:
    async with aclosing(server.stream(kv.watch, bucket=bucket, initial=False)) as frames:
        first = asyncio.ensure_future(anext(frames))
        await still_waiting(first)
        await server.call(kv.delete_bucket, bucket=bucket)
        with pytest.raises(BucketNotFound):
            await first


async def test_a_watch_of_no_bucket_is_refused(server: Server) -> None:
    with pytest.raises(BucketNotFound):
        await anext(server.stream(kv.watch, bucket="none"))


async def test_a_place_that_the_bucket_has_not_reached_is_refused(server: Server, bucket: str) -> None:
    await put(server, "k")

    with pytest.raises(RevisionAhead, match=r"Revision 9 .* it is at 1"):
        await anext(server.stream(kv.watch, bucket=bucket, after=9))


async def test_old_purges_are_forgotten(server: Server, bucket: str) -> None:
    await put(server, "k")
    await server.call(kv.delete, bucket=bucket, key="k", purge=True)
    server.move(PURGES_KEPT_MS - 1)
    assert [each.done["removed"] for each in await server.loop("kv-expire")] == [0]
    server.move(1)
    assert [each.done["removed"] for each in await server.loop("kv-expire")] == [1]
