"""Entries past their bucket's TTL vanish at that moment and are removed a little later."""

import asyncio
from typing import Any

import pytest

from ironflow.base.operation import Operation
from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import KeyNotFound, RevisionConflict
from ironflow.features.kv.loops import BATCH, Expired
from tests.support.house import House

TTL_S = 60


@pytest.fixture
async def bucket(house: House) -> str:
    await house.call(kv.create_bucket, name="b", ttl_seconds=TTL_S, history=3)
    return "b"


async def put(house: House, key: str, value: bytes = b"v", **conditions: str) -> int:
    return (await house.call(kv.put, bucket="b", key=key, value=value, **conditions)).revision


async def entries_stored(house: House) -> int:
    ((count,),) = await house.db.read(lambda tx: tx.rows("SELECT count(*) FROM kv_entries"))
    return count


async def test_an_entry_is_seen_until_its_ttl_and_then_by_nobody(house: House, bucket: str) -> None:
    await put(house, "k")
    house.move(TTL_S * 1000 - 1)
    assert (await house.call(kv.get, bucket=bucket, key="k")).revision == 1
    assert (await house.call(kv.list_keys, bucket=bucket)).keys == ["k"]

    house.move(1)

    reads: list[Operation[Any, Any]] = [kv.get, kv.get_history]
    for operation in reads:
        with pytest.raises(KeyNotFound):
            await house.call(operation, bucket=bucket, key="k")
    with pytest.raises(KeyNotFound):
        await house.call(kv.get, bucket=bucket, key="k", revision=1)
    assert (await house.call(kv.list_keys, bucket=bucket)).keys == []
    assert (await house.call(kv.get_bucket, bucket=bucket)).values == 0


async def test_each_put_starts_the_time_anew_and_older_revisions_go_first(house: House, bucket: str) -> None:
    await put(house, "k", b"1")
    house.move(TTL_S * 500)
    await put(house, "k", b"2")
    house.move(TTL_S * 500)

    found = await house.call(kv.get_history, bucket=bucket, key="k")
    assert [each.value for each in found.entries] == [b"2"]
    await house.loop("kv-expire")
    assert (await house.call(kv.get, bucket=bucket, key="k")).value == b"2"
    assert await entries_stored(house) == 1


async def test_an_expired_key_is_absent_for_conditions(house: House, bucket: str) -> None:
    await put(house, "k")
    await put(house, "k2")
    house.move(TTL_S * 1000)

    with pytest.raises(RevisionConflict):
        await put(house, "k", if_match="1")
    with pytest.raises(RevisionConflict):
        await house.call(kv.delete, bucket=bucket, key="k", if_match="1", purge=True)
    assert await put(house, "k", if_none_match="*") == 3


async def test_the_loop_removes_what_expired_and_frees_its_bytes(house: House, bucket: str) -> None:
    await house.call(kv.create_bucket, name="for-ever")
    await house.call(kv.put, bucket="for-ever", key="k", value=b"v")
    await put(house, "old", b"12345")
    await house.call(kv.delete, bucket=bucket, key="old")
    house.move(TTL_S * 1000)
    await put(house, "new", b"1")

    assert await house.loop("kv-expire") == [Expired(removed=2, more=False)]

    assert (await house.call(kv.get_bucket, bucket=bucket)).bytes == 1
    assert (await house.call(kv.get, bucket="for-ever", key="k")).value == b"v"
    assert await entries_stored(house) == 2


async def test_the_loop_removes_a_few_at_a_time(house: House, bucket: str) -> None:
    await asyncio.gather(*(put(house, f"{number}") for number in range(BATCH + 10)))
    house.move(TTL_S * 1000)

    assert await house.loop("kv-expire") == [Expired(removed=BATCH, more=True), Expired(removed=10, more=False)]


async def test_without_a_ttl_nothing_expires(house: House) -> None:
    await house.call(kv.create_bucket, name="b")
    await put(house, "k")
    house.move(100 * 366 * 86_400_000)

    assert await house.loop("kv-expire") == [Expired(removed=0, more=False)]
    assert (await house.call(kv.get, bucket="b", key="k")).revision == 1
