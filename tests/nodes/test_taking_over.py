"""What an incarnation of a node held is taken over when it has ended, and not before."""

from collections.abc import Sequence
from contextlib import aclosing

import psycopg
import pytest

from ironflow.base.time import FixedClock
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.nodes import service, store
from ironflow.features.nodes.service import Nodes
from ironflow.features.projections.contract import EventKind
from ironflow.storage import presence
from ironflow.storage.port import Database
from tests.streaming_workers.streaming import a_stream, eventually
from tests.support.groups import join
from tests.support.projections import a_projection, of_kind
from tests.support.server import open_server
from tests.support.work import Work

LOCKS = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def incarnations(db: Database) -> list[str]:
    return [row[0] for row in await db.read(lambda tx: tx.rows("SELECT id FROM nodes ORDER BY id"))]


async def ended(server: Work, node: str = "node_dead", *, silent_ms: int | None = None) -> None:
    """Leaves the row of another incarnation: one whose lock no session holds, or one without a lock."""
    key, seen = (7, "0") if silent_ms is None else (0, f"{{clock_ms}} - {silent_ms}")
    insert = f"""INSERT INTO nodes (id, name, lock_key, database_start, started_at, seen_at)
    VALUES (:id, 'n', {key}, {{database_start}}, 0, {seen})"""
    await server.db.write(lambda tx: tx.run(insert, {"id": node}))


async def belongs_to(server: Work, node: str, columns: Sequence[tuple[str, str]]) -> None:
    """Makes what this server holds what the other incarnation held."""
    own = server.inside.parts.node
    for table, column in columns:
        change = f"UPDATE {table} SET {column} = replace({column}, :own, :node)"
        await server.db.write(lambda tx, change=change: tx.run(change, {"own": own, "node": node}))


async def test_a_job_on_a_stream_that_ended_with_its_process_is_ready_at_once(server: Work) -> None:
    await server.a_function()
    await server.emit()
    async with a_stream(server, runtime="go") as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await eventually(lambda: _held(server), 1)
        await ended(server)
        await belongs_to(server, "node_dead", [("jobs", "node")])

        assert await server.part(Nodes).take_over() == 1

        # The stream is still there: it gets a cancel for the execution, and has capacity for the next one.
        frames = [await worker.receive(), await worker.receive()]
        assert [each.cancel.job_id for each in frames if each.cancel] == [job.job_id]
        assert [(each.job.run_id, each.job.attempt, each.job.execution_seq) for each in frames if each.job] == [
            (job.run_id, 1, 2)
        ]
        assert await incarnations(server.db) == []


async def test_the_end_of_a_node_is_no_lost_worker_of_the_run(server: Work) -> None:
    await server.a_function()
    await server.emit()
    async with a_stream(server, runtime="go") as worker:
        job = await worker.job()
        worker.send(jobAck=worker.of(job))
        await eventually(lambda: _held(server), 1)
        await ended(server)
        await belongs_to(server, "node_dead", [("jobs", "node")])

        assert await server.part(Nodes).take_over() == 1

        losses = await server.db.read(lambda tx: tx.rows("SELECT losses FROM runs"))
        assert [row[0] for row in losses] == [0]


async def test_a_projection_is_fed_at_once_when_the_process_of_its_stream_has_ended(server: Work) -> None:
    runner = await a_projection(server)
    await server.emit()
    async with aclosing(runner.follow()) as first:
        await of_kind(first, EventKind.EVENT, 1)
        await ended(server)
        await belongs_to(server, "node_dead", [("projections", "seat")])
        assert await runner.poll() == []

        await server.part(Nodes).take_over()

        assert len(await runner.poll()) == 1


async def test_members_of_a_process_that_has_ended_are_no_members(server: Work) -> None:
    await server.call(groups.create, name="g", pattern="order.*")
    member = await join(server, "g")
    members = "SELECT node FROM group_members"
    before = await server.db.read(lambda tx: tx.rows(members))
    await ended(server)
    await belongs_to(server, "node_dead", [("group_members", "node")])

    await server.part(Nodes).take_over()

    assert [tuple(row) for row in before] == [(server.inside.parts.node,)]
    assert list(await server.db.read(lambda tx: tx.rows(members))) == []
    await member.leave()


async def test_a_node_without_a_lock_counts_as_ended_when_it_is_silent(postgres_url: str) -> None:
    async with open_server(Work, postgres_url) as server:
        await ended(server, "node_silent", silent_ms=service.SILENT_MS + 1_000)
        await ended(server, "node_fresh", silent_ms=0)

        await server.part(Nodes).take_over()

        assert await incarnations(server.db) == ["node_fresh"]


