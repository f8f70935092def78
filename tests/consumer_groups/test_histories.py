"""Random lives of a group: members come, die, reject, forget and ack; one message poisons everybody.

The account that the test keeps of what it was given and what it said is compared with what the server tells in the
end: each message was acked once and never came again, or is a dead letter with a reason.

IRONFLOW_HISTORY_STEPS: how much happens in each life (40).
"""

import os
import random
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import SubscriptionEvent
from ironflow.features.consumer_groups.rules import SPENT, TERMINATED
from tests.support.groups import Client, a_group, join, publish
from tests.support.house import open_house
from tests.support.work import Work

MAX_REDELIVERIES = 3
DELAY_MS = 1_000
SEEDS = [1, 20, 300]
STEPS = int(os.environ.get("IRONFLOW_HISTORY_STEPS", "40"))


@dataclass
class Account:
    """What truly happened. deliveries: event id -> attempts in order. over: acked or terminated by who had it."""

    deliveries: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    holder: dict[str, Client] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def given(self, member: Client, events: list[SubscriptionEvent]) -> None:
        for event in events:
            attempts = self.deliveries[event.event_id]
            if event.event_id in self.over:
                self.faults.append(f"{event.event_id} came again after {self.over[event.event_id]}")
            if attempts and event.delivery_attempt < attempts[-1]:
                self.faults.append(f"{event.event_id} went back from attempt {attempts[-1]}")
            if event.delivery_attempt > 1 + MAX_REDELIVERIES:
                self.faults.append(f"{event.event_id} came {event.delivery_attempt} times")
            attempts.append(event.delivery_attempt)
            self.holder[event.event_id] = member

    def said(self, member: Client, event: SubscriptionEvent, word: str) -> None:
        """A word counts when it is of the member that was given the event last."""
        if self.holder.get(event.event_id) is member:
            del self.holder[event.event_id]
            if word in ("ack", "term"):
                self.over[event.event_id] = word

    def check(self, sent: list[str], dead: dict[str, contract.DeadLetter]) -> None:
        for event_id in sent:
            word, letter = self.over.get(event_id), dead.get(event_id)
            if word == "ack" and letter is not None:
                self.faults.append(f"{event_id} was acked and is dead")
            if word == "term" and (letter is None or letter.reason != TERMINATED):
                self.faults.append(f"{event_id} was terminated and is not told as such")
            if word is None and (letter is None or not letter.reason.startswith(SPENT)):
                self.faults.append(f"{event_id} is neither acked nor dead with a reason")
            if word is None and letter is not None and letter.attempts != 1 + MAX_REDELIVERIES:
                self.faults.append(f"{event_id} died after {letter.attempts} deliveries")
        assert self.faults == []
        assert set(self.deliveries) == set(sent)
        assert set(dead) <= set(sent)


class Life:
    """Members at one or more servers of the same database, and what they do by chance."""

    def __init__(self, houses: list[Work], seed: int) -> None:
        self.houses = houses
        self.chance = random.Random(seed)
        self.account = Account()
        # Where each is, and the events that it has said nothing of.
        self.members: list[tuple[Work, Client, list[SubscriptionEvent]]] = []
        self.sent: list[str] = []
        self.poison: set[str] = set()

    async def look(self) -> None:
        """Takes what members have been given, so that the account knows who holds what."""
        for _, member, held in self.members:
            fresh = await member.rest()
            self.account.given(member, fresh)
            held += fresh
        for letter in await self.dead():
            # Whoever had it was too late.
            self.account.holder.pop(letter.event_id, None)

    async def dead(self) -> list[contract.DeadLetter]:
        return (await self.houses[0].call(contract.dead_letters, name="billing", limit=1000)).dead_letters

    async def step(self) -> None:
        await self.look()
        match self.chance.choices(["publish", "work", "join", "die", "wait"], [3, 8, 2, 1, 3])[0]:
            case "publish":
                new = await publish(self.houses[0], self.chance.randint(1, 12))
                self.poison |= {each for each in new if self.chance.random() < 0.05}
                self.sent += new
            case "work" if self.members:
                _, member, held = self.chance.choice(self.members)
                await self.work(member, held)
            case "join" if len(self.members) < 4:
                await self.enter()
            case "die" if self.members:
                _, member, _ = self.members.pop(self.chance.randrange(len(self.members)))
                await member.leave()
            case _:
                await self.wait(self.chance.choice([50, 300, DELAY_MS, 2 * DELAY_MS]))

    async def enter(self) -> None:
        house = self.chance.choice(self.houses)
        member = await join(house, "billing", prefetch=self.chance.choice([0, 1, 5]))
        self.members.append((house, member, []))

    async def work(self, member: Client, held: list[SubscriptionEvent]) -> None:
        self.chance.shuffle(held)
        for _ in range(self.chance.randint(0, len(held))):
            # A word may have made room for what is due, so that somebody else has the next one by now.
            await self.look()
            event = held.pop()
            word = self.chance.choices(["ack", "nak", "term", "silence"], [10, 3, 0.3, 1])[0]
            if event.event_id in self.poison:
                word = self.chance.choice(["nak", "silence"])
            if word == "silence":
                continue
            await member.ack(event, word, self.chance.choice([0, 10, 700]) if word == "nak" else 0)
            self.account.said(member, event, word)

    async def wait(self, ms: int) -> None:
        await self.look()
        for house in self.houses:
            house.move(ms)
        for house in self.houses:
            await house.loops()

    async def finish(self) -> None:
        """Honest members until nothing is left but the dead."""
        while len(self.members) < len(self.houses):
            await self.enter()
        for _ in range(200):
            await self.look()
            for _, member, held in self.members:
                while held:
                    event = held.pop(0)
                    if event.event_id not in self.poison:
                        await member.ack(event)
                        self.account.said(member, event, "ack")
                        await self.look()
            await self.wait(DELAY_MS)
            group = await self.houses[0].call(contract.get, name="billing")
            if not (group.lag or group.in_flight or group.waiting):
                return
        raise AssertionError("the group never came to rest")

    async def run(self, steps: int) -> None:
        await a_group(self.houses[0], max_inflight=20, max_redeliveries=MAX_REDELIVERIES, redeliver_delay_ms=DELAY_MS)
        for _ in range(steps):
            await self.step()
        await self.finish()
        self.account.check(self.sent, {each.event_id: each for each in await self.dead()})
        for _, member, _ in self.members:
            await member.leave()


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_message_is_acked_once_or_dead_with_a_reason(house: Work, seed: int):
    await Life([house], seed).run(STEPS)


@pytest.mark.postgres
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_same_holds_for_members_at_two_servers(postgres_url: str, seed: int):
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(open_house(Work, postgres_url))
        two = await stack.enter_async_context(open_house(Work, postgres_url))
        await Life([one, two], seed).run(STEPS)
