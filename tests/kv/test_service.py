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
from tests.support.house import House


@pytest.fixture
async def bucket(house: House) -> str:
    await house.call(kv.create_bucket, name="b")
    return "b"


READS: list[Operation[Any, Any]] = [kv.get, kv.get_history]


async def put(house: House, key: str, value: bytes = b"v", bucket: str = "b", **more: Any) -> int:
    return (await house.call(kv.put, bucket=bucket, key=key, value=value, **more)).revision


async def value(house: House, key: str, bucket: str = "b", **more: Any) -> bytes:
    return (await house.call(kv.get, bucket=bucket, key=key, **more)).value


async def keys(house: House, bucket: str = "b", **more: Any) -> list[str]:
    return (await house.call(kv.list_keys, bucket=bucket, **more)).keys


async def revisions(house: House, key: str, bucket: str = "b") -> list[tuple[int, str, bytes]]:
    found = await house.call(kv.get_history, bucket=bucket, key=key)
    return [(each.revision, each.operation, each.value) for each in found.entries]


# Buckets


async def test_a_bucket_is_created_with_its_limits_and_answered_whole(house: House) -> None:
    created = await house.call(
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
        created_at=to_datetime(house.now),
    )
    assert await house.call(kv.get_bucket, bucket="b") == created
    assert await house.call(kv.list_buckets) == kv.Buckets(buckets=[created], count=1)


async def test_a_bucket_that_exists_is_not_created_again_and_keeps_its_limits(house: House) -> None:
    await house.call(kv.create_bucket, name="b", history=5)
    with pytest.raises(BucketExists):
        await house.call(kv.create_bucket, name="b", history=9)

    assert (await house.call(kv.get_bucket, bucket="b")).history == 5


