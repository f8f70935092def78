"""Rings and joiners: both follow what was committed, never what was not."""

import asyncio
import logging

import pytest

from ironflow.base.errors import NotFound
from ironflow.broker.port import LocalBroker
from ironflow.storage.port import Database, StorageFailed, Tx
from tests.storage.notes import adding, names


def adding_and_ringing(name: str, topic: str = "notes"):
    def change(tx: Tx) -> str:
        tx.ring(topic, name)
        return adding(name)(tx)

    return change


async def test_a_ring_comes_after_the_commit(db: Database, broker: LocalBroker) -> None:
    with broker.bell("notes") as bell:
        writing = asyncio.ensure_future(db.write(adding_and_ringing("a")))
        await bell.wait(10)

        assert await db.peek(names) == ["a"]
        await writing


async def test_a_transaction_that_fails_rings_nothing(db: Database, broker: LocalBroker) -> None:
    heard: list[set[str]] = []
    broker.listen("notes", heard.append)

    def ring_and_fail(tx: Tx) -> None:
        tx.ring("notes", "never")
        raise NotFound()

    def ring_and_fail_together(tx: Tx, items: list[str]) -> list[str]:
        tx.ring("notes", "never")
        raise NotFound()

    with pytest.raises(NotFound):
        await db.write(ring_and_fail)
    with pytest.raises(NotFound):
        await db.write_many(ring_and_fail_together, "a")
    await db.write(adding_and_ringing("b"))

    assert heard == [{"b"}]


async def test_a_ring_of_a_transaction_that_changed_nothing_is_heard(db: Database, broker: LocalBroker) -> None:
    with broker.bell("notes", "a") as bell:
        await db.write(lambda tx: tx.ring("notes", "a"))

        assert await bell.wait(10)


async def test_a_ring_outside_of_a_transaction_is_heard(db: Database, broker: LocalBroker) -> None:
    with broker.bell("notes", "a") as bell:
        db.ring("notes", "a")

        assert await bell.wait(10)


async def test_the_ring_of_a_cancelled_caller_is_heard_all_the_same(db: Database, broker: LocalBroker) -> None:
    with broker.bell("notes") as bell:
        writing = asyncio.ensure_future(db.write(adding_and_ringing("a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()

        assert await bell.wait(10)
    assert await db.read(names) == ["a"]


async def test_a_joiner_is_told_the_keys_that_rang_and_answers_after_the_commit(db: Database) -> None:
    joined = asyncio.get_running_loop().create_future()
    told: list[set[str]] = []

    def joiner(tx: Tx, keys: set[str]):
        told.append(keys)
        seen = names(tx)
        adding("joined")(tx)
        return lambda: joined.set_result(seen)

    db.join("notes", joiner)
    await db.write(adding("quiet"))
    assert told == []

    await db.write(adding_and_ringing("a"))

    assert await asyncio.wait_for(joined, 10) == ["a", "quiet"]
    assert told == [{"a"}]
    assert await db.read(names) == ["a", "joined", "quiet"]


async def test_a_ring_from_outside_runs_the_joiner_too(db: Database) -> None:
    told = asyncio.get_running_loop().create_future()
    db.join("notes", lambda tx, keys: lambda: told.set_result(keys))

    db.ring("notes", "?")

    assert await asyncio.wait_for(told, 10) == {"?"}


@pytest.mark.parametrize("surprise", [ZeroDivisionError("a fault in a joiner"), StorageFailed("a fault in a joiner")])
async def test_a_joiner_that_fails_undoes_itself_and_is_asked_again_at_the_next_ring(
    db: Database, caplog: pytest.LogCaptureFixture, surprise: Exception
) -> None:
    loop = asyncio.get_running_loop()
    tries = [loop.create_future(), loop.create_future()]

    def joiner(tx: Tx, keys: set[str]):
        (key,) = keys
        adding(f"{key} joined")(tx)
        if key == "a":
            loop.call_soon_threadsafe(tries[0].set_result, None)
            raise surprise
        return lambda: tries[1].set_result(None)

    db.join("notes", joiner)

    with caplog.at_level(logging.WARNING, "ironflow.storage"):
        assert await db.write(adding_and_ringing("a")) == "a"
        await asyncio.wait_for(tries[0], 10)
        assert await db.write(adding_and_ringing("b")) == "b"
        await asyncio.wait_for(tries[1], 10)

    assert await db.read(names) == ["a", "b", "b joined"]
    assert [record.message for record in caplog.records] == ["joiner failed"]
