"""The doorbell within one process: a ring is never lost between looking and waiting, and wakes only whom it means."""

import asyncio

import pytest

from ironflow.broker.port import LocalBroker

SOON = 0.01


@pytest.fixture
def broker() -> LocalBroker:
    return LocalBroker()


async def test_a_ring_wakes_who_waits(broker: LocalBroker) -> None:
    with broker.bell("log") as bell:
        waiting = asyncio.ensure_future(bell.wait(10))
        await asyncio.sleep(0)

        broker.ring([("log", "")])

        assert await waiting


async def test_a_ring_between_looking_and_waiting_is_not_lost(broker: LocalBroker) -> None:
    with broker.bell("log") as bell:
        broker.ring([("log", "")])

        assert await bell.wait(SOON)


async def test_a_ring_while_the_woken_one_works_wakes_it_again(broker: LocalBroker) -> None:
    with broker.bell("log") as bell:
        broker.ring([("log", "")])
        assert await bell.wait(SOON)

        broker.ring([("log", "")])

        assert await bell.wait(SOON)


async def test_many_rings_are_one_and_a_wait_clears_them(broker: LocalBroker) -> None:
    with broker.bell("log") as bell:
        broker.ring([("log", ""), ("log", "a")])
        broker.ring([("log", "b")])

        assert await bell.wait(SOON)
        assert not await bell.wait(SOON)


@pytest.mark.parametrize("seconds", [0, SOON])
async def test_a_wait_without_a_ring_ends_with_false(broker: LocalBroker, seconds: float) -> None:
    with broker.bell("log") as bell:
        assert not await bell.wait(seconds)


async def test_a_wait_without_an_end_ends_with_the_ring(broker: LocalBroker) -> None:
    with broker.bell("log") as bell:
        waiting = asyncio.ensure_future(bell.wait(None))
        await asyncio.sleep(0)
        broker.ring([("log", "")])

        assert await waiting


@pytest.mark.parametrize(
    ("rung", "heard"),
    [
        (("kv", "a"), {"kv/a", "kv/"}),
        (("kv", "b"), {"kv/b", "kv/"}),
        (("kv", "c"), {"kv/"}),
        # Without a key a ring means all of the topic.
        (("kv", ""), {"kv/a", "kv/b", "kv/"}),
        (("other", "a"), set()),
    ],
)
async def test_a_key_wakes_its_own_bell_and_that_of_the_topic(
    broker: LocalBroker, rung: tuple[str, str], heard: set[str]
) -> None:
    with broker.bell("kv", "a") as a, broker.bell("kv", "b") as b, broker.bell("kv") as every:
        broker.ring([rung])

        bells = {"kv/a": a, "kv/b": b, "kv/": every}
        assert {name for name, bell in bells.items() if await bell.wait(0)} == heard


async def test_every_bell_of_a_place_rings(broker: LocalBroker) -> None:
    with broker.bell("log") as one, broker.bell("log") as two:
        broker.ring([("log", "")])

        assert await one.wait(0)
        assert await two.wait(0)


async def test_a_bell_that_was_taken_down_does_not_ring_and_leaves_nothing_behind(broker: LocalBroker) -> None:
    with broker.bell("run_ended", "run_1") as bell, broker.bell("run_ended", "run_2"):
        pass

    broker.ring([("run_ended", "run_1")])

    assert not await bell.wait(0)
    assert broker._bells == {}


async def test_taking_one_bell_down_leaves_the_others_hanging(broker: LocalBroker) -> None:
    with broker.bell("log") as stays:
        with broker.bell("log"):
            pass
        broker.ring([("log", "")])

        assert await stays.wait(0)


async def test_a_cancelled_wait_takes_its_bell_down(broker: LocalBroker) -> None:
    async def wait() -> None:
        with broker.bell("log") as bell:
            await bell.wait(None)

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert broker._bells == {}


def test_a_listener_hears_the_keys_of_one_ringing_together(broker: LocalBroker) -> None:
    heard: list[set[str]] = []
    broker.listen("jobs", heard.append)

    broker.ring([("jobs", "a"), ("log", ""), ("jobs", "b"), ("jobs", "a")])
    broker.ring([("log", "")])

    assert heard == [{"a", "b"}]


async def test_ring_all_wakes_every_bell_and_every_listener(broker: LocalBroker) -> None:
    heard: list[set[str]] = []
    broker.listen("jobs", heard.append)
    with broker.bell("kv", "a") as bell:
        broker.ring_all()

        assert await bell.wait(0)
    assert heard == [{""}]
