"""What a worker does at one node costs the other nodes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from ironflow.base.time import FixedClock
from tests.support.server import open_server
from tests.support.work import Work


class Node:
    """A server, the transactions that it begins, and the notifications that it gets from others."""

    def __init__(self, server: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.transactions: list[str] = []
        self.notified: list[tuple[str, str]] = []
        db, notifier = cast("Any", server.db), cast("Any", server.inside.notifier)
        transact: Callable[..., Any] = db._transact
        notify = notifier._local.notify

        def counted(fn: Any, **more: Any) -> Any:
            self.transactions.append(getattr(fn, "__qualname__", str(fn)))
            return transact(fn, **more)

        def noted(notifications: Any, **more: Any) -> None:
            self.notified += list(notifications)
            notify(notifications, **more)

        monkeypatch.setattr(server.db, "_transact", counted)
        monkeypatch.setattr(notifier._local, "notify", noted)

    def forget(self) -> None:
        self.transactions.clear()
        self.notified.clear()


@asynccontextmanager
async def two_nodes(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Work, Node]]:
    clock = FixedClock()
    async with open_server(Work, url, clock=clock) as here, open_server(Work, url, clock=clock) as there:
        yield here, Node(there, monkeypatch)


async def settled(here: Work, there: Node) -> None:
    """Returns when all that was notified here has arrived there, and was worked off."""
    with there.server.inside.notifier.waiter("marker") as waiter:
        async with asyncio.timeout(20):
            while not await waiter.wait(0.2):
                here.inside.notifier.notify([("marker", "")])
    there.notified = [each for each in there.notified if each[0] != "marker"]
    tasks: set[Any] = cast("Any", there.server.db)._tasks
    while tasks:
        await asyncio.wait(set(tasks))


async def test_a_poll_at_one_node_makes_no_transaction_at_another(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    async with two_nodes(postgres_url, monkeypatch) as (here, there):
        await here.a_function()
        await here.a_worker()
        await settled(here, there)
        there.forget()

        for _ in range(10):
            assert await here.poll() == []
            await here.heartbeat()
        await settled(here, there)

        assert (there.transactions, there.notified) == ([], [])


async def test_a_run_that_is_worked_off_at_one_node_makes_no_transaction_at_another(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    async with two_nodes(postgres_url, monkeypatch) as (here, there):
        await here.a_function()
        await here.a_worker()
        await settled(here, there)
        there.forget()

        await here.emit()
        job = await here.claim()
        await here.report(job, "completed")
        await settled(here, there)

        assert there.transactions == []
