"""Buckets and keys on either database."""

import asyncio
from typing import Any

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.base.operation import Operation
from ironflow.base.pattern import InvalidPattern
from ironflow.base.time import to_datetime
from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import (
    BucketExists,
    BucketFull,
    BucketNotFound,
    InvalidKey,
    KeyNotFound,
    RevisionConflict,
    ValueTooLarge,
)
from ironflow.features.kv.rules import KEY_BYTES_MAX
from tests.support.server import Server


@pytest.fixture
async def bucket(server: Server) -> str:
    await server.call(kv.create_bucket, name="b")
    return "b"


READS: list[Operation[Any, Any]] = [kv.get, kv.get_history]


async def put(server: Server, key: str, value: bytes = b"v", bucket: str = "b", **more: Any) -> int:
    return (await server.call(kv.put, bucket=bucket, key=key, value=value, **more)).revision


async def value(server: Server, key: str, bucket: str = "b", **more: Any) -> bytes:
    return (await server.call(kv.get, bucket=bucket, key=key, **more)).value


async def keys(server: Server, bucket: str = "b", **more: Any) -> list[str]:
    return (await server.call(kv.list_keys, bucket=bucket, **more)).keys


async def revisions(server: Server, key: str, bucket: str = "b") -> list[tuple[int, str, bytes]]:
    found = await server.call(kv.get_history, bucket=bucket, key=key)
    return [(each.revision, each.operation, each.value) for each in found.entries]


# Buckets


async def test_a_bucket_is_created_with_its_limits_and_answered_whole(server: Server) -> None:
    created = await server.call(
        kv.create_bucket, name="b", description="d", ttlSeconds=60, max_value_size=10, maxBytes=100, history=5
    )

    assert created == kv.Bucket(
        name="b",
        description="d",
        ttl_seconds=60,
        max_value_size=10,
        max_bytes=100,
        values=0,
        bytes=0,
        history=5,
        created_at=to_datetime(server.now),
    )
    assert await server.call(kv.get_bucket, bucket="b") == created
    assert await server.call(kv.list_buckets) == kv.Buckets(buckets=[created], count=1)


