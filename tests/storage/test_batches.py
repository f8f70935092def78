"""write_many: what waits for the same commit goes to one function as a list, and each item gets its own answer."""

import asyncio

from ironflow.base.errors import AlreadyExists, IronflowError
from ironflow.storage.port import Database, Tx
from tests.storage.notes import adding, names


class Adder:
    """A function over a list of names; `batches` are the lists it was given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, tx: Tx, items: list[str]) -> list[str | IronflowError]:
        self.batches.append(items)
        answers: list[str | IronflowError] = []
        for name in items:
            if "broken" in name:
                raise ZeroDivisionError(name)
            if tx.row("SELECT 1 FROM notes WHERE name = :name", {"name": name}):
                answers.append(AlreadyExists(f"{name} is there already"))
            else:
                answers.append(adding(name)(tx))
        return answers


async def test_each_item_gets_its_own_answer_or_its_own_error(db: Database) -> None:
    add = Adder()

    answers = await asyncio.gather(*(db.write_many(add, name) for name in ["a", "b", "a", "c"]), return_exceptions=True)

    assert [str(each) for each in answers] == ["a", "b", "a is there already", "c"]
    assert isinstance(answers[2], AlreadyExists)
    assert await db.read(names) == ["a", "b", "c"]


async def test_items_that_wait_together_are_given_together(db: Database) -> None:
    add = Adder()

    await asyncio.gather(*(db.write_many(add, f"{number:03}") for number in range(100)))

    assert [name for batch in add.batches for name in batch] == [f"{number:03}" for number in range(100)]
    assert len(add.batches) <= 3


async def test_an_item_that_breaks_the_function_breaks_it_for_itself_only(db: Database) -> None:
    add = Adder()
    given = ["a", "b", "broken", "c", "broken too", "d"]

    answers = await asyncio.gather(*(db.write_many(add, name) for name in given), return_exceptions=True)

    assert [each if isinstance(each, str) else type(each) for each in answers] == [
        "a", "b", ZeroDivisionError, "c", ZeroDivisionError, "d"
    ]  # fmt: skip
    assert await db.read(names) == ["a", "b", "c", "d"]


async def test_a_function_that_answers_too_few_fails_and_leaves_nothing_waiting(db: Database) -> None:
    def forgetful(tx: Tx, items: list[str]) -> list[str]:
        for name in items:
            adding(name)(tx)
        return []

    answers = await asyncio.gather(*(db.write_many(forgetful, name) for name in "ab"), return_exceptions=True)

    assert [type(each) for each in answers] == [ValueError, ValueError]
    assert await db.read(names) == []
    assert await db.write(adding("c")) == "c"


async def test_more_than_one_batch_holds_are_all_answered(db: Database) -> None:
    add = Adder()

    answers = await asyncio.gather(*(db.write_many(add, f"{number:04}") for number in range(1500)))

    assert answers == [f"{number:04}" for number in range(1500)]
    assert max(map(len, add.batches)) <= 512


async def test_cancelled_items_do_not_disturb_the_answers_of_the_others(db: Database) -> None:
    add = Adder()
    tasks = [asyncio.ensure_future(db.write_many(add, name)) for name in "abcdef"]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[3].cancel()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [each for each in answers if isinstance(each, str)] == ["b", "c", "e", "f"]
    assert {"b", "c", "e", "f"} <= set(await db.read(names))
