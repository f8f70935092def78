"""PostgreSQL: conflicts are run again, a lost connection fails one, and a caller that leaves changes nothing."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage import postgres
from ironflow.storage.port import CommitFailed, Database, StorageFailed, Tx
from ironflow.storage.postgres import POOL_SIZE, PostgresDatabase, open_postgres
from tests.storage.notes import adding, names

pytestmark = pytest.mark.usefixtures("only_notes")

SET = "UPDATE notes SET body = :body WHERE name = :name"


@pytest.fixture
async def db(empty_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    opened = await open_postgres(empty_postgres_url, LocalNotifier(), now=0)
    yield opened
    await opened.close()


async def test_transactions_that_lock_each_other_out_are_run_again_and_both_succeed(db: Database) -> None:
    await db.write(lambda tx: [adding(name)(tx) for name in "ab"])
    both_hold_one = threading.Barrier(2)
    tries = {"ab": 0, "ba": 0}

    def lock_in_order(order: str):
        def change(tx: Tx) -> str:
            tries[order] += 1
            tx.run(SET, {"name": order[0], "body": order})
            if tries[order] == 1:
                both_hold_one.wait(10)
            tx.run(SET, {"name": order[1], "body": order})
            return order

        return change

    answers = await asyncio.gather(db.write(lock_in_order("ab")), db.write(lock_in_order("ba")))

    assert answers == ["ab", "ba"]
    assert sorted(tries.values()) == [1, 2]


async def test_a_transaction_that_always_conflicts_is_storage_failed_in_the_end(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CONFLICT_PAUSE_S", 0)
    tries: list[int] = []

    def conflict(tx: Tx) -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure("could not serialize access")

    with pytest.raises(StorageFailed, match="could not serialize access"):
        await db.write(conflict)

    assert 1 < len(tries) < 20


async def test_a_transaction_with_a_failed_statement_is_not_committed_though_its_function_returns(db: Database) -> None:
    def overlook(tx: Tx) -> None:
        with contextlib.suppress(psycopg.Error):
            tx.run("SELECT 1/0")

    with pytest.raises(CommitFailed):
        await db.write(overlook)
    with pytest.raises(CommitFailed):
        await db.write(lambda tx: [adding("a")(tx), overlook(tx)])
    assert await db.read(names) == []


async def test_nothing_is_answered_before_commit_has_returned(db: Database, empty_postgres_url: str) -> None:
    """COMMIT waits in a deferred trigger for a lock that the test holds."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as other:
        other.execute("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
                      "$$BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END$$")  # fmt: skip
        other.execute("CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED "
                      "FOR EACH ROW EXECUTE FUNCTION wait()")  # fmt: skip
        other.execute("SELECT pg_advisory_lock(77)")
        ran = threading.Event()

        def add(tx: Tx) -> None:
            adding("a")(tx)
            ran.set()

        writing = asyncio.ensure_future(db.write(add))
        await asyncio.to_thread(ran.wait, 10)
        done, _ = await asyncio.wait([writing], timeout=0.05)
        assert not done
        assert await db.read(names) == []

        other.execute("SELECT pg_advisory_unlock(77)")
        await writing

    assert await db.read(names) == ["a"]


async def test_connections_that_the_server_ended_are_replaced(db: Database, empty_postgres_url: str) -> None:
    await asyncio.gather(*(db.read(names) for _ in range(POOL_SIZE)))
    with psycopg.connect(empty_postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    failures = 0
    for number in range(POOL_SIZE + 1):
        try:
            await db.write(adding(f"{number}"))
        except StorageFailed:
            failures += 1

    assert failures <= POOL_SIZE
    assert await db.write(adding("later")) == "later"


async def test_the_transaction_of_a_caller_cancelled_during_the_commit_is_whole_and_notifies(
    db: PostgresDatabase,
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def add_and_notify(tx: Tx) -> None:
        adding("a")(tx)
        tx.notify("notes")
        inside.set()
        go_on.wait(10)

    with db._notifier.waiter("notes") as waiter:
        writing = asyncio.ensure_future(db.write(add_and_notify))
        await asyncio.to_thread(inside.wait, 10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()

        assert await waiter.wait(10)
    assert await db.read(names) == ["a"]


async def test_a_notification_from_another_node_after_closing_starts_nothing(empty_postgres_url: str) -> None:
    notifier = LocalNotifier()
    db = await open_postgres(empty_postgres_url, notifier, now=0)
    given: list[set[str]] = []
    db.run_in_commit("notes", lambda tx, keys: given.append(keys))
    await db.close()

    notifier.notify([("notes", "a")])

    assert given == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_behind_a_pooler_no_statement_is_prepared(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch, is_pooled: bool
) -> None:
    monkeypatch.setattr(postgres, "is_pooled", lambda *_: is_pooled)
    db = await open_postgres(empty_postgres_url, LocalNotifier(), now=0)

    def prepared(tx: Tx) -> int:
        for _ in range(10):
            names(tx)
        return len(tx.rows("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%FROM notes%'"))

    assert await db.write(prepared) == (0 if is_pooled else 1)
    await db.close()


async def test_statements_stay_prepared_when_a_transaction_ends(db: Database):
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%FROM notes%'"

    def read(tx: Tx) -> int:
        tx.rows("SELECT body FROM notes WHERE name = :name", {"name": "a"})
        return tx.rows(prepared)[0][0]

    counts = [await db.read(read) for _ in range(20)]

    assert counts[-1] > 0


async def test_rows_are_found_by_their_keys_however_empty_the_table_is(db: PostgresDatabase):
    asked = "EXPLAIN SELECT body FROM notes WHERE name IN {each:names} {for_update}"

    def plan(tx: Tx) -> str:
        return "\n".join(row[0] for row in tx.rows(asked, {"names": ["a", "b"]}))

    by_key = await db.write(plan)
    shown = await db.read(lambda tx: tx.rows("SHOW enable_seqscan"))

    assert "Index Scan" in by_key
    assert "Seq Scan" not in by_key
    assert shown == [("on",)]


async def test_a_notification_that_comes_while_a_commit_hook_fails_runs_it_again(db: PostgresDatabase) -> None:
    given: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
    inside, go_on = threading.Event(), threading.Event()

    def hook(tx: Tx, keys: set[str]) -> Callable[[], None]:
        if keys == {"a"}:
            inside.set()
            go_on.wait(30)
            raise StorageFailed("a fault in a commit hook")
        return lambda: given.set_result(keys)

    db.run_in_commit("notes", hook)
    db.notify("notes", "a")
    await asyncio.to_thread(inside.wait, 30)
    db.notify("notes", "b")
    go_on.set()

    assert await asyncio.wait_for(given, 30) == {"b"}
