"""Positions are given in the order of commits and without gaps, on either database."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ironflow.base.errors import NotFound
from ironflow.log.append import append
from ironflow.log.read import head, records
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Database, Tx
from tests.log.records import everything_after, record


def appending(*ids: str) -> Callable[[Tx], list[int]]:
    """A transaction that appends events with these ids and answers their positions."""

    def change(tx: Tx) -> list[int]:
        return [placed.position for placed in append(tx, [record(id) for id in ids])]

    return change


def everything(tx: Tx) -> list[tuple[int, str]]:
    return [(each.position, each.id) for each in everything_after(tx, 0, 10_000)]


async def test_the_first_event_is_at_position_one_and_the_next_ones_follow(db: Database) -> None:
    assert await db.read(head) == 0

    assert await db.write(appending("a", "b")) == [1, 2]
    assert await db.write(appending("c")) == [3]

    assert await db.read(everything) == [(1, "a"), (2, "b"), (3, "c")]
    assert await db.read(head) == 3


async def test_what_is_read_is_what_was_appended(db: Database) -> None:
    full = record(
        "evt_1",
        data='{"n": 123456789012345678901234567890, "s": "\\u0000 é"}',
        metadata='{"a":1}',
        version=3,
        source="shop",
        namespace="eu",
        idempotency_key="k",
        run_id="run_1",
        emitted_by="key:apikey_1",
    )
    plain = record("evt_2", environment="staging", kind="invoke")

    await db.write(lambda tx: append(tx, [full, plain]))

    assert await db.read(lambda tx: everything_after(tx, 0, 10)) == [
        replace(full, position=1),
        replace(plain, position=2),
    ]
    assert await db.read(lambda tx: records(tx, ["evt_2", "evt_none"])) == {"evt_2": replace(plain, position=2)}


async def test_appending_nothing_takes_no_position_and_notifies_nothing(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        assert await db.write(appending()) == []

        assert not await waiter.wait(0.01)
    assert await db.read(head) == 0


async def test_an_append_notifies_the_log(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        await db.write(appending("a"))

        assert await waiter.wait(10)


async def test_the_key_names_what_was_appended_up_to_a_limit(db: Database, notifier: LocalNotifier) -> None:
    received: list[set[str]] = []
    notifier.listen("log", received.append)

    def many(count: int) -> Callable[[Tx], object]:
        return lambda tx: append(tx, [replace(record(f"{count}-{n}"), name=f"order.n{n}") for n in range(count)])

    await db.write(many(1))
    await db.write(many(2))
    await db.write(many(100))

    one, two = "default\nevent\norder.n0", "default\nevent\norder.n1"
    assert received == [{one}, {one, two}, {""}]


async def test_a_transaction_that_fails_gives_its_positions_back(db: Database) -> None:
    def fail(tx: Tx) -> None:
        appending("never")(tx)
        raise NotFound()

    await db.write(appending("a"))
    for _ in range(3):
        with pytest.raises(NotFound):
            await db.write(fail)

    assert await db.write(appending("b")) == [2]


async def test_many_at_once_some_failing_leave_no_gap_and_each_commit_is_in_one_piece(db: Database) -> None:
    def fail(tx: Tx) -> None:
        appending("never", "ever")(tx)
        raise NotFound()

    work = [
        db.write(fail) if number % 5 == 0 else db.write(appending(f"{number}-a", f"{number}-b", f"{number}-c"))
        for number in range(60)
    ]
    answers = await asyncio.gather(*work, return_exceptions=True)

    found = await db.read(everything)
    assert [position for position, _ in found] == list(range(1, 3 * 48 + 1))
    placed = dict(found)
    for number, answer in enumerate(answers):
        if number % 5 == 0:
            assert isinstance(answer, NotFound)
        else:
            assert isinstance(answer, list)
            assert answer == list(range(answer[0], answer[0] + 3))
            assert [placed[position] for position in answer] == [f"{number}-{letter}" for letter in "abc"]


async def test_reading_after_a_position_is_in_order_and_limited(db: Database) -> None:
    await db.write(appending(*"abcdef"))

    assert [each.id for each in await db.read(lambda tx: everything_after(tx, 2, 3))] == ["c", "d", "e"]
    assert await db.read(lambda tx: everything_after(tx, 6, 3)) == []


async def test_on_postgresql_an_append_waits_for_one_that_delays_its_commit(postgres_url: str) -> None:
    """So no reader sees position 2 before position 1, whichever commit would have been quicker."""
    slow_node = await open_database(postgres_url, LocalNotifier(), now=0)
    quick_node = await open_database(postgres_url, LocalNotifier(), now=0)
    placed, go_on = threading.Event(), threading.Event()

    def append_and_dawdle(tx: Tx) -> list[int]:
        positions = appending("slow")(tx)
        placed.set()
        go_on.wait(20)
        return positions

    slow = asyncio.ensure_future(slow_node.write(append_and_dawdle))
    await asyncio.to_thread(placed.wait, 20)
    quick = asyncio.ensure_future(quick_node.write(appending("quick")))

    done, _ = await asyncio.wait([quick], timeout=0.1)
    assert not done
    assert await quick_node.read(everything) == []

    go_on.set()
    assert (await slow, await quick) == ([1], [2])
    assert await quick_node.read(everything) == [(1, "slow"), (2, "quick")]
    await slow_node.close()
    await quick_node.close()