async def test_a_bucket_that_exists_is_not_created_again_and_keeps_its_limits(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", history=5)
    with pytest.raises(BucketExists):
        await server.call(kv.create_bucket, name="b", history=9)

    assert (await server.call(kv.get_bucket, bucket="b")).history == 5


async def test_of_many_that_create_one_bucket_at_once_one_succeeds(server: Server) -> None:
    answers = await asyncio.gather(*(server.call(kv.create_bucket, name="b") for _ in range(8)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in answers) == ["Bucket"] + ["BucketExists"] * 7


async def test_a_bucket_that_cannot_be_is_refused(server: Server) -> None:
    for fields in (
        {},
        {"name": ""},
        {"name": "a b"},
        {"name": "x" * 129},
        {"name": "b", "history": 65},
        {"name": "b", "history": -1},
        {"name": "b", "ttl_seconds": -1},
        {"name": "b", "ttl_seconds": 10**18},
        {"name": "b", "max_bytes": 2**63},
        {"name": "b", "max_value_size": -5},
        {"name": "b", "description": "a\0b"},
    ):
        with pytest.raises(InvalidArgument):
            await server.call(kv.create_bucket, **fields)

    assert (await server.call(kv.list_buckets)).count == 0


async def test_a_bucket_counts_its_live_values_and_their_bytes(server: Server, bucket: str) -> None:
    for key, text in (("a", b"12345"), ("b", b"1"), ("a", b"123"), ("c", b"")):
        await put(server, key, text)
    await server.call(kv.delete, bucket=bucket, key="b")

    found = await server.call(kv.get_bucket, bucket=bucket)
    assert (found.values, found.bytes) == (2, 3)


async def test_a_deleted_bucket_is_absent_with_its_keys_and_can_be_made_anew(server: Server, bucket: str) -> None:
    await put(server, "a")
    await server.call(kv.delete_bucket, bucket=bucket)

    absent: list[Operation[Any, Any]] = [kv.get_bucket, kv.delete_bucket, kv.list_keys]
    for operation in absent:
        with pytest.raises(BucketNotFound):
            await server.call(operation, bucket=bucket)
    await server.call(kv.create_bucket, name=bucket)
    assert await keys(server) == []
    with pytest.raises(KeyNotFound):
        await value(server, "a")
    assert await put(server, "a") == 1


async def test_a_bucket_deleted_while_it_is_written_to_leaves_nothing_behind(server: Server, bucket: str) -> None:
    await asyncio.gather(
        *(put(server, f"{number}") for number in range(40)),
        server.call(kv.delete_bucket, bucket=bucket),
        *(put(server, f"{number}") for number in range(40, 60)),
        return_exceptions=True,
    )

    await server.call(kv.create_bucket, name=bucket)
    assert await keys(server) == []
    assert await put(server, "0") == 1


async def test_buckets_are_listed_by_name_page_by_page(server: Server) -> None:
    for name in ("c", "a", "B", "b"):
        await server.call(kv.create_bucket, name=name)

    first = await server.call(kv.list_buckets, limit=3)
    second = await server.call(kv.list_buckets, limit=3, cursor=first.next_cursor)

    assert [each.name for each in first.buckets] == ["B", "a", "b"]
    assert ([each.name for each in second.buckets], second.next_cursor) == (["c"], None)


async def test_without_its_bucket_nothing_can_be_done_with_a_key(server: Server) -> None:
    asked: list[tuple[Operation[Any, Any], dict[str, Any]]] = [
        (kv.put, {"key": "k", "value": ""}),
        (kv.get, {"key": "k"}),
        (kv.delete, {"key": "k"}),
        (kv.delete, {"key": "k", "purge": True}),
        (kv.get_history, {"key": "k"}),
        (kv.list_keys, {}),
    ]
    for operation, fields in asked:
        with pytest.raises(BucketNotFound, match="there is no 'nowhere'"):
            await server.call(operation, bucket="nowhere", **fields)


# Keys


async def test_what_is_put_is_got_byte_for_byte(server: Server, bucket: str) -> None:
    every_byte = bytes(range(256))
    revision = await put(server, "k", every_byte)

    assert revision == 1
    assert await server.call(kv.get, bucket=bucket, key="k") == kv.Entry(
        key="k", value=every_byte, revision=1, created_at=to_datetime(server.now), operation="put"
    )
    await put(server, "empty", b"")
    assert await value(server, "empty") == b""


async def test_a_key_that_was_never_put_is_not_found(server: Server, bucket: str) -> None:
    for operation in READS:
        with pytest.raises(KeyNotFound, match="no key 'k'"):
            await server.call(operation, bucket=bucket, key="k")


STRANGE = [
    "a/b/c",
    "/a",
    "a/",
    "a//b",
    "user:123",
    "100%",
    "%2F",
    "%252F",
    "a b",
    "..",
    "é",
    "日本",
    "🐉",
    "a'b\"c",
    "a?b#c&d=e",
    "\U0010ffff",
]


async def test_keys_of_any_characters_are_different_keys(server: Server, bucket: str) -> None:
    for key in STRANGE:
        await put(server, key, key.encode())

    assert [await value(server, key) for key in STRANGE] == [key.encode() for key in STRANGE]
    assert await keys(server) == sorted(STRANGE, key=str.encode)


async def test_a_key_that_cannot_be_is_refused(server: Server, bucket: str) -> None:
    for key in ("", "a*", ">", "a\nb", "x" * (KEY_BYTES_MAX + 1), "é" * (KEY_BYTES_MAX // 2 + 1)):
        with pytest.raises(InvalidKey):
            await put(server, key)

    assert await keys(server) == []


async def test_revisions_of_a_bucket_rise_with_every_change(server: Server, bucket: str) -> None:
    assert [await put(server, key) for key in "aab"] == [1, 2, 3]
    await server.call(kv.delete, bucket=bucket, key="a")
    assert await put(server, "b") == 5


async def test_a_delete_leaves_a_tombstone_and_deleting_again_is_no_change(server: Server, bucket: str) -> None:
    await put(server, "k", b"v")
    await server.call(kv.delete, bucket=bucket, key="k")
    await server.call(kv.delete, bucket=bucket, key="k")
    await server.call(kv.delete, bucket=bucket, key="never")

    with pytest.raises(KeyNotFound):
        await value(server, "k")
    assert await keys(server) == []
    assert await revisions(server, "k") == [(2, "delete", b"")]
    assert await put(server, "k") == 3


async def test_a_purge_removes_the_key_with_its_history(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", history=5)
    for text in (b"1", b"22"):
        await put(server, "k", text)
    await put(server, "other", b"333")

    await server.call(kv.delete, bucket="b", key="k", purge=True)
    await server.call(kv.delete, bucket="b", key="never", purge=True)

    for operation in READS:
        with pytest.raises(KeyNotFound):
            await server.call(operation, bucket="b", key="k")
    found = await server.call(kv.get_bucket, bucket="b")
    assert (found.values, found.bytes) == (1, 3)


async def test_history_keeps_the_newest_revisions_tombstones_among_them(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", history=3)
    await put(server, "k", b"1")
    await put(server, "k", b"22")
    await server.call(kv.delete, bucket="b", key="k")
    await put(server, "k", b"4444")

    assert await revisions(server, "k") == [(4, "put", b"4444"), (3, "delete", b""), (2, "put", b"22")]
    assert (await server.call(kv.get_history, bucket="b", key="k", limit=1)).count == 1
    assert await value(server, "k", revision=2) == b"22"
    assert (await server.call(kv.get, bucket="b", key="k", revision=3)).operation == "delete"
    for absent in (1, 5, 2**62):
        with pytest.raises(KeyNotFound):
            await value(server, "k", revision=absent)
    assert (await server.call(kv.get_bucket, bucket="b")).bytes == 6


# Compare and set


async def test_a_put_with_the_right_revision_changes_and_with_an_old_one_does_not(server: Server, bucket: str) -> None:
    revision = await put(server, "k", b"0")
    for number, spelled in enumerate(("{}", '"{}"', 'W/"{}"'), start=1):
        old, revision = revision, await put(server, "k", b"%d" % number, if_match=spelled.format(revision))
        assert revision == old + 1

        with pytest.raises(RevisionConflict, match=f"is at revision {revision}, the request expects {old}"):
            await put(server, "k", b"no", if_match=spelled.format(old))

        assert await value(server, "k") == b"%d" % number


async def test_if_none_match_creates_once_and_again_after_a_delete(server: Server, bucket: str) -> None:
    assert await put(server, "k", b"1", if_none_match="*") == 1
    with pytest.raises(RevisionConflict):
        await put(server, "k", b"2", if_none_match="*")
    assert await value(server, "k") == b"1"

    await server.call(kv.delete, bucket=bucket, key="k")
    assert await put(server, "k", b"3", if_none_match="*") == 3


async def test_a_delete_and_a_purge_obey_their_condition(server: Server, bucket: str) -> None:
    await put(server, "k")
    for purge in (False, True):
        with pytest.raises(RevisionConflict):
            await server.call(kv.delete, bucket=bucket, key="k", if_match="9", purge=purge)
        with pytest.raises(RevisionConflict):
            await server.call(kv.delete, bucket=bucket, key="never", if_match="1", purge=purge)

    await server.call(kv.delete, bucket=bucket, key="k", if_match="1")
    assert await put(server, "k") == 3
    await server.call(kv.delete, bucket=bucket, key="k", if_match="3", purge=True)
    assert await keys(server) == []


async def test_a_refused_write_takes_no_revision_and_no_bytes(server: Server, bucket: str) -> None:
    await put(server, "k", b"1")
    for _ in range(3):
        with pytest.raises(RevisionConflict):
            await put(server, "k", b"22", if_none_match="*")

    assert (await server.call(kv.get_bucket, bucket=bucket)).bytes == 1
    assert await put(server, "k", b"2") == 2


async def test_of_64_that_count_with_compare_and_set_none_is_lost(server: Server, bucket: str) -> None:
    await put(server, "counter", b"0")

    async def increment() -> int:
        """How many times it was refused."""
        refused = 0
        while True:
            entry = await server.call(kv.get, bucket=bucket, key="counter")
            try:
                await put(server, "counter", b"%d" % (int(entry.value) + 1), if_match=str(entry.revision))
            except RevisionConflict:
                refused += 1
            else:
                return refused

    refused = await asyncio.gather(*(increment() for _ in range(64)))

    assert await value(server, "counter") == b"64"
    assert (await server.call(kv.get, bucket=bucket, key="counter")).revision == 65
    assert sum(refused) > 0


async def test_five_keys_raced_for_in_one_batch_have_one_winner_each(server: Server, bucket: str) -> None:
    async def create(key: str, writer: str) -> str | None:
        try:
            await put(server, key, writer.encode(), if_none_match="*")
        except RevisionConflict:
            return None
        return writer

    races = [(key, f"{key} {writer}") for writer in range(12) for key in "abcde"]
    winners = await asyncio.gather(*(create(key, writer) for key, writer in races))

    for key in "abcde":
        won = [writer for writer in winners if writer is not None and writer.startswith(key)]
        assert [await value(server, key)] == [writer.encode() for writer in won]
    assert (await server.call(kv.get_bucket, bucket=bucket)).values == 5


async def test_writes_of_one_batch_into_several_buckets_each_get_their_own_answer(server: Server) -> None:
    for name in ("x", "y"):
        await server.call(kv.create_bucket, name=name)

    answers = await asyncio.gather(
        put(server, "k", bucket="x"),
        put(server, "k", bucket="missing"),
        put(server, "k", bucket="y"),
        put(server, "bad*", bucket="y"),
        put(server, "k", bucket="x"),
        server.call(kv.delete, bucket="y", key="k"),
        return_exceptions=True,
    )

    assert [each if isinstance(each, int | None) else type(each) for each in answers] == [
        1, BucketNotFound, 1, InvalidKey, 2, None
    ]  # fmt: skip


@pytest.mark.parametrize("history", [1, 2])
async def test_writes_of_one_batch_to_one_key_follow_each_other(server: Server, history: int) -> None:
    await server.call(kv.create_bucket, name="b", history=history)
    await put(server, "k", b"before")

    answers = await asyncio.gather(
        put(server, "k", b"first"),
        put(server, "k", b"only at 2", if_match="2"),
        server.call(kv.delete, bucket="b", key="k"),
        put(server, "k", b"new", if_none_match="*"),
        put(server, "k", b"too late", if_match="3"),
        put(server, "other", b"12"),
        return_exceptions=True,
    )

    assert [each if isinstance(each, int | None) else type(each) for each in answers] == [
        2, 3, None, 5, RevisionConflict, 6
    ]  # fmt: skip
    assert await revisions(server, "k") == [(5, "put", b"new"), (4, "delete", b"")][:history]
    assert await value(server, "other") == b"12"
    assert (await server.call(kv.get_bucket, bucket="b")).bytes == len(b"new") + len(b"12")


# Limits


async def test_a_value_over_the_buckets_limit_is_refused(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", max_value_size=5)
    await put(server, "k", b"12345")

    with pytest.raises(ValueTooLarge, match="6 bytes; bucket 'b' takes up to 5"):
        await put(server, "k", b"123456")

    assert await value(server, "k") == b"12345"


async def test_a_full_bucket_takes_what_replaces_and_refuses_what_adds(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", max_bytes=10)
    await put(server, "a", b"12345")
    await put(server, "b", b"12345")

    with pytest.raises(BucketFull):
        await put(server, "c", b"1")
    await put(server, "a", b"abcde")
    with pytest.raises(BucketFull):
        await put(server, "a", b"abcdef")
    await server.call(kv.delete, bucket="b", key="b")
    await put(server, "c", b"12345")

    assert (await server.call(kv.get_bucket, bucket="b")).bytes == 10


async def test_a_full_bucket_with_history_takes_what_pushes_enough_out(server: Server) -> None:
    await server.call(kv.create_bucket, name="b", max_bytes=10, history=2)
    for text in (b"11111", b"22222", b"33333", b"44444"):
        await put(server, "k", text)

    with pytest.raises(BucketFull):
        await put(server, "other", b"1")
    with pytest.raises(BucketFull):
        await put(server, "k", b"666666")
    assert await revisions(server, "k") == [(4, "put", b"44444"), (3, "put", b"33333")]


# Listing


FILTERS: dict[str, list[str]] = {
    ">": ["order.1", "order.1.item", "user-1", "user-1.mail", "user.1", "user.2.mail"],
    "": ["order.1", "order.1.item", "user-1", "user-1.mail", "user.1", "user.2.mail"],
    "order.*": ["order.1"],
    "order.>": ["order.1", "order.1.item"],
    "*.*": ["order.1", "user-1.mail", "user.1"],
    "*.*.*": ["order.1.item", "user.2.mail"],
    "*": ["user-1"],
    "user-*": ["user-1", "user-1.mail"],
    "user*": ["user-1", "user-1.mail", "user.1", "user.2.mail"],
    "*.1": ["order.1", "user.1"],
    "user.1": ["user.1"],
    "user": [],
}


async def test_keys_are_listed_by_either_style_of_wildcard(server: Server, bucket: str) -> None:
    for key in FILTERS[">"]:
        await put(server, key)

    assert {filter: await keys(server, filter=filter) for filter in FILTERS} == FILTERS


async def test_keys_are_listed_page_by_page_and_each_once(server: Server, bucket: str) -> None:
    wanted = [f"k{number:03}" for number in range(25)]
    await asyncio.gather(*(put(server, key) for key in [*wanted, "other"]))

    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await server.call(kv.list_keys, bucket=bucket, filter="k*", limit=10, cursor=cursor)
        assert page.count == len(page.keys)
        pages.append(page.keys)
        cursor = page.next_cursor

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [key for page in pages for key in page] == wanted


async def test_a_filter_that_fits_few_of_many_keys_finds_them_all(server: Server, bucket: str) -> None:
    await asyncio.gather(*(put(server, f"{number:04}.{'odd' if number % 2 else 'even'}") for number in range(2200)))

    assert len(await keys(server, filter="*.odd")) == 1100
    assert await keys(server, filter="2199.*") == ["2199.odd"]


async def test_a_filter_that_is_no_pattern_is_refused(server: Server, bucket: str) -> None:
    for filter in ("a.>.b", ">.a"):
        with pytest.raises(InvalidPattern):
            await keys(server, filter=filter)


async def test_the_hostile_filter_of_many_stars_is_answered(server: Server, bucket: str) -> None:
    await put(server, "a" * 1000)

    assert await keys(server, filter="*a" * 200 + "b") == []


# Environments


async def test_environments_know_nothing_of_each_other(server: Server, bucket: str) -> None:
    await server.call(kv.create_bucket, name="b", env="staging")
    await put(server, "k", b"default")
    await put(server, "k", b"staging", env="staging")
    await put(server, "only", env="staging")

    assert (await value(server, "k"), await value(server, "k", env="staging")) == (b"default", b"staging")
    assert (await keys(server), await keys(server, env="staging")) == (["k"], ["k", "only"])
    await server.call(kv.delete_bucket, bucket="b", env="staging")
    assert await value(server, "k") == b"default"
    with pytest.raises(BucketNotFound, match="environment 'staging'"):
        await value(server, "k", env="staging")
