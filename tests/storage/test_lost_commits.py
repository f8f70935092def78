"""PostgreSQL: a connection that breaks at COMMIT is no reason to call a change made, or not made, that was not."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from ironflow.notify.port import LocalNotifier
from ironflow.storage import postgres_commit
from ironflow.storage.port import CommitFailed, OutcomeUnknown, Tx
from ironflow.storage.postgres import PostgresDatabase, open_postgres
from ironflow.storage.postgres_commit import incarnation_of, look_up
from tests.storage.notes import ADD, adding, names
from tests.support.postgres_proxy import PostgresProxy, a_proxy

pytestmark = pytest.mark.usefixtures("only_notes")


@pytest.fixture
def proxy(empty_postgres_url: str) -> Iterator[PostgresProxy]:
    with a_proxy(empty_postgres_url) as found:
        yield found


@pytest.fixture
async def db(proxy: PostgresProxy) -> AsyncIterator[PostgresDatabase]:
    opened = await open_postgres(proxy.url, LocalNotifier(), now=0)
    yield opened
    await opened.close()


async def test_a_commit_whose_answer_was_lost_is_looked_up_and_acknowledged(db: PostgresDatabase, proxy: PostgresProxy):
    proxy.fault = "answer lost"
    assert await db.write(adding("a")) == "a"
    assert await db.read(names) == ["a"]


async def test_a_commit_that_did_not_arrive_changed_nothing(db: PostgresDatabase, proxy: PostgresProxy):
    proxy.fault = "commit lost"
    with pytest.raises(CommitFailed, match="Nothing was changed"):
        await db.write(adding("a"))
    assert await db.read(names) == []


async def test_a_commit_that_cannot_be_looked_up_is_unknown(
    db: PostgresDatabase, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str
):
    monkeypatch.setattr(postgres_commit, "LOOK_UP_S", 0)
    proxy.fault = "answer lost"

    def add_and_cut(tx: Tx) -> None:
        adding("a")(tx)
        proxy.is_cut = True

    with pytest.raises(OutcomeUnknown) as raised:
        await db.write(add_and_cut)
    proxy.is_cut = False

    assert (raised.value.status, raised.value.connect, raised.value.code) == (409, "aborted", "OUTCOME_UNKNOWN")
    assert not raised.value.retryable
    with psycopg.connect(empty_postgres_url) as other:
        assert other.execute("SELECT name FROM notes").fetchall() == [("a",)]


def add_all(tx: Tx, items: list[str]) -> list[str]:
    for item in items:
        tx.run(ADD, {"name": item, "body": ""})
    batches.append(items)
    return items


batches: list[list[str]] = []


@pytest.mark.parametrize(("fault", "kept"), [("answer lost", ["a", "b", "c"]), ("commit lost", [])])
async def test_a_batch_is_not_run_again_after_its_commit(
    db: PostgresDatabase, proxy: PostgresProxy, fault: str, kept: list[str]
):
    batches.clear()
    proxy.fault = fault  # pyright: ignore[reportAttributeAccessIssue]
    answers = await asyncio.gather(*(db.write_many(add_all, item) for item in "abc"), return_exceptions=True)

    assert [item for batch in batches for item in batch] == ["a", "b", "c"]
    assert [isinstance(answer, CommitFailed) for answer in answers] == [not kept] * 3
    assert await db.read(names) == kept


async def test_a_transaction_of_another_incarnation_of_the_database_is_not_taken_for_ours(empty_postgres_url: str):
    """After a crash PostgreSQL gives the id of a transaction that it has lost to another one."""
    with psycopg.connect(empty_postgres_url) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        (transaction,) = row
        incarnation = incarnation_of(connection)
    assert look_up(empty_postgres_url, transaction, incarnation) == "committed"
    assert look_up(empty_postgres_url, transaction, "before the crash") == "unknown"
