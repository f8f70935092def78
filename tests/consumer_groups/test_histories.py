"""Random histories of a group: members join, leave, ack, reject and time out; some messages are never acked.

The test records its deliveries and its acks, and compares them with the final state of the server: each message was
acked once and not delivered again, or is a dead letter with a reason.

IRONFLOW_HISTORY_STEPS: steps of each history (40).
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
from ironflow.features.dead_letters import contract as dead_letters
from tests.support.groups import Client, a_group, join, publish
from tests.support.server import open_server
from tests.support.work import Work

MAX_REDELIVERIES = 3
DELAY_MS = 1_000
SEEDS = [1, 20, 300]
STEPS = int(os.environ.get("IRONFLOW_HISTORY_STEPS", "40"))


@dataclass
class Account:
    """What the test saw. deliveries: event id -> attempts in order. over: event id -> `ack` or `term` by its holder."""

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

    def settled(self, member: Client, event: SubscriptionEvent, kind: str) -> None:
        """Counts only when the member was the last to get the event."""
        if self.holder.get(event.event_id) is member:
            del self.holder[event.event_id]
            if kind in ("ack", "term"):
                self.over[event.event_id] = kind

    def check(self, sent: list[str], dead: dict[str, dead_letters.DeadLetter]) -> None:
        for event_id in sent:
            kind, letter = self.over.get(event_id), dead.get(event_id)
            if kind == "ack" and letter is not None:
                self.faults.append(f"{event_id} was acked and is dead")
            if kind == "term" and (letter is None or letter.reason != TERMINATED):
                self.faults.append(f"{event_id} was terminated and its reason does not say so")
            if kind is None and (letter is None or not letter.reason.startswith(SPENT)):
                self.faults.append(f"{event_id} is neither acked nor dead with a reason")
            if kind is None and letter is not None and letter.attempts != 1 + MAX_REDELIVERIES:
                self.faults.append(f"{event_id} died after {letter.attempts} deliveries")
        assert self.faults == []
        assert set(self.deliveries) == set(sent)
        assert set(dead) <= set(sent)


class History:
    """Members at one or more servers of the same database, and what they do by chance."""

    def __init__(self, servers: list[Work], seed: int) -> None:
        self.servers = servers
        self.chance = random.Random(seed)
        self.account = Account()
        # Each with its server and its unsettled events.
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
            # Its last holder was too late.
            self.account.holder.pop(letter.event_id, None)

    async def dead(self) -> list[dead_letters.DeadLetter]:
        return (await self.servers[0].call(dead_letters.list_, name="billing", limit=1000)).dead_letters

    async def step(self) -> None:
        await self.look()
        match self.chance.choices(["publish", "work", "join", "die", "wait"], [3, 8, 2, 1, 3])[0]:
            case "publish":
                new = await publish(self.servers[0], self.chance.randint(1, 12))
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
        server = self.chance.choice(self.servers)
        member = await join(server, "billing", prefetch=self.chance.choice([0, 1, 5]))
        self.members.append((server, member, []))

    async def work(self, member: Client, held: list[SubscriptionEvent]) -> None:
        self.chance.shuffle(held)
        for _ in range(self.chance.randint(0, len(held))):
            # An ack may have freed capacity for what is due, so that another member has the next event by now.
            await self.look()
            event = held.pop()
            kind = self.chance.choices(["ack", "nak", "term", "no answer"], [10, 3, 0.3, 1])[0]
            if event.event_id in self.poison:
                kind = self.chance.choice(["nak", "no answer"])
            if kind == "no answer":
                continue
            await member.ack(event, kind, self.chance.choice([0, 10, 700]) if kind == "nak" else 0)
            self.account.settled(member, event, kind)

    async def wait(self, ms: int) -> None:
        await self.look()
        for server in self.servers:
            server.move(ms)
        for server in self.servers:
            await server.loops()

    async def finish(self) -> None:
        """Acks everything that is not poison until the group has nothing left to deliver."""
        while len(self.members) < len(self.servers):
            await self.enter()
        for _ in range(200):
            await self.look()
            for _, member, held in self.members:
                while held:
                    event = held.pop(0)
                    if event.event_id not in self.poison:
                        await member.ack(event)
                        self.account.settled(member, event, "ack")
                        await self.look()
            await self.wait(DELAY_MS)
            group = await self.servers[0].call(contract.get, name="billing")
            if not (group.lag or group.in_flight or group.waiting):
                return
        raise AssertionError("the group never came to rest")

    async def run(self, steps: int) -> None:
        await a_group(
            self.servers[0],
            max_inflight=20,
            max_redeliveries=MAX_REDELIVERIES,
            redeliver_delay_ms=DELAY_MS,
            ack_wait_ms=2 * DELAY_MS,
        )
        for _ in range(steps):
            await self.step()
        await self.finish()
        self.account.check(self.sent, {each.event_id: each for each in await self.dead()})
        for _, member, _ in self.members:
            await member.leave()


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_message_is_acked_once_or_dead_with_a_reason(server: Work, seed: int):
    await History([server], seed).run(STEPS)


@pytest.mark.postgres
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_same_holds_for_members_at_two_servers(postgres_url: str, seed: int):
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(open_server(Work, postgres_url))
        two = await stack.enter_async_context(open_server(Work, postgres_url))
        await History([one, two], seed).run(STEPS)
