"""Notifications and commit hooks follow commits, and only those."""

import asyncio
import logging

import pytest

from ironflow.base.errors import NotFound
from ironflow.base.notice import Notice, Notices
from ironflow.notify.port import LocalNotifier
from ironflow.storage.port import Database, StorageFailed, Tx
from tests.storage.notes import adding, names


def adding_and_notifying(name: str, topic: str = "notes"):
    def change(tx: Tx) -> str:
        tx.notify(topic, name)
        return adding(name)(tx)

    return change


async def test_a_notification_comes_after_the_commit(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("notes") as waiter:
        writing = asyncio.ensure_future(db.write(adding_and_notifying("a")))
        await waiter.wait(10)

        assert await db.peek(names) == ["a"]
        await writing


async def test_a_transaction_that_fails_notifies_nothing(db: Database, notifier: LocalNotifier) -> None:
    received: list[set[str]] = []
    notifier.listen("notes", received.append)

    def notify_and_fail(tx: Tx) -> None:
        tx.notify("notes", "never")
        raise NotFound()

    def notify_and_fail_together(tx: Tx, items: list[str]) -> list[str]:
        tx.notify("notes", "never")
        raise NotFound()

    with pytest.raises(NotFound):
        await db.write(notify_and_fail)
    with pytest.raises(NotFound):
        await db.write_many(notify_and_fail_together, "a")
    await db.write(adding_and_notifying("b"))

    assert received == [{"b"}]


async def test_a_transaction_that_changed_nothing_notifies_too(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("notes", "a") as waiter:
        await db.write(lambda tx: tx.notify("notes", "a"))

        assert await waiter.wait(10)


async def test_a_notification_outside_of_a_transaction_arrives(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("notes", "a") as waiter:
        db.notify("notes", "a")

        assert await waiter.wait(10)


async def test_the_notification_of_a_cancelled_caller_arrives(db: Database, notifier: LocalNotifier) -> None:
    with notifier.waiter("notes") as waiter:
        writing = asyncio.ensure_future(db.write(adding_and_notifying("a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()

        assert await waiter.wait(10)
    assert await db.read(names) == ["a"]


async def test_a_commit_hook_gets_the_notified_keys_and_answers_after_the_commit(db: Database) -> None:
    answered = asyncio.get_running_loop().create_future()
    given: list[set[str]] = []

    def hook(tx: Tx, keys: set[str]):
        given.append(keys)
        seen = names(tx)
        adding("hook")(tx)
        return lambda: answered.set_result(seen)

    db.run_in_commit("notes", hook)
    await db.write(adding("quiet"))
    assert given == []

    await db.write(adding_and_notifying("a"))

    assert await asyncio.wait_for(answered, 10) == ["a", "quiet"]
    assert given == [{"a"}]
    assert await db.read(names) == ["a", "hook", "quiet"]


async def test_a_notification_outside_of_a_transaction_runs_the_commit_hook_too(db: Database) -> None:
    given = asyncio.get_running_loop().create_future()
    db.run_in_commit("notes", lambda tx, keys: lambda: given.set_result(keys))

    db.notify("notes", "?")

    assert await asyncio.wait_for(given, 10) == {"?"}


@pytest.mark.parametrize(
    "surprise", [ZeroDivisionError("a fault in a commit hook"), StorageFailed("a fault in a commit hook")]
)
async def test_a_commit_hook_that_fails_is_undone_and_runs_again_at_the_next_notification(
    db: Database, caplog: pytest.LogCaptureFixture, surprise: Exception
) -> None:
    loop = asyncio.get_running_loop()
    tries = [loop.create_future(), loop.create_future()]

    def hook(tx: Tx, keys: set[str]):
        (key,) = keys
        adding(f"{key} hook")(tx)
        if key == "a":
            loop.call_soon_threadsafe(tries[0].set_result, None)
            raise surprise
        return lambda: tries[1].set_result(None)

    db.run_in_commit("notes", hook)

    with caplog.at_level(logging.WARNING, "ironflow.storage"):
        assert await db.write(adding_and_notifying("a")) == "a"
        await asyncio.wait_for(tries[0], 10)
        assert await db.write(adding_and_notifying("b")) == "b"
        await asyncio.wait_for(tries[1], 10)

    assert await db.read(names) == ["a", "b", "b hook"]
    assert [record.message for record in caplog.records] == ["commit hook failed"]


async def test_a_second_commit_hook_for_a_topic_is_refused(db: Database) -> None:
    db.run_in_commit("notes", lambda tx, keys: None)

    with pytest.raises(ValueError, match="'notes' has a commit hook already"):
        db.run_in_commit("notes", lambda tx, keys: None)


async def test_every_listener_gets_what_a_transaction_published(db: Database) -> None:
    notice = Notice("default", ("note", "a", "added"), "{}", 0)
    first: list[Notices] = []
    second: list[Notices] = []
    db.on_published(first.append)
    db.on_published(second.append)

    def publish(tx: Tx) -> str:
        tx.publish_local(notice)
        return adding("a")(tx)

    await db.write(publish)

    assert first == second == [notice]