async def test_of_many_that_create_one_bucket_at_once_one_succeeds(house: House) -> None:
    answers = await asyncio.gather(*(house.call(kv.create_bucket, name="b") for _ in range(8)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in answers) == ["Bucket"] + ["BucketExists"] * 7


async def test_a_bucket_that_cannot_be_is_refused(house: House) -> None:
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
            await house.call(kv.create_bucket, **fields)

    assert (await house.call(kv.list_buckets)).count == 0


async def test_a_bucket_counts_its_live_values_and_their_bytes(house: House, bucket: str) -> None:
    for key, text in (("a", b"12345"), ("b", b"1"), ("a", b"123"), ("c", b"")):
        await put(house, key, text)
    await house.call(kv.delete, bucket=bucket, key="b")

    found = await house.call(kv.get_bucket, bucket=bucket)
    assert (found.values, found.bytes) == (2, 3)


async def test_a_deleted_bucket_is_gone_with_its_keys_and_can_be_made_anew(house: House, bucket: str) -> None:
    await put(house, "a")
    await house.call(kv.delete_bucket, bucket=bucket)

    gone: list[Operation[Any, Any]] = [kv.get_bucket, kv.delete_bucket, kv.list_keys]
    for operation in gone:
        with pytest.raises(BucketNotFound):
            await house.call(operation, bucket=bucket)
    await house.call(kv.create_bucket, name=bucket)
    assert await keys(house) == []
    with pytest.raises(KeyNotFound):
        await value(house, "a")
    assert await put(house, "a") == 1


async def test_a_bucket_deleted_while_it_is_written_to_leaves_nothing_behind(house: House, bucket: str) -> None:
    await asyncio.gather(
        *(put(house, f"{number}") for number in range(40)),
        house.call(kv.delete_bucket, bucket=bucket),
        *(put(house, f"{number}") for number in range(40, 60)),
        return_exceptions=True,
    )

    await house.call(kv.create_bucket, name=bucket)
    assert await keys(house) == []
    assert await put(house, "0") == 1


async def test_buckets_are_listed_by_name_page_by_page(house: House) -> None:
    for name in ("c", "a", "B", "b"):
        await house.call(kv.create_bucket, name=name)

    first = await house.call(kv.list_buckets, limit=3)
    second = await house.call(kv.list_buckets, limit=3, cursor=first.next_cursor)

    assert [each.name for each in first.buckets] == ["B", "a", "b"]
    assert ([each.name for each in second.buckets], second.next_cursor) == (["c"], None)


async def test_without_its_bucket_nothing_can_be_done_with_a_key(house: House) -> None:
    asked: list[tuple[Operation[Any, Any], dict[str, Any]]] = [
        (kv.put, {"key": "k", "value": ""}),
        (kv.get, {"key": "k"}),
        (kv.delete, {"key": "k"}),
        (kv.delete, {"key": "k", "purge": True}),
        (kv.get_history, {"key": "k"}),
        (kv.list_keys, {}),
    ]
    for operation, fields in asked:
        with pytest.raises(BucketNotFound, match="no bucket 'nowhere'"):
            await house.call(operation, bucket="nowhere", **fields)


# Keys


async def test_what_is_put_is_got_byte_for_byte(house: House, bucket: str) -> None:
    every_byte = bytes(range(256))
    revision = await put(house, "k", every_byte)

    assert revision == 1
    assert await house.call(kv.get, bucket=bucket, key="k") == kv.Entry(
        key="k", value=every_byte, revision=1, created_at=to_datetime(house.now), operation="put"
    )
    await put(house, "empty", b"")
    assert await value(house, "empty") == b""


async def test_a_key_that_was_never_put_is_not_found(house: House, bucket: str) -> None:
    for operation in READS:
        with pytest.raises(KeyNotFound, match="no key 'k'"):
            await house.call(operation, bucket=bucket, key="k")


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


async def test_keys_of_any_characters_are_different_keys(house: House, bucket: str) -> None:
    for key in STRANGE:
        await put(house, key, key.encode())

    assert [await value(house, key) for key in STRANGE] == [key.encode() for key in STRANGE]
    assert await keys(house) == sorted(STRANGE, key=str.encode)


async def test_a_key_that_cannot_be_is_refused(house: House, bucket: str) -> None:
    for key in ("", "a*", ">", "a\nb", "x" * (KEY_BYTES_MAX + 1), "é" * (KEY_BYTES_MAX // 2 + 1)):
        with pytest.raises(InvalidKey):
            await put(house, key)

    assert await keys(house) == []


async def test_revisions_of_a_bucket_rise_with_every_change(house: House, bucket: str) -> None:
    assert [await put(house, key) for key in "aab"] == [1, 2, 3]
    await house.call(kv.delete, bucket=bucket, key="a")
    assert await put(house, "b") == 5


async def test_a_delete_leaves_a_tombstone_and_deleting_again_is_no_change(house: House, bucket: str) -> None:
    await put(house, "k", b"v")
    await house.call(kv.delete, bucket=bucket, key="k")
    await house.call(kv.delete, bucket=bucket, key="k")
    await house.call(kv.delete, bucket=bucket, key="never")

    with pytest.raises(KeyNotFound):
        await value(house, "k")
    assert await keys(house) == []
    assert await revisions(house, "k") == [(2, "delete", b"")]
    assert await put(house, "k") == 3


async def test_a_purge_removes_the_key_with_its_history(house: House) -> None:
    await house.call(kv.create_bucket, name="b", history=5)
    for text in (b"1", b"22"):
        await put(house, "k", text)
    await put(house, "other", b"333")

    await house.call(kv.delete, bucket="b", key="k", purge=True)
    await house.call(kv.delete, bucket="b", key="never", purge=True)

    for operation in READS:
        with pytest.raises(KeyNotFound):
            await house.call(operation, bucket="b", key="k")
    found = await house.call(kv.get_bucket, bucket="b")
    assert (found.values, found.bytes) == (1, 3)


async def test_history_keeps_the_newest_revisions_tombstones_among_them(house: House) -> None:
    await house.call(kv.create_bucket, name="b", history=3)
    await put(house, "k", b"1")
    await put(house, "k", b"22")
    await house.call(kv.delete, bucket="b", key="k")
    await put(house, "k", b"4444")

    assert await revisions(house, "k") == [(4, "put", b"4444"), (3, "delete", b""), (2, "put", b"22")]
    assert (await house.call(kv.get_history, bucket="b", key="k", limit=1)).count == 1
    assert await value(house, "k", revision=2) == b"22"
    assert (await house.call(kv.get, bucket="b", key="k", revision=3)).operation == "delete"
    for gone in (1, 5, 2**62):
        with pytest.raises(KeyNotFound):
            await value(house, "k", revision=gone)
    assert (await house.call(kv.get_bucket, bucket="b")).bytes == 6


# Compare and set


async def test_a_put_with_the_right_revision_changes_and_with_an_old_one_does_not(house: House, bucket: str) -> None:
    revision = await put(house, "k", b"0")
    for number, spelled in enumerate(("{}", '"{}"', 'W/"{}"'), start=1):
        old, revision = revision, await put(house, "k", b"%d" % number, if_match=spelled.format(revision))
        assert revision == old + 1

        with pytest.raises(RevisionConflict, match=f"is at revision {revision}, the request expects {old}"):
            await put(house, "k", b"no", if_match=spelled.format(old))

        assert await value(house, "k") == b"%d" % number


async def test_if_none_match_creates_once_and_again_after_a_delete(house: House, bucket: str) -> None:
    assert await put(house, "k", b"1", if_none_match="*") == 1
    with pytest.raises(RevisionConflict):
        await put(house, "k", b"2", if_none_match="*")
    assert await value(house, "k") == b"1"

    await house.call(kv.delete, bucket=bucket, key="k")
    assert await put(house, "k", b"3", if_none_match="*") == 3


async def test_a_delete_and_a_purge_obey_their_condition(house: House, bucket: str) -> None:
    await put(house, "k")
    for purge in (False, True):
        with pytest.raises(RevisionConflict):
            await house.call(kv.delete, bucket=bucket, key="k", if_match="9", purge=purge)
        with pytest.raises(RevisionConflict):
            await house.call(kv.delete, bucket=bucket, key="never", if_match="1", purge=purge)

    await house.call(kv.delete, bucket=bucket, key="k", if_match="1")
    assert await put(house, "k") == 3
    await house.call(kv.delete, bucket=bucket, key="k", if_match="3", purge=True)
    assert await keys(house) == []


async def test_a_refused_write_takes_no_revision_and_no_bytes(house: House, bucket: str) -> None:
    await put(house, "k", b"1")
    for _ in range(3):
        with pytest.raises(RevisionConflict):
            await put(house, "k", b"22", if_none_match="*")

    assert (await house.call(kv.get_bucket, bucket=bucket)).bytes == 1
    assert await put(house, "k", b"2") == 2


async def test_of_64_that_count_with_compare_and_set_none_is_lost(house: House, bucket: str) -> None:
    await put(house, "counter", b"0")

    async def increment() -> int:
        """How many times it was refused."""
        refused = 0
        while True:
            entry = await house.call(kv.get, bucket=bucket, key="counter")
            try:
                await put(house, "counter", b"%d" % (int(entry.value) + 1), if_match=str(entry.revision))
            except RevisionConflict:
                refused += 1
            else:
                return refused

    refused = await asyncio.gather(*(increment() for _ in range(64)))

    assert await value(house, "counter") == b"64"
    assert (await house.call(kv.get, bucket=bucket, key="counter")).revision == 65
    assert sum(refused) > 0


async def test_five_keys_raced_for_in_one_batch_have_one_winner_each(house: House, bucket: str) -> None:
    async def create(key: str, who: str) -> str | None:
        try:
            await put(house, key, who.encode(), if_none_match="*")
        except RevisionConflict:
            return None
        return who

    races = [(key, f"{key} {who}") for who in range(12) for key in "abcde"]
    winners = await asyncio.gather(*(create(key, who) for key, who in races))

    for key in "abcde":
        won = [who for who in winners if who is not None and who.startswith(key)]
        assert [await value(house, key)] == [who.encode() for who in won]
    assert (await house.call(kv.get_bucket, bucket=bucket)).values == 5


async def test_writes_of_one_batch_into_several_buckets_each_get_their_own_answer(house: House) -> None:
    for name in ("x", "y"):
        await house.call(kv.create_bucket, name=name)

    answers = await asyncio.gather(
        put(house, "k", bucket="x"),
        put(house, "k", bucket="missing"),
        put(house, "k", bucket="y"),
        put(house, "bad*", bucket="y"),
        put(house, "k", bucket="x"),
        house.call(kv.delete, bucket="y", key="k"),
        return_exceptions=True,
    )

    assert [each if isinstance(each, int | None) else type(each) for each in answers] == [
        1, BucketNotFound, 1, InvalidKey, 2, None
    ]  # fmt: skip


@pytest.mark.parametrize("history", [1, 2])
async def test_writes_of_one_batch_to_one_key_follow_each_other(house: House, history: int) -> None:
    await house.call(kv.create_bucket, name="b", history=history)
    await put(house, "k", b"before")

    answers = await asyncio.gather(
        put(house, "k", b"first"),
        put(house, "k", b"only at 2", if_match="2"),
        house.call(kv.delete, bucket="b", key="k"),
        put(house, "k", b"new", if_none_match="*"),
        put(house, "k", b"too late", if_match="3"),
        put(house, "other", b"12"),
        return_exceptions=True,
    )

    assert [each if isinstance(each, int | None) else type(each) for each in answers] == [
        2, 3, None, 5, RevisionConflict, 6
    ]  # fmt: skip
    assert await revisions(house, "k") == [(5, "put", b"new"), (4, "delete", b"")][:history]
    assert await value(house, "other") == b"12"
    assert (await house.call(kv.get_bucket, bucket="b")).bytes == len(b"new") + len(b"12")


# Limits


async def test_a_value_over_the_buckets_limit_is_refused(house: House) -> None:
    await house.call(kv.create_bucket, name="b", max_value_size=5)
    await put(house, "k", b"12345")

    with pytest.raises(ValueTooLarge, match="6 bytes; bucket 'b' takes up to 5"):
        await put(house, "k", b"123456")

    assert await value(house, "k") == b"12345"


async def test_a_full_bucket_takes_what_replaces_and_refuses_what_adds(house: House) -> None:
    await house.call(kv.create_bucket, name="b", max_bytes=10)
    await put(house, "a", b"12345")
    await put(house, "b", b"12345")

    with pytest.raises(BucketFull):
        await put(house, "c", b"1")
    await put(house, "a", b"abcde")
    with pytest.raises(BucketFull):
        await put(house, "a", b"abcdef")
    await house.call(kv.delete, bucket="b", key="b")
    await put(house, "c", b"12345")

    assert (await house.call(kv.get_bucket, bucket="b")).bytes == 10


async def test_a_full_bucket_with_history_takes_what_pushes_enough_out(house: House) -> None:
    await house.call(kv.create_bucket, name="b", max_bytes=10, history=2)
    for text in (b"11111", b"22222", b"33333", b"44444"):
        await put(house, "k", text)

    with pytest.raises(BucketFull):
        await put(house, "other", b"1")
    with pytest.raises(BucketFull):
        await put(house, "k", b"666666")
    assert await revisions(house, "k") == [(4, "put", b"44444"), (3, "put", b"33333")]


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


async def test_keys_are_listed_by_either_style_of_wildcard(house: House, bucket: str) -> None:
    for key in FILTERS[">"]:
        await put(house, key)

    assert {filter: await keys(house, filter=filter) for filter in FILTERS} == FILTERS


async def test_keys_are_listed_page_by_page_and_each_once(house: House, bucket: str) -> None:
    wanted = [f"k{number:03}" for number in range(25)]
    await asyncio.gather(*(put(house, key) for key in [*wanted, "other"]))

    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await house.call(kv.list_keys, bucket=bucket, filter="k*", limit=10, cursor=cursor)
        assert page.count == len(page.keys)
        pages.append(page.keys)
        cursor = page.next_cursor

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [key for page in pages for key in page] == wanted


async def test_a_filter_that_fits_few_of_many_keys_finds_them_all(house: House, bucket: str) -> None:
    await asyncio.gather(*(put(house, f"{number:04}.{'odd' if number % 2 else 'even'}") for number in range(2200)))

    assert len(await keys(house, filter="*.odd")) == 1100
    assert await keys(house, filter="2199.*") == ["2199.odd"]


async def test_a_filter_that_is_no_pattern_is_refused(house: House, bucket: str) -> None:
    for filter in ("a.>.b", ">.a"):
        with pytest.raises(InvalidPattern):
            await keys(house, filter=filter)


async def test_the_hostile_filter_of_many_stars_is_answered(house: House, bucket: str) -> None:
    await put(house, "a" * 1000)

    assert await keys(house, filter="*a" * 200 + "b") == []


# Environments


async def test_environments_know_nothing_of_each_other(house: House, bucket: str) -> None:
    await house.call(kv.create_bucket, name="b", env="staging")
    await put(house, "k", b"default")
    await put(house, "k", b"staging", env="staging")
    await put(house, "only", env="staging")

    assert (await value(house, "k"), await value(house, "k", env="staging")) == (b"default", b"staging")
    assert (await keys(house), await keys(house, env="staging")) == (["k"], ["k", "only"])
    await house.call(kv.delete_bucket, bucket="b", env="staging")
    assert await value(house, "k") == b"default"
    with pytest.raises(BucketNotFound, match="environment 'staging'"):
        await value(house, "k", env="staging")
