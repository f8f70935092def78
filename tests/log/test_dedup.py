"""The first answer to an idempotency key is the answer to every repetition, on whichever node."""

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from ironflow.log.dedup import (
    WINDOW_MS,
    FirstAnswer,
    Place,
    delete_old_keys,
    first_answers,
    is_repeat,
    release_keys,
    save_answers,
)
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from ironflow.storage.port import Database, Tx

HERE: Place = ("default", "emit", "k")
ANSWER = FirstAnswer("evt_1", ["run_1", "run_2"], 5)


@pytest.mark.parametrize(
    ("age_ms", "repeat"), [(0, True), (WINDOW_MS - 1, True), (WINDOW_MS, False), (WINDOW_MS + 1, False)]
)
def test_a_key_is_remembered_for_seven_days(age_ms: int, repeat: bool) -> None:
    assert is_repeat(1_000, 1_000 + age_ms) is repeat


async def test_a_key_has_no_answer_until_one_is_saved_and_then_that(db: Database) -> None:
    def first(tx: Tx) -> dict[Place, FirstAnswer]:
        before = first_answers(tx, [HERE])
        save_answers(tx, {HERE: ANSWER})
        return before

    assert await db.write(first) == {}
    assert await db.write(lambda tx: first_answers(tx, [HERE, HERE])) == {HERE: ANSWER}


async def test_a_key_means_something_else_in_another_environment_or_scope(db: Database) -> None:
    others: list[Place] = [("staging", "emit", "k"), ("default", "publish:t", "k"), ("default", "emit", "K")]
    mixed: Place = ("staging", "publish:t", "other")
    await db.write(lambda tx: save_answers(tx, {HERE: ANSWER, mixed: ANSWER}))

    assert await db.write(lambda tx: first_answers(tx, [*others, HERE])) == {HERE: ANSWER}


async def test_a_key_that_was_held_and_let_go_leaves_nothing(db: Database) -> None:
    def hold_and_release(tx: Tx) -> None:
        first_answers(tx, [HERE])
        release_keys(tx, [HERE])

    await db.write(lambda tx: save_answers(tx, {("default", "emit", "kept"): ANSWER}))
    await db.write(hold_and_release)
    await db.write(lambda tx: release_keys(tx, [("default", "emit", "kept")]))

    assert await db.read(lambda tx: tx.rows("SELECT key FROM idempotency_keys")) == [("kept",)]


async def test_old_keys_are_forgotten_oldest_first_and_a_few_at_a_time(db: Database) -> None:
    answers = {("default", "emit", f"{at}"): FirstAnswer("e", [], at) for at in (3, 1, 2, 4)}
    await db.write(lambda tx: save_answers(tx, answers))

    counts = [await db.write(lambda tx: delete_old_keys(tx, oldest=3, limit=2)) for _ in range(3)]

    assert counts == [2, 1, 0]
    assert await db.read(lambda tx: tx.rows("SELECT key FROM idempotency_keys")) == [("4",)]


async def test_a_node_waits_for_another_that_is_answering_the_same_new_key(postgres_url: str) -> None:
    nodes = [await open_database(postgres_url, LocalNotifier(), now=0) for _ in range(2)]
    held, go_on = threading.Event(), threading.Event()

    def answer_slowly(tx: Tx) -> None:
        assert first_answers(tx, [HERE]) == {}
        held.set()
        go_on.wait(20)
        save_answers(tx, {HERE: ANSWER})

    first = asyncio.ensure_future(nodes[0].write(answer_slowly))
    await asyncio.to_thread(held.wait, 20)
    second = asyncio.ensure_future(nodes[1].write(lambda tx: first_answers(tx, [HERE])))
    done, _ = await asyncio.wait([second], timeout=0.05)
    assert not done

    go_on.set()
    await first
    assert await second == {HERE: ANSWER}
    for node in nodes:
        await node.close()


async def test_looking_for_a_key_uses_the_index(tmp_path: Path) -> None:
    """Among ten million keys as quickly as among ten."""
    db = await open_database(str(tmp_path / "ironflow.db"), LocalNotifier(), now=0)
    plans: list[str] = []

    class Explaining:
        """Notes how each query would be run."""

        alone = True

        def __init__(self, tx: Tx) -> None:
            self._tx = tx

        def rows(self, sql: str, params: dict[str, Any]) -> list[Any]:
            plans.extend(row[3] for row in self._tx.rows(f"EXPLAIN QUERY PLAN {sql}", params))
            return []

    await db.read(lambda tx: first_answers(Explaining(tx), [HERE]))  # pyright: ignore[reportArgumentType]
    await db.close()

    assert any("SEARCH idempotency_keys" in plan for plan in plans)
    assert not any("SCAN idempotency_keys" in plan for plan in plans)


class Comparisons(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    counted = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Comparisons.counted += 1
        return str.__eq__(self, other)


class Answered:
    """A transaction in which all keys have an answer."""

    alone = False

    def __init__(self, keys: list[Place]) -> None:
        self._keys = keys

    def many(self, sql: str, rows: Any) -> None: ...

    def rows(self, sql: str, params: Any) -> list[Any]:
        return [(*key, "evt_1", "[]", 5, None) for key in self._keys]


def test_the_answers_to_many_keys_are_found_without_comparing_each_with_each():
    keys: list[Place] = [("default", "append:a", Comparisons(number)) for number in range(1_000)]

    assert len(first_answers(cast("Tx", Answered(keys)), keys)) == 1_000

    assert Comparisons.counted < 10_000
