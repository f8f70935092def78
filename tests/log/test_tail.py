"""The tail hands every new record to its listeners, in order, in pages that begin small and need one statement."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from ironflow.log.append import append
from ironflow.log.follower import PROBE
from ironflow.log.record import Record
from ironflow.log.tail import BATCH, Tail
from ironflow.storage.port import Database, Tx
from tests.log.records import record

T = TypeVar("T")


async def follow(db: Database) -> tuple[Tail, list[list[str]]]:
    """A tail with a listener, and the ids of each page that it is given."""
    pages: list[list[str]] = []

    def listener(records: list[Record]) -> None:
        pages.append([each.id for each in records])

    tail = Tail(db)
    await tail.add(listener)
    return tail, pages


async def append_records(db: Database, count: int, data: str = "{}") -> list[str]:
    ids = [f"{data[:1]}{number}" for number in range(count)]
    await db.write(lambda tx: append(tx, [record(id, data=data) for id in ids]))
    return ids


async def run_to_the_end(tail: Tail) -> None:
    while (await tail.run_once(0)).more:
        pass


async def test_every_record_is_handed_out_once_and_in_order(db: Database) -> None:
    await append_records(db, 3, "[]")
    tail, pages = await follow(db)
    ids = await append_records(db, 3 * PROBE + BATCH)

    await run_to_the_end(tail)

    assert [id for page in pages for id in page] == ids
    assert tail.position == 3 + len(ids)


async def test_a_page_is_small_until_the_size_of_records_is_known(db: Database) -> None:
    tail, pages = await follow(db)
    await append_records(db, 2 * BATCH)

    await run_to_the_end(tail)

    assert [len(page) for page in pages] == [PROBE, BATCH, BATCH - PROBE]


async def test_pages_of_large_records_stay_small(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ironflow.log.tail.BATCH_BYTES", 400)
    tail, pages = await follow(db)
    await append_records(db, 2 * PROBE, f'"{"x" * 98}"')

    await run_to_the_end(tail)

    assert [len(page) for page in pages] == [PROBE, 4, 4, 4, 4]


async def test_a_page_takes_one_statement(db: Database) -> None:
    """Few records at a time are the rule, and there is a round for each commit."""
    tail, pages = await follow(db)
    ids = await append_records(db, 1)
    snapshots: list[object] = []
    peek = db.peek

    async def counted(fn: Callable[[Tx], T]) -> T:
        snapshots.append(fn)
        return await peek(fn)

    db.peek = counted  # pyright: ignore[reportAttributeAccessIssue]
    ran = await tail.run_once(0)

    assert (pages, ran.more, snapshots) == ([ids], False, [])
