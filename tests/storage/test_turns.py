"""Which transactions of a busy database run next, and which are refused."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from ironflow.base.urgency import Urgency, urgency
from ironflow.notify.port import LocalNotifier
from ironflow.storage.port import Overloaded, Tx
from ironflow.storage.postgres import POOL_SIZE, RESERVED, PostgresDatabase, open_postgres
from ironflow.storage.turns import Turns
from tests.storage.notes import adding, names


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Order:
    """Takes turns in the background, and notes who got one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.got: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def take(self, name: str, urgency: Urgency) -> None:
        async def taking() -> None:
            await self.turns.take(urgency)
            self.got.append(name)

        self.tasks.append(asyncio.ensure_future(taking()))

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_work_under_way_goes_before_new_work_that_came_first():
    order = Order(Turns(size=2, reserved=0, wait_s=10))
    for name in ("1", "2"):
        order.take(name, "new")
    await settled()
    order.take("new", "new")
    await settled()
    order.take("report", "under_way")
    await settled()
    assert order.got == ["1", "2"]

    order.turns.give("new")
    await settled()
    order.turns.give("new")
    await settled()

    assert order.got == ["1", "2", "report", "new"]
    await order.end()


async def test_new_work_leaves_places_to_work_under_way():
    order = Order(Turns(size=3, reserved=1, wait_s=10))
    for name in ("1", "2", "3"):
        order.take(name, "new")
    order.take("report", "under_way")
    await settled()
    assert order.got == ["1", "2", "report"]
    assert order.turns.waiting["new"] == 1
    await order.end()


async def test_what_waits_too_long_is_refused_with_nothing_done_but_not_the_servers_own_work():
    order = Order(Turns(size=1, reserved=0, wait_s=0))
    order.take("1", "background")
    await settled()
    order.take("2", "background")
    for kind in ("new", "under_way"):
        with pytest.raises(Overloaded) as raised:
            await order.turns.take(kind)
        assert (raised.value.status, raised.value.connect) == (503, "resource_exhausted")
        assert raised.value.retry_after_s
    assert order.turns.refused == {"new": 1, "under_way": 1}
    order.turns.give("background")
    await settled()
    assert order.got == ["1", "2"]
    await order.end()


async def test_a_caller_that_leaves_gives_its_turn_to_the_next():
    order = Order(Turns(size=1, reserved=0, wait_s=10))
    for name in ("1", "2", "3"):
        order.take(name, "new")
    await settled()
    order.tasks[1].cancel()
    order.turns.give("new")
    await settled()
    assert order.got == ["1", "3"]
    assert not order.turns.waiting["new"]
    await order.end()


@pytest.fixture
async def db(empty_postgres_url: str, only_notes: None) -> AsyncIterator[PostgresDatabase]:
    opened = await open_postgres(empty_postgres_url, LocalNotifier(), now=0, wait_ms=50)
    yield opened
    await opened.close()


async def test_a_busy_postgres_refuses_new_work_and_serves_reports(db: PostgresDatabase):
    go_on = threading.Event()

    def slow(tx: Tx) -> None:
        go_on.wait(20)

    def add_all(tx: Tx, items: list[str]) -> list[str]:
        return [adding(item)(tx) for item in items]

    token = urgency.set("new")
    busy = [asyncio.ensure_future(db.write(slow)) for _ in range(POOL_SIZE - RESERVED)]
    await settled()
    with pytest.raises(Overloaded):
        await db.write(adding("late"))
    with pytest.raises(Overloaded):
        await db.write_many(add_all, "late in a batch")
    with pytest.raises(Overloaded):
        await db.read(names)
    urgency.reset(token)
    assert db.load() == ({"new": 0}, {"new": 3})
    assert await db.write(adding("report")) == "report"

    go_on.set()
    await asyncio.gather(*busy)
    assert await db.read(names) == ["report"]


async def test_a_lock_is_waited_for_no_longer_than_a_turn(db: PostgresDatabase):
    held, go_on = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.run("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        held.set()
        go_on.wait(20)

    holding = asyncio.ensure_future(db.write(hold))
    await asyncio.to_thread(held.wait, 10)
    with pytest.raises(Overloaded):
        await db.write(adding("a"))
    go_on.set()
    await holding
