"""Replay joins live: a subscription that starts amid publishing gets every event once, in order."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow.features.pubsub import contract as pubsub
from ironflow.features.subscriptions import log_feed
from ironflow.features.subscriptions import subscription as module
from tests.subscriptions.following import Follower, following
from tests.support.work import Work

WITHIN_S = 30
TOPICS = ("a.x", "a.y", "b.x")
PATTERNS = {"topic:a.*": {"a.x", "a.y"}, "topic:a.x": {"a.x"}, "topic:>": set(TOPICS), "topic:*.x": {"a.x", "b.x"}}
EVENTS = 600
PUBLISHERS = 6


class Publishing:
    """Several publishers at once; what was acknowledged. sent: topic by sequence."""

    def __init__(self, server: Work) -> None:
        self.server = server
        self.sent: dict[int, str] = {}

    async def publish(self, topic: str) -> int:
        sequence = (await self.server.call(pubsub.publish, topic=topic, data={"n": 1})).sequence
        self.sent[sequence] = topic
        return sequence

    async def run(self, chance: random.Random) -> None:
        async def one(topics: list[str]) -> None:
            for topic in topics:
                await self.publish(topic)

        shares = [[chance.choice(TOPICS) for _ in range(EVENTS // PUBLISHERS)] for _ in range(PUBLISHERS)]
        await asyncio.gather(*map(one, shares))


def meant(publishing: Publishing, pattern: str) -> list[int]:
    return sorted(sequence for sequence, topic in publishing.sent.items() if topic in PATTERNS[pattern])


async def keep_reading(server: Work) -> None:
    """What the server does by itself."""
    while True:
        await server.loop("log-tail")
        await asyncio.sleep(0.001)


async def drain(follower: Follower, last: int, seen: list[int], pause: Any) -> None:
    """Reads until the event `last` is there, or would be."""
    while not seen or seen[-1] < last:
        while follower.subscription.ready:
            seen += [entry.sequence for entry in await follower.subscription.take()]
        await asyncio.sleep(pause())


@pytest.mark.parametrize("mode", ["buffer", "block"])
@pytest.mark.parametrize("seed", range(3))
async def test_every_subscriber_gets_each_event_once_and_in_order(
    server: Work, monkeypatch: pytest.MonkeyPatch, mode: str, seed: int
):
    chance = random.Random(seed)
    # So small that subscribers fall behind and catch up all the time.
    monkeypatch.setattr(module, "QUEUE_EVENTS_MAX", 1_000 if mode == "buffer" else 5)
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "TAKE_MAX", 3)
    publishing = Publishing(server)
    for _ in range(20):
        await publishing.publish(chance.choice(TOPICS))
    reading = asyncio.create_task(keep_reading(server))
    async with AsyncExitStack() as stack, asyncio.timeout(WITHIN_S):
        going = asyncio.create_task(publishing.run(chance))
        cases: list[tuple[str, dict[str, Any], int, list[int], int, Follower]] = []
        while not going.done():
            pattern = chance.choice(list(PATTERNS))
            how: dict[str, Any] = chance.choice(
                [{"replay": chance.randrange(1, 30)}, {"start_after_sequence": chance.randrange(20)}, {}]
            )
            before = list(publishing.sent)
            follower = await stack.enter_async_context(following(server, pattern, backpressure=mode, **how))
            known = len([each for each in before if publishing.sent[each] in PATTERNS[pattern]])
            cases.append((pattern, how, known, [], max(publishing.sent), follower))
            await asyncio.sleep(chance.random() * 0.02)
            if len(cases) >= 30:
                break
        await going
        ends = {pattern: await publishing.publish(min(PATTERNS[pattern])) for pattern in PATTERNS}
        lasts = {pattern: meant(publishing, pattern)[-1] for pattern in PATTERNS}
        assert set(lasts) == set(ends)
        await asyncio.gather(
            *(
                drain(follower, lasts[pattern], seen, lambda: chance.random() * 0.005)
                for pattern, _, _, seen, _, follower in cases
            )
        )
    reading.cancel()

    for pattern, how, known, seen, published, _ in cases:
        everything = meant(publishing, pattern)
        if "start_after_sequence" in how:
            expected = [each for each in everything if each > how["start_after_sequence"]]
            assert seen == expected, (pattern, how)
            continue
        # Some were published while it began; from the first that it got it has all.
        assert seen == [each for each in everything if each >= seen[0]], (pattern, how)
        # Each publisher may have had one event on disk that was not acknowledged yet, and another while it began.
        slack = 2 * PUBLISHERS
        if how:
            replayed = [each for each in seen if each <= published]
            assert len(replayed) >= min(how["replay"], known) - slack, (pattern, how)
        else:
            assert [each for each in everything if published + slack < each < seen[0]] == [], (pattern, how)


async def test_a_replay_across_windows_of_the_log_finds_the_last_ones(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_feed, "LOOK", 10)
    publishing = Publishing(server)
    for number in range(60):
        await publishing.publish("a.x" if number % 20 == 0 else "b.x")
    expected = [each for each, topic in sorted(publishing.sent.items()) if topic == "a.x"][-2:]

    for pattern in ("topic:a.*", "topic:a.x"):
        async with following(server, pattern, replay=2) as follower:
            assert [entry.sequence for entry in await follower.next(2)] == expected
            assert await follower.rest() == []
        async with following(server, pattern, replay=50) as follower:
            assert len(await follower.rest()) == 3
        async with following(server, pattern, start_after_sequence=expected[0]) as follower:
            assert [entry.sequence for entry in await follower.rest()] == expected[1:]


async def test_a_filtered_replay_counts_only_what_passes(server: Work):
    for number in range(40):
        await server.call(pubsub.publish, topic="n", data={"n": number})
    async with following(server, "topic:n", replay=3, filter="data.n % 10 == 0") as follower:
        assert await follower.data(3) == [{"n": 10}, {"n": 20}, {"n": 30}]
        assert await follower.rest() == []


async def test_what_was_acknowledged_before_is_neither_live_nor_counted_twice(server: Work):
    """Also when the log's tail has not come to it yet."""
    async with following(server, "topic:other"):
        for number in range(3):
            await server.call(pubsub.publish, topic="now", data=number)
        async with following(server, "topic:now") as live, following(server, "topic:now", replay=1) as last:
            await server.call(pubsub.publish, topic="now", data=3)
            assert await live.data() == [3]
            assert await last.data(2) == [2, 3]
            assert await live.rest() == await last.rest() == []