async def test_after_a_failover_of_the_database_living_nodes_have_time_to_take_their_locks_anew(
    postgres_url: str,
) -> None:
    clock = FixedClock()
    async with open_server(Work, postgres_url, clock=clock) as server:
        nodes = server.part(Nodes)
        await nodes.start()
        await ended(server, "node_silent")
        await ended(server, "node_alive")
        await server.db.write(
            lambda tx: tx.run(
                "UPDATE nodes SET database_start = 'of the primary' WHERE id <> :own", {"own": _own(server)}
            )
        )
        # It was away for long: all are silent.
        assert await nodes.take_over() == 0
        clock.move(service.SILENT_MS - 1)
        assert await nodes.take_over() == 0

        await server.db.write(lambda tx: tx.run("UPDATE nodes SET seen_at = {clock_ms} WHERE id = 'node_alive'"))
        clock.move(1)

        assert await nodes.take_over() == 1
        assert await incarnations(server.db) == sorted(["node_alive", _own(server)])


async def test_a_new_start_of_the_database_is_waited_for_anew(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FixedClock()
    async with open_server(Work, postgres_url, clock=clock) as server:
        nodes = server.part(Nodes)
        await nodes.start()
        clock.move(service.SILENT_MS)
        await ended(server, "node_silent")
        await server.db.write(
            lambda tx: tx.run(
                "UPDATE nodes SET database_start = 'of the primary' WHERE id <> :own", {"own": _own(server)}
            )
        )
        with monkeypatch.context() as other:
            other.setattr(store, "database_start", lambda tx: "of the standby")
            assert await nodes.take_over() == 0
            clock.move(service.SILENT_MS)
            assert await nodes.take_over() == 1


async def test_a_process_that_is_alive_is_not_taken_over_and_one_that_ended_is(postgres_url: str) -> None:
    clock = FixedClock()
    async with (
        open_server(Work, postgres_url, clock=clock) as here,
        open_server(Work, postgres_url, clock=clock) as there,
    ):
        for each in (here, there):
            await each.part(Nodes).start()
        # Its heartbeats are old; its lock counts.
        await here.db.write(lambda tx: tx.run("UPDATE nodes SET seen_at = 0"))

        assert await here.part(Nodes).take_over() == 0
        await there.part(Nodes).stop()
        await eventually(lambda: here.part(Nodes).take_over(), 1)

        assert await incarnations(here.db) == [here.inside.parts.node]


async def test_an_execution_that_was_taken_from_a_process_that_came_back_is_stopped_there(postgres_url: str) -> None:
    clock = FixedClock()
    async with (
        open_server(Work, postgres_url, clock=clock) as here,
        open_server(Work, postgres_url, clock=clock) as there,
    ):
        for each in (here, there):
            await each.part(Nodes).start()
        await there.a_function()
        await there.emit()
        async with a_stream(there, runtime="go") as worker:
            job = await worker.job()
            worker.send(jobAck=worker.of(job))
            await eventually(lambda: _status(here, job.run_id), "running")
            await there.part(Nodes).stop()

            await eventually(lambda: here.part(Nodes).take_over(), 1)

            cancel = (await worker.receive()).cancel
            assert cancel is not None
            assert cancel.job_id == job.job_id


async def test_a_process_that_lost_its_connection_takes_its_lock_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "RECONNECT_S", 0.01)
    async with open_server(Work, postgres_url) as server:
        await server.part(Nodes).start()
        (before,) = await _holders(postgres_url)
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await connection.execute("SELECT pg_terminate_backend(%s)", (before,))

        await eventually(lambda: _is_held_anew(postgres_url, before), True)


async def test_behind_a_pooler_heartbeats_show_a_node(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(presence, "is_pooled", lambda *_: True)
    async with open_server(Work, postgres_url) as server:
        await server.part(Nodes).start()
        assert await _holders(postgres_url) == []
        row = await server.db.read(lambda tx: tx.row("SELECT lock_key, {clock_ms} - seen_at < 60000 FROM nodes"))
        assert tuple(row or ()) == (0, True)
        assert "no lock shows that this node is alive" in [record.message for record in caplog.records]

        await server.db.write(lambda tx: tx.run("UPDATE nodes SET seen_at = 0"))
        await server.loop("nodes")

        row = await server.db.read(lambda tx: tx.row("SELECT {clock_ms} - seen_at < 60000 FROM nodes"))
        assert tuple(row or ()) == (True,)


def _own(server: Work) -> str:
    return server.inside.parts.node


async def _held(server: Work) -> int:
    """How many executions have begun, as their acks say."""
    return await server.db.read(lambda tx: tx.rows("SELECT count(*) FROM jobs WHERE state = 'held'")[0][0])


async def _status(server: Work, run_id: str) -> str:
    return (await server.run(run_id)).status.value


async def _holders(url: str) -> list[int]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return [row[0] for row in await (await connection.execute(LOCKS)).fetchall()]


async def _is_held_anew(url: str, before: int) -> bool:
    holders = await _holders(url)
    return len(holders) == 1 and holders != [before]
