"""A transaction is a plain function of `tx`: on either database it is whole, durable and alone in its failure."""

import asyncio
from typing import Any

import pytest

from ironflow.base.errors import NotFound, ServerStopping
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Database, StorageFailed, Tx
from tests.storage.notes import adding, names

pytestmark = pytest.mark.usefixtures("only_notes")


async def test_what_is_written_is_read_and_peeked_at_once(db: Database) -> None:
    answer = await db.write(adding("milk"))

    assert answer == "milk"
    assert await db.read(names) == ["milk"]
    assert await db.peek(names) == ["milk"]


async def test_one_statement_is_read_without_a_transaction_and_no_second_one(db: Database) -> None:
    await db.write(adding("milk"))

    assert await db.peek_once(names) == ["milk"]
    with pytest.raises(RuntimeError, match="one statement"):
        await db.peek_once(lambda tx: names(tx) + names(tx))
    assert await db.peek(names) == ["milk"]


async def test_many_takes_rows_in_the_order_of_the_parameters(db: Database) -> None:
    def add(tx: Tx) -> list[Any]:
        tx.many("INSERT INTO notes (body, name) VALUES (:body, :name)", [("2 l", "milk"), ("", "100 % rye")])
        tx.many("UPDATE notes SET name = :after WHERE name = :before", [("oat milk", "milk")])
        return names(tx)

    assert await db.write(add) == ["100 % rye", "oat milk"]


async def test_what_was_written_is_there_after_opening_again(empty_database_url: str) -> None:
    db = await open_database(empty_database_url, LocalNotifier(), now=0)
    await db.write(adding("milk"))
    await db.close()

    again = await open_database(empty_database_url, LocalNotifier(), now=0)

    assert await again.read(names) == ["milk"]
    await again.close()


async def test_a_failing_transaction_undoes_only_itself(db: Database) -> None:
    def fail(tx: Tx) -> None:
        adding("never")(tx)
        raise NotFound("no such thing")

    answers = await asyncio.gather(
        db.write(adding("a")), db.write(fail), db.write(adding("b")), db.write(fail), return_exceptions=True
    )

    assert [answers[0], answers[2]] == ["a", "b"]
    assert [type(answers[1]), type(answers[3])] == [NotFound, NotFound]
    assert await db.read(names) == ["a", "b"]


@pytest.mark.parametrize("surprise", [ZeroDivisionError(), StopIteration(), KeyError("x")], ids=repr)
async def test_any_error_of_a_transaction_reaches_its_caller_only(db: Database, surprise: Exception) -> None:
    def fail(tx: Tx) -> None:
        raise surprise

    answers = await asyncio.gather(db.write(adding("a")), db.write(fail), db.write(adding("b")), return_exceptions=True)

    assert answers[::2] == ["a", "b"]
    # An event loop cannot carry StopIteration; it arrives inside of another error.
    assert isinstance(answers[1], Exception)
    assert surprise in (answers[1], answers[1].__cause__)
    assert await db.write(adding("c")) == "c"


async def test_a_statement_that_the_database_refuses_is_storage_failed_for_its_caller_only(db: Database) -> None:
    answers = await asyncio.gather(
        db.write(adding("a")), db.write(adding("a")), db.write(adding("b")), return_exceptions=True
    )

    assert sorted(each for each in answers if isinstance(each, str)) == ["a", "b"]
    assert [type(each) for each in answers].count(StorageFailed) == 1
    assert await db.read(names) == ["a", "b"]


async def test_a_refusal_that_follows_a_caught_database_error_still_undoes_the_transaction(db: Database) -> None:
    await db.write(adding("a"))

    def add_or_refuse(tx: Tx) -> None:
        adding("b")(tx)
        adding("a")(tx)

    with pytest.raises(StorageFailed):
        await db.write(add_or_refuse)

    assert await db.read(names) == ["a"]


async def test_a_transaction_sees_what_it_wrote(db: Database) -> None:
    def write_and_look(tx: Tx) -> list[str]:
        adding("a")(tx)
        return names(tx)

    assert await db.write(write_and_look) == ["a"]


