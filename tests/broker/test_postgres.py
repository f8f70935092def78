"""The doorbell between nodes: what rings on one is heard on the other, also after its connection was lost."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.broker import postgres
from ironflow.broker.port import Bell, Ring
from ironflow.broker.postgres import CHANNEL, PAYLOAD_BYTES, PostgresBroker, payloads

LISTENING = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN {CHANNEL}'"


class Nodes:
    """Two brokers on one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.here = PostgresBroker(url, "here")
        self.there = PostgresBroker(url, "there")

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


async def quiet(bell: Bell) -> None:
    """The rings of starting are over."""
    while await bell.wait(0.05):
        pass


async def heard(bell: Bell, ring: Callable[[], None], within_s: float = 20) -> bool:
    """Whether a ring arrives; rung again and again, for the first may fall into a lost connection."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        ring()
        if await bell.wait(0.1):
            return True
    return False


async def test_a_ring_is_heard_here_at_once_and_there_soon(nodes: Nodes) -> None:
    with nodes.here.bell("kv", "a") as here, nodes.there.bell("kv", "a") as there, nodes.there.bell("kv", "b") as other:
        for bell in (here, there, other):
            await quiet(bell)
        nodes.here.ring([("kv", "a")])

        assert await here.wait(0)
        assert await there.wait(10)
        assert not await other.wait(0)


async def test_a_node_does_not_hear_its_own_ring_twice(nodes: Nodes) -> None:
    heard_here: list[set[str]] = []
    with nodes.here.bell("jobs", "b") as answered, nodes.there.bell("jobs", "a") as there:
        await quiet(answered)
        nodes.here.listen("jobs", heard_here.append)
        nodes.here.ring([("jobs", "a")])
        assert await there.wait(10)
        # What comes back would come before the answer to a later ring.
        nodes.there.ring([("jobs", "b")])
        assert await answered.wait(10)

    assert heard_here == [{"a"}, {"b"}]


async def test_thousands_of_rings_at_once_all_arrive(nodes: Nodes) -> None:
    wanted = {f"key {number} {'x' * (number % 300)}" for number in range(3000)}
    found: set[str] = set()
    arrived = asyncio.Event()

    def listen(keys: set[str]) -> None:
        found.update(keys)
        if found >= wanted:
            arrived.set()

    nodes.there.listen("kv", listen)
    nodes.here.ring([("kv", key) for key in wanted])

    await asyncio.wait_for(arrived.wait(), 20)
    assert found - {""} == wanted


async def test_a_key_too_long_to_carry_rings_all_of_its_topic(nodes: Nodes) -> None:
    long = "x" * 10_000
    with nodes.there.bell("kv", long) as bell:
        await quiet(bell)
        nodes.here.ring([("kv", long)])

        assert await bell.wait(10)


async def test_nodes_hear_each_other_again_after_the_database_ended_their_connections(nodes: Nodes, caplog) -> None:
    with caplog.at_level(logging.WARNING), nodes.there.bell("log") as bell:
        await nodes.end()
        await nodes.listening()
        await quiet(bell)

        assert await heard(bell, lambda: nodes.here.ring([("log", "")]))
    assert "doorbell lost its connection" in {record.message for record in caplog.records}


async def test_a_node_that_was_cut_off_looks_once_at_everything_when_it_is_back(nodes: Nodes) -> None:
    told: list[set[str]] = []
    with nodes.there.bell("run_ended", "run_1") as bell:
        await quiet(bell)
        nodes.there.listen("jobs", told.append)
        await nodes.end(await nodes.listening())

        assert await bell.wait(20)
    assert {""} in told


async def test_a_notice_that_is_not_ours_disturbs_nobody(nodes: Nodes, caplog) -> None:
    with caplog.at_level(logging.WARNING), nodes.there.bell("log") as bell:
        await quiet(bell)
        async with await psycopg.AsyncConnection.connect(nodes.url, autocommit=True) as stranger:
            for text in ("", "hello", '{"a": 1}', '["me", [["log"]]]'):
                await stranger.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
        nodes.here.ring([("log", "")])

        assert await bell.wait(10)
    assert [record.message for record in caplog.records if "here" not in record.message].count("unreadable ring") == 8


async def test_closing_ends_the_tasks_and_may_happen_before_a_start(postgres_url: str) -> None:
    never = PostgresBroker(postgres_url, "never")
    await never.close()
    started = PostgresBroker(postgres_url, "started")
    await started.start()
    await started.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_node_without_its_database_rings_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "RECONNECT_S", 0.01)
    alone = PostgresBroker("postgresql://nobody@127.0.0.1:1/none", "alone")
    await alone.start()
    with alone.bell("log") as bell:
        alone.ring([("log", "")])

        assert await bell.wait(1)
    await alone.close()


@given(st.lists(st.tuples(st.sampled_from(["kv", "jobs"]), st.text(max_size=3000)), max_size=20))
def test_payloads_carry_every_ring_and_fit(rings: list[Ring]) -> None:
    texts = payloads("node", rings)

    assert all(len(text.encode()) <= PAYLOAD_BYTES for text in texts)
    carried = [(topic, key) for text in texts for topic, key in json.loads(text)[1]]
    assert len(carried) == len(rings)
    for (topic, key), (carried_topic, carried_key) in zip(rings, carried, strict=True):
        assert (carried_topic, carried_key) in ((topic, key), (topic, ""))
