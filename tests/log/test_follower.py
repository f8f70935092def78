"""A follower sees every event once, in order, and misses none, whatever commits late and whichever process dies."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable

import pytest

from ironflow.log.append import append
from ironflow.log.follower import Follower
from ironflow.log.record import Record
from ironflow.log.scan import EVERYTHING
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Database, Tx
from tests.log.records import record

CURSORS = "SELECT name, position FROM cursors ORDER BY name"


class Died(Exception):
    """The process ended here."""


class Named:
    """A follower whose owner keeps its cursor in a row, and notes the ids it is given in the order of its reads."""

    def __init__(
        self,
        db: Database,
        name: str = "one",
        batch: int = 500,
        handle: Callable[[Tx, list[Record]], None] | None = None,
    ) -> None:
        self.db = db
        self.name = name
        self.batch = batch
        self.handle = handle or self.note
        self.batches: list[list[str]] = []

    def note(self, tx: Tx, found: list[Record]) -> None:
        self.batches.append([each.id for each in found])

    async def run_once(self) -> int:
        """Handles the next page; how many records that were."""

        def advance(tx: Tx) -> int:
            lock = "SELECT position FROM cursors WHERE name = :name {for_update}"
            tx.run("INSERT INTO cursors (name, position) VALUES (:name, 0) ON CONFLICT DO NOTHING", {"name": self.name})
            row = tx.row(lock, {"name": self.name})
            follower = Follower(EVERYTHING, row[0] if row else 0, batch_max=self.batch)
            page = follower.read(tx)
            if page.items:
                self.handle(tx, page.items)
            follower.advance(page.reached, page.items)
            saved = {"name": self.name, "position": follower.position}
            tx.run("UPDATE cursors SET position = :position WHERE name = :name", saved)
            return len(page.items)

        return await self.db.write(advance)

    @property
    def ids(self) -> list[str]:
        return [id for batch in self.batches for id in batch]


async def make_cursors(db: Database) -> None:
    def make(tx: Tx) -> None:
        tx.run("CREATE TABLE cursors (name {text} PRIMARY KEY, position BIGINT NOT NULL)")
        # A transaction that changed no row is not committed.
        tx.run("INSERT INTO cursors (name, position) VALUES ('', 0)")
        tx.run("DELETE FROM cursors")

    await db.write(make)


@pytest.fixture
async def db(db: Database) -> Database:
    await make_cursors(db)
    return db


def appending(*ids: str) -> Callable[[Tx], None]:
    def change(tx: Tx) -> None:
        append(tx, [record(id) for id in ids])

    return change


async def test_a_follower_gets_what_is_there_and_then_what_comes(db: Database) -> None:
    follower = Named(db)
    assert await follower.run_once() == 0

    await db.write(appending("a", "b"))
    assert [await follower.run_once() for _ in range(2)] == [2, 0]
    await db.write(appending("c"))
    assert await follower.run_once() == 1

    assert follower.batches == [["a", "b"], ["c"]]
    assert await db.read(lambda tx: tx.rows(CURSORS)) == [("one", 3)]


async def test_batches_are_no_larger_than_asked(db: Database) -> None:
    follower = Named(db, batch=2)
    await db.write(appending(*"abcde"))

    counts = [await follower.run_once() for _ in range(4)]

    assert counts == [2, 2, 1, 0]
    assert follower.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_batch_is_smaller_after_records_with_much_data(db: Database) -> None:
    await db.write(lambda tx: append(tx, [record(id, data=f'"{"x" * 98}"') for id in "abcdef"]))
    follower = Follower(EVERYTHING, 0, batch_max=4, bytes_max=200)
    sizes: list[int] = []
    while follower.position < 6:
        page = await db.read(follower.read)
        follower.advance(page.reached, page.items)
        sizes.append(len(page.items))

    assert (sizes, follower.is_behind) == ([4, 2], False)


async def test_followers_with_other_names_have_cursors_of_their_own(db: Database) -> None:
    one, two = Named(db, "one"), Named(db, "two")
    await db.write(appending("a"))
    await one.run_once()
    await db.write(appending("b"))

    await two.run_once()

    assert (one.ids, two.ids) == (["a"], ["a", "b"])


async def test_a_follower_goes_on_where_another_of_its_name_stopped(db: Database) -> None:
    await db.write(appending("a", "b"))
    await Named(db).run_once()
    await db.write(appending("c"))
    after_restart = Named(db)

    await after_restart.run_once()

    assert after_restart.ids == ["c"]


async def test_the_cursor_is_saved_with_the_result_or_not_at_all(db: Database) -> None:
    """What was half done when the process died is undone and done again."""
    await db.write(appending("a", "b", "c"))

    def note_each(tx: Tx, found: list[Record], dies_at: str = "") -> None:
        for each in found:
            tx.run("INSERT INTO cursors (name, position) VALUES (:id, 0)", {"id": f"saw {each.id}"})
            if each.id == dies_at:
                raise Died

    with pytest.raises(Died):
        await Named(db, handle=lambda tx, found: note_each(tx, found, dies_at="b")).run_once()
    assert await db.read(lambda tx: tx.rows(CURSORS)) == []

    assert await Named(db, handle=note_each).run_once() == 3
    assert await db.read(lambda tx: tx.rows(CURSORS)) == [("one", 3), ("saw a", 0), ("saw b", 0), ("saw c", 0)]


async def test_a_follower_beside_many_writers_misses_nothing_and_sees_no_event_twice(db: Database) -> None:
    follower = Named(db, batch=7)
    chance = random.Random(5)
    wanted = {f"{writer}-{number}" for writer in range(8) for number in range(15)}

    async def write(writer: int) -> None:
        for number in range(15):
            if chance.random() < 0.2:
                with pytest.raises(Died):
                    await db.write(failing)
            await db.write(appending(f"{writer}-{number}"))

    def failing(tx: Tx) -> None:
        appending("never")(tx)
        raise Died

    async def follow() -> None:
        while len(follower.ids) < len(wanted):
            await follower.run_once()

    await asyncio.wait_for(asyncio.gather(follow(), *(write(writer) for writer in range(8))), 30)

    order = await db.read(lambda tx: [row[0] for row in tx.rows("SELECT id FROM events ORDER BY position")])
    assert follower.ids == order
    assert set(order) == wanted


async def test_a_follower_that_reads_while_a_commit_is_delayed_misses_nothing(postgres_url: str) -> None:
    """The gap that a sequence would leave: position 1 is taken but not committed while 2 is written."""
    db = await open_database(postgres_url, LocalNotifier(), now=0)
    await make_cursors(db)
    follower = Named(db)
    taken, go_on = threading.Event(), threading.Event()

    def append_and_dawdle(tx: Tx) -> None:
        appending("slow")(tx)
        taken.set()
        go_on.wait(20)

    slow = asyncio.ensure_future(db.write(append_and_dawdle))
    await asyncio.to_thread(taken.wait, 20)
    quick = [asyncio.ensure_future(db.write(appending(f"quick {number}"))) for number in range(3)]
    for _ in range(5):
        assert await follower.run_once() == 0
    go_on.set()
    await asyncio.gather(slow, *quick)
    while await follower.run_once():
        pass

    assert follower.ids[0] == "slow"
    assert sorted(follower.ids[1:]) == ["quick 0", "quick 1", "quick 2"]
    await db.close()


async def test_two_nodes_that_follow_under_one_name_share_the_work_from_the_first_event_on(postgres_url: str) -> None:
    nodes = [await open_database(postgres_url, LocalNotifier(), now=0) for _ in range(2)]
    await make_cursors(nodes[0])
    await nodes[0].write(appending(*(f"{number:02}" for number in range(40))))
    both_look = threading.Barrier(2)
    seen: list[str] = []

    def handle(tx: Tx, found: list[Record]) -> None:
        # The first round of both is at the same time, if the second is let in at all.
        with contextlib.suppress(threading.BrokenBarrierError):
            both_look.wait(0.2)
        seen.extend(each.id for each in found)

    async def follow(node: Database) -> None:
        while await Named(node, batch=5, handle=handle).run_once():
            pass

    await asyncio.gather(*(follow(node) for node in nodes))

    assert seen == [f"{number:02}" for number in range(40)]
    for node in nodes:
        await node.close()