async def test_a_transaction_sees_what_was_committed_before_it_was_asked(db: Database) -> None:
    for number in range(20):
        await db.write(adding(f"{number:02}"))

        assert len(await db.read(names)) == len(await db.peek(names)) == number + 1


async def test_run_answers_how_many_rows_changed_and_returning_gives_them(db: Database) -> None:
    def change(tx: Tx) -> tuple[int, int, list[Any], Any]:
        tx.many("INSERT INTO notes (name, body) VALUES (:name, '')", [{"name": each} for each in "abc"])
        changed = tx.run("UPDATE notes SET body = 'x' WHERE name <> :name", {"name": "a"})
        missed = tx.run("UPDATE notes SET body = 'x' WHERE name = 'z'")
        deleted = tx.rows("DELETE FROM notes WHERE name IN {each:names} RETURNING name", {"names": ["a", "c", "z"]})
        return changed, missed, sorted(deleted), tx.row("SELECT name FROM notes WHERE name = 'z'")

    assert await db.write(change) == (2, 0, [("a",), ("c",)], None)


async def test_many_of_nothing_does_nothing(db: Database) -> None:
    await db.write(lambda tx: tx.many("INSERT INTO notes (name, body) VALUES (:name, '')", []))

    assert await db.read(names) == []


async def test_text_keeps_its_characters_and_sorts_by_its_bytes(db: Database) -> None:
    given = ["", "B", "a", "%s %(x)s", "'; --", "{name}", ":name", "é", "z", "日本", "\U0010ffff", "\U0001f409"]

    def add(tx: Tx) -> None:
        for each in given:
            adding(each)(tx)

    await db.write(add)

    assert await db.read(names) == sorted(given, key=lambda text: text.encode())
    found = await db.read(lambda tx: tx.rows("SELECT name FROM notes WHERE name IN {each:names}", {"names": given}))
    assert sorted(row[0] for row in found) == sorted(given)


async def test_a_read_is_of_one_moment(db: Database) -> None:
    """What is committed between two queries of a read is not seen by the second."""
    loop = asyncio.get_running_loop()
    await db.write(adding("a"))

    def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
        before = names(tx)
        asyncio.run_coroutine_threadsafe(db.write(adding("b")), loop).result(timeout=10)
        return before, names(tx)

    assert await db.read(look_twice) == (["a"], ["a"])
    assert await db.read(names) == ["a", "b"]


@pytest.mark.parametrize("look", ["read", "peek"])
async def test_reading_cannot_write(db: Database, look: str) -> None:
    with pytest.raises(StorageFailed):
        await getattr(db, look)(adding("a"))

    assert await db.read(names) == []
    assert await db.write(adding("b")) == "b"


async def test_a_cancelled_caller_leaves_other_transactions_alone_and_its_own_whole(db: Database) -> None:
    tasks = [asyncio.ensure_future(db.write(adding(f"{number:02}"))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert answers[1::2] == [f"{number:02}" for number in range(1, 20, 2)]
    assert all(isinstance(each, asyncio.CancelledError) for each in answers[::2])
    assert await db.write(adding("last")) == "last"
    assert set(await db.read(names)) >= {*answers[1::2], "last"}


async def test_close_waits_for_what_was_asked_before(empty_database_url: str) -> None:
    db = await open_database(empty_database_url, LocalNotifier(), now=0)
    writing = [asyncio.ensure_future(db.write(adding(f"{number:02}"))) for number in range(30)]
    await asyncio.sleep(0)

    await db.close()

    assert await asyncio.gather(*writing) == [f"{number:02}" for number in range(30)]
    again = await open_database(empty_database_url, LocalNotifier(), now=0)
    assert len(await again.read(names)) == 30
    await again.close()


async def test_a_closed_database_answers_that_the_server_stops_and_may_be_closed_again(empty_database_url: str) -> None:
    db = await open_database(empty_database_url, LocalNotifier(), now=0)
    await db.close()
    await db.close()

    with pytest.raises(ServerStopping):
        await db.write(lambda tx: None)
    with pytest.raises(ServerStopping):
        await db.write_many(lambda tx, items: items, 1)
    with pytest.raises(ServerStopping):
        await db.read(lambda tx: None)
    with pytest.raises(ServerStopping):
        await db.peek(lambda tx: None)
