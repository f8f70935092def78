"""A follower sees every event once, in order, and misses none, whatever commits late and whoever dies."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable

import pytest

from ironflow.broker.port import LocalBroker
from ironflow.log.append import append
from ironflow.log.follower import Follower
from ironflow.log.record import Record
from ironflow.storage.open import open_database
from ironflow.storage.port import Database, Tx
from tests.log.records import record

CURSORS = "SELECT follower, position, updated_at FROM log_cursors ORDER BY follower"


class Died(Exception):
    """The process ended here."""


class Seen:
    """A follower's handler that notes what it is given, in the order of its calls."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, tx: Tx, found: list[Record]) -> None:
        self.batches.append([each.id for each in found])

    @property
    def ids(self) -> list[str]:
        return [id for batch in self.batches for id in batch]


def appending(*ids: str) -> Callable[[Tx], None]:
    def change(tx: Tx) -> None:
        append(tx, [record(id) for id in ids])

    return change


async def test_a_follower_gets_what_is_there_and_then_what_comes(db: Database) -> None:
    seen = Seen()
    follower = Follower(db, "projections", seen)
    assert await follower.run_once(now=1) == 0

    await db.write(appending("a", "b"))
    assert await follower.run_once(now=2) == 2
    assert await follower.run_once(now=3) == 0
    await db.write(appending("c"))
    assert await follower.run_once(now=4) == 1

    assert seen.batches == [["a", "b"], ["c"]]
    assert await db.read(lambda tx: tx.rows(CURSORS)) == [("projections", 3, 4)]


async def test_batches_are_no_larger_than_asked(db: Database) -> None:
    seen = Seen()
    follower = Follower(db, "projections", seen, batch=2)
    await db.write(appending(*"abcde"))

    counts = [await follower.run_once(now=0) for _ in range(4)]

    assert counts == [2, 2, 1, 0]
    assert seen.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_followers_with_other_names_have_cursors_of_their_own(db: Database) -> None:
    one, two = Seen(), Seen()
    await db.write(appending("a"))
    await Follower(db, "one", one).run_once(now=0)
    await db.write(appending("b"))

    await Follower(db, "two", two).run_once(now=0)

    assert (one.ids, two.ids) == (["a"], ["a", "b"])


async def test_a_follower_goes_on_where_another_of_its_name_stopped(db: Database) -> None:
    await db.write(appending("a", "b"))
    await Follower(db, "projections", Seen()).run_once(now=0)
    await db.write(appending("c"))
    after_restart = Seen()

    await Follower(db, "projections", after_restart).run_once(now=0)

    assert after_restart.ids == ["c"]


async def test_the_cursor_is_saved_with_the_result_or_not_at_all(db: Database) -> None:
    """What was half done when the process died is undone and done again."""
    await db.write(appending("a", "b", "c"))

    def note_each(tx: Tx, found: list[Record], dies_at: str = "") -> None:
        for each in found:
            tx.run(
                "INSERT INTO log_cursors (follower, position, updated_at) VALUES (:id, 0, 0)", {"id": f"saw {each.id}"}
            )
            if each.id == dies_at:
                raise Died

    with pytest.raises(Died):
        await Follower(db, "projections", lambda tx, found: note_each(tx, found, dies_at="b")).run_once(now=0)
    assert await db.read(lambda tx: tx.rows(CURSORS)) == []

    assert await Follower(db, "projections", note_each).run_once(now=7) == 3
    assert [row[:2] for row in await db.read(lambda tx: tx.rows(CURSORS))] == [
        ("projections", 3), ("saw a", 0), ("saw b", 0), ("saw c", 0)
    ]  # fmt: skip


async def test_a_follower_beside_many_writers_misses_nothing_and_sees_no_event_twice(db: Database) -> None:
    seen = Seen()
    follower = Follower(db, "projections", seen, batch=7)
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
        while len(seen.ids) < len(wanted):
            await follower.run_once(now=0)

    await asyncio.wait_for(asyncio.gather(follow(), *(write(writer) for writer in range(8))), 30)

    order = await db.read(lambda tx: [row[0] for row in tx.rows("SELECT id FROM events ORDER BY position")])
    assert seen.ids == order
    assert set(order) == wanted


async def test_a_follower_that_reads_while_a_commit_is_delayed_misses_nothing(postgres_url: str) -> None:
    """The gap that a sequence would leave: position 1 is taken but not committed while 2 is written."""
    db = await open_database(postgres_url, LocalBroker(), now=0)
    seen = Seen()
    follower = Follower(db, "projections", seen)
    taken, go_on = threading.Event(), threading.Event()

    def append_and_dawdle(tx: Tx) -> None:
        appending("slow")(tx)
        taken.set()
        go_on.wait(20)

    slow = asyncio.ensure_future(db.write(append_and_dawdle))
    await asyncio.to_thread(taken.wait, 20)
    quick = [asyncio.ensure_future(db.write(appending(f"quick {number}"))) for number in range(3)]
    for _ in range(5):
        assert await follower.run_once(now=0) == 0
    go_on.set()
    await asyncio.gather(slow, *quick)
    while await follower.run_once(now=0):
        pass

    assert seen.ids[0] == "slow"
    assert sorted(seen.ids[1:]) == ["quick 0", "quick 1", "quick 2"]
    await db.close()


async def test_two_nodes_that_follow_under_one_name_share_the_work_from_the_first_event_on(postgres_url: str) -> None:
    nodes = [await open_database(postgres_url, LocalBroker(), now=0) for _ in range(2)]
    await nodes[0].write(appending(*(f"{number:02}" for number in range(40))))
    both_look = threading.Barrier(2)
    seen: list[str] = []

    def handle(tx: Tx, found: list[Record]) -> None:
        # The first round of both is at the same time, if the second is let in at all.
        with contextlib.suppress(threading.BrokenBarrierError):
            both_look.wait(0.2)
        seen.extend(each.id for each in found)

    async def follow(node: Database) -> None:
        while await Follower(node, "projections", handle, batch=5).run_once(now=0):
            pass

    await asyncio.gather(*(follow(node) for node in nodes))

    assert seen == [f"{number:02}" for number in range(40)]
    for node in nodes:
        await node.close()
