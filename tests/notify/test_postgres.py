"""The notifier between nodes: a notification of one node reaches the others, also after a lost connection."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.notify import postgres
from ironflow.notify.pooler import SESSION, is_pooled
from ironflow.notify.port import Notification, Waiter
from ironflow.notify.postgres import CHANNEL, PAYLOAD_BYTES, PostgresNotifier, payloads

LISTENING = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN {CHANNEL}'"


class Nodes:
    """Two notifiers on one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.here = PostgresNotifier(url, "here")
        self.there = PostgresNotifier(url, "there")

    async def listening(self) -> set[int]:
        """The backends of both that listen, once there are two."""
        deadline = time.monotonic() + 20
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                pids = {row[0] for row in await (await connection.execute(LISTENING)).fetchall()}
                if len(pids) == 2:
                    return pids
        raise AssertionError("the nodes do not listen")

    async def end(self, pids: set[int] | None = None) -> None:
        """Ends backends as a database that restarts does; all of the nodes' by default."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND (%(pids)s::int[] IS NULL OR pid = ANY(%(pids)s))""",
                {"pids": pids and list(pids)},
            )


@pytest.fixture
async def nodes(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nodes]:
    monkeypatch.setattr(postgres, "RECONNECT_S", 0.01)
    both = Nodes(postgres_url)
    await both.here.start()
    await both.there.start()
    await both.listening()
    yield both
    await both.here.close()
    await both.there.close()


async def quiet(waiter: Waiter) -> None:
    """Consumes the notifications of the start."""
    while await waiter.wait(0.05):
        pass


async def arrives(waiter: Waiter, notify: Callable[[], None], within_s: float = 20) -> bool:
    """Whether a notification arrives. It is sent again and again, for a lost connection may swallow the first."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        notify()
        if await waiter.wait(0.1):
            return True
    return False


async def test_a_notification_arrives_here_at_once_and_on_the_other_node_soon(nodes: Nodes) -> None:
    with (
        nodes.here.waiter("kv", "a") as here,
        nodes.there.waiter("kv", "a") as there,
        nodes.there.waiter("kv", "b") as other,
    ):
        for waiter in (here, there, other):
            await quiet(waiter)
        nodes.here.notify([("kv", "a")])

        assert await here.wait(0)
        assert await there.wait(10)
        assert not await other.wait(0)


async def test_a_node_receives_its_own_notification_once(nodes: Nodes) -> None:
    received: list[set[str]] = []
    with nodes.here.waiter("jobs", "b") as answered, nodes.there.waiter("jobs", "a") as there:
        await quiet(answered)
        nodes.here.listen("jobs", received.append)
        nodes.here.notify([("jobs", "a")])
        assert await there.wait(10)
        # An echo would arrive before this later notification.
        nodes.there.notify([("jobs", "b")])
        assert await answered.wait(10)

    assert received == [{"a"}, {"b"}]


async def test_thousands_of_notifications_at_once_all_arrive(nodes: Nodes) -> None:
    wanted = {f"key {number} {'x' * (number % 300)}" for number in range(3000)}
    found: set[str] = set()
    arrived = asyncio.Event()

    def listen(keys: set[str]) -> None:
        found.update(keys)
        if found >= wanted:
            arrived.set()

    nodes.there.listen("kv", listen)
    nodes.here.notify([("kv", key) for key in wanted])

    await asyncio.wait_for(arrived.wait(), 20)
    assert found - {""} == wanted


async def test_a_key_too_long_to_carry_notifies_the_whole_topic(nodes: Nodes) -> None:
    long = "x" * 10_000
    with nodes.there.waiter("kv", long) as waiter:
        await quiet(waiter)
        nodes.here.notify([("kv", long)])

        assert await waiter.wait(10)


async def test_nodes_notify_each_other_again_after_the_database_ended_their_connections(nodes: Nodes, caplog) -> None:
    with caplog.at_level(logging.WARNING), nodes.there.waiter("log") as waiter:
        await nodes.end()
        await nodes.listening()
        await quiet(waiter)

        assert await arrives(waiter, lambda: nodes.here.notify([("log", "")]))
    assert "notifier lost its connection" in {record.message for record in caplog.records}


async def test_a_node_that_reconnects_wakes_all_its_waiters_and_listeners(nodes: Nodes) -> None:
    received: list[set[str]] = []
    with nodes.there.waiter("run_ended", "run_1") as waiter:
        await quiet(waiter)
        nodes.there.listen("jobs", received.append)
        await nodes.end(await nodes.listening())

        assert await waiter.wait(20)
    assert {""} in received


async def test_a_payload_of_another_program_is_logged_and_ignored(nodes: Nodes, caplog) -> None:
    with caplog.at_level(logging.WARNING), nodes.there.waiter("log") as waiter:
        await quiet(waiter)
        async with await psycopg.AsyncConnection.connect(nodes.url, autocommit=True) as stranger:
            for text in ("", "hello", '{"a": 1}', '["me", [["log"]]]'):
                await stranger.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
        nodes.here.notify([("log", "")])

        assert await waiter.wait(10)
    assert [record.message for record in caplog.records if "here" not in record.message].count(
        "unreadable notification"
    ) == 8


async def test_closing_ends_the_tasks_and_may_happen_before_a_start(postgres_url: str) -> None:
    never = PostgresNotifier(postgres_url, "never")
    await never.close()
    started = PostgresNotifier(postgres_url, "started")
    await started.start()
    await started.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_node_without_its_database_notifies_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "RECONNECT_S", 0.01)
    alone = PostgresNotifier("postgresql://nobody@127.0.0.1:1/none", "alone")
    await alone.start()
    with alone.waiter("log") as waiter:
        alone.notify([("log", "")])

        assert await waiter.wait(1)
    await alone.close()


@given(st.lists(st.tuples(st.sampled_from(["kv", "jobs"]), st.text(max_size=3000)), max_size=20))
def test_payloads_carry_every_notification_and_fit(sent: list[Notification]) -> None:
    texts = payloads("node", sent)

    assert all(len(text.encode()) <= PAYLOAD_BYTES for text in texts)
    carried = [(topic, key) for text in texts for topic, key in json.loads(text)[1]]
    assert len(carried) == len(sent)
    for (topic, key), (carried_topic, carried_key) in zip(sent, carried, strict=True):
        assert (carried_topic, carried_key) in ((topic, key), (topic, ""))


async def test_a_local_notification_stays_on_its_node(nodes: Nodes):
    notified_there: list[set[str]] = []
    nodes.there.listen("jobs", notified_there.append)
    with nodes.here.waiter("jobs", "?") as here, nodes.there.waiter("jobs", "f") as there:
        await quiet(here)
        await quiet(there)
        notified_there.clear()

        nodes.here.notify([("jobs", "?")], local=True)
        nodes.here.notify([("jobs", "f")])

        assert await here.wait(0)
        assert await there.wait(20)
    assert notified_there == [{"f"}]


async def test_behind_a_pooler_nodes_look_regularly(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres, "is_pooled", lambda *_: True)
    monkeypatch.setattr(postgres, "LOOK_S", 0.01)
    node = PostgresNotifier(postgres_url, "here")
    with node.waiter("log") as waiter:
        await node.start()
        assert await waiter.wait(20)
        assert await waiter.wait(20)
        await node.close()
    assert [record.message for record in caplog.records] == ["a pooler is between this server and PostgreSQL"]


def test_a_pooler_is_known_by_the_process_id_that_it_makes_up(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        session = connection.execute(SESSION).fetchone()
        assert session is not None
        assert not is_pooled(connection, session)
        assert is_pooled(connection, (session[0] + 1,))
