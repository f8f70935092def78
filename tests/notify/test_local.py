"""The notifier within one process: no notification is lost between a look-up and a wait, and only its waiters wake."""

import asyncio

import pytest

from ironflow.notify.port import LocalNotifier

SOON = 0.01


@pytest.fixture
def notifier() -> LocalNotifier:
    return LocalNotifier()


async def test_a_notification_wakes_a_waiter(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        waiting = asyncio.ensure_future(waiter.wait(10))
        await asyncio.sleep(0)

        notifier.notify([("log", "")])

        assert await waiting


async def test_a_notification_between_a_look_up_and_a_wait_is_not_lost(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        notifier.notify([("log", "")])

        assert await waiter.wait(SOON)


async def test_a_notification_during_the_work_after_a_wait_ends_the_next_wait(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        notifier.notify([("log", "")])
        assert await waiter.wait(SOON)

        notifier.notify([("log", "")])

        assert await waiter.wait(SOON)


async def test_many_notifications_are_one_and_a_wait_clears_them(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        notifier.notify([("log", ""), ("log", "a")])
        notifier.notify([("log", "b")])

        assert await waiter.wait(SOON)
        assert not await waiter.wait(SOON)


@pytest.mark.parametrize("seconds", [0, SOON])
async def test_a_wait_without_a_notification_returns_false(notifier: LocalNotifier, seconds: float) -> None:
    with notifier.waiter("log") as waiter:
        assert not await waiter.wait(seconds)


async def test_a_wait_without_a_timeout_ends_with_the_notification(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as waiter:
        waiting = asyncio.ensure_future(waiter.wait(None))
        await asyncio.sleep(0)
        notifier.notify([("log", "")])

        assert await waiting


@pytest.mark.parametrize(
    ("notified", "woken"),
    [
        (("kv", "a"), {"kv/a", "kv/"}),
        (("kv", "b"), {"kv/b", "kv/"}),
        (("kv", "c"), {"kv/"}),
        # Without a key a notification means the whole topic.
        (("kv", ""), {"kv/a", "kv/b", "kv/"}),
        (("other", "a"), set()),
    ],
)
async def test_a_key_wakes_its_own_waiter_and_that_of_the_topic(
    notifier: LocalNotifier, notified: tuple[str, str], woken: set[str]
) -> None:
    with notifier.waiter("kv", "a") as a, notifier.waiter("kv", "b") as b, notifier.waiter("kv") as every:
        notifier.notify([notified])

        waiters = {"kv/a": a, "kv/b": b, "kv/": every}
        assert {name for name, waiter in waiters.items() if await waiter.wait(0)} == woken


async def test_every_waiter_of_a_key_wakes(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as one, notifier.waiter("log") as two:
        notifier.notify([("log", "")])

        assert await one.wait(0)
        assert await two.wait(0)


async def test_a_removed_waiter_does_not_wake_and_leaves_nothing_behind(notifier: LocalNotifier) -> None:
    with notifier.waiter("run_ended", "run_1") as waiter, notifier.waiter("run_ended", "run_2"):
        pass

    notifier.notify([("run_ended", "run_1")])

    assert not await waiter.wait(0)
    assert notifier._waiters == {}


async def test_removing_one_waiter_keeps_the_others(notifier: LocalNotifier) -> None:
    with notifier.waiter("log") as stays:
        with notifier.waiter("log"):
            pass
        notifier.notify([("log", "")])

        assert await stays.wait(0)


async def test_a_cancelled_wait_removes_its_waiter(notifier: LocalNotifier) -> None:
    async def wait() -> None:
        with notifier.waiter("log") as waiter:
            await waiter.wait(None)

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert notifier._waiters == {}


def test_a_listener_gets_the_keys_of_one_notify_together(notifier: LocalNotifier) -> None:
    received: list[set[str]] = []
    notifier.listen("jobs", received.append)

    notifier.notify([("jobs", "a"), ("log", ""), ("jobs", "b"), ("jobs", "a")])
    notifier.notify([("log", "")])

    assert received == [{"a", "b"}]


async def test_notify_all_wakes_every_waiter_and_every_listener(notifier: LocalNotifier) -> None:
    received: list[set[str]] = []
    notifier.listen("jobs", received.append)
    with notifier.waiter("kv", "a") as waiter:
        notifier.notify_all()

        assert await waiter.wait(0)
    assert received == [{""}]
