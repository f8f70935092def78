"""Entries past their bucket's TTL vanish at that moment and are removed a little later."""

import asyncio
from typing import Any

import pytest

from ironflow.base.loop import Ran
from ironflow.base.operation import Operation
from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import KeyNotFound, RevisionConflict
from ironflow.features.kv.loops import BATCH
from tests.support.server import Server

TTL_S = 60


@pytest.fixture
async def bucket(server: Server) -> str:
    await server.call(kv.create_bucket, name="b", ttl_seconds=TTL_S, history=3)
    return "b"


async def put(server: Server, key: str, value: bytes = b"v", **conditions: str) -> int:
    return (await server.call(kv.put, bucket="b", key=key, value=value, **conditions)).revision


async def entries_stored(server: Server) -> int:
    ((count,),) = await server.db.read(lambda tx: tx.rows("SELECT count(*) FROM kv_entries"))
    return count


async def test_an_entry_is_returned_until_its_ttl_and_not_afterwards(server: Server, bucket: str) -> None:
    await put(server, "k")
    server.move(TTL_S * 1000 - 1)
    assert (await server.call(kv.get, bucket=bucket, key="k")).revision == 1
    assert (await server.call(kv.list_keys, bucket=bucket)).keys == ["k"]

    server.move(1)

    reads: list[Operation[Any, Any]] = [kv.get, kv.get_history]
    for operation in reads:
        with pytest.raises(KeyNotFound):
            await server.call(operation, bucket=bucket, key="k")
    with pytest.raises(KeyNotFound):
        await server.call(kv.get, bucket=bucket, key="k", revision=1)
    assert (await server.call(kv.list_keys, bucket=bucket)).keys == []
    assert (await server.call(kv.get_bucket, bucket=bucket)).values == 0


async def test_each_put_starts_the_time_anew_and_older_revisions_go_first(server: Server, bucket: str) -> None:
    await put(server, "k", b"1")
    server.move(TTL_S * 500)
    await put(server, "k", b"2")
    server.move(TTL_S * 500)

    found = await server.call(kv.get_history, bucket=bucket, key="k")
    assert [each.value for each in found.entries] == [b"2"]
    await server.loop("kv-expire")
    assert (await server.call(kv.get, bucket=bucket, key="k")).value == b"2"
    assert await entries_stored(server) == 1


async def test_an_expired_key_is_absent_for_conditions(server: Server, bucket: str) -> None:
    await put(server, "k")
    await put(server, "k2")
    server.move(TTL_S * 1000)

    with pytest.raises(RevisionConflict):
        await put(server, "k", if_match="1")
    with pytest.raises(RevisionConflict):
        await server.call(kv.delete, bucket=bucket, key="k", if_match="1", purge=True)
    assert await put(server, "k", if_none_match="*") == 3


async def test_the_loop_removes_what_expired_and_frees_its_bytes(server: Server, bucket: str) -> None:
    await server.call(kv.create_bucket, name="for-ever")
    await server.call(kv.put, bucket="for-ever", key="k", value=b"v")
    await put(server, "old", b"12345")
    await server.call(kv.delete, bucket=bucket, key="old")
    server.move(TTL_S * 1000)
    await put(server, "new", b"1")

    assert await server.loop("kv-expire") == [Ran({"removed": 2}, more=False)]

    assert (await server.call(kv.get_bucket, bucket=bucket)).bytes == 1
    assert (await server.call(kv.get, bucket="for-ever", key="k")).value == b"v"
    assert await entries_stored(server) == 2


async def test_the_loop_removes_a_few_at_a_time(server: Server, bucket: str) -> None:
    await asyncio.gather(*(put(server, f"{number}") for number in range(BATCH + 10)))
    server.move(TTL_S * 1000)

    assert await server.loop("kv-expire") == [Ran({"removed": BATCH}, more=True), Ran({"removed": 10}, more=False)]


async def test_without_a_ttl_nothing_expires(server: Server) -> None:
    await server.call(kv.create_bucket, name="b")
    await put(server, "k")
    server.move(100 * 366 * 86_400_000)

    assert await server.loop("kv-expire") == [Ran({"removed": 0}, more=False)]
    assert (await server.call(kv.get, bucket="b", key="k")).revision == 1
