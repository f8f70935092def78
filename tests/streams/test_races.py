"""Many append to the same entities at once, on one node and on two: their answers are of one order."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import count

import pytest
from msgspec.structs import replace

from ironflow.base.errors import VersionConflict
from ironflow.features.streams import contract as streams
from ironflow.log import heads
from ironflow.log.heads import Stream
from ironflow.storage.port import Tx
from tests.streams.linear import Appended, Refused, Seen, faults
from tests.support.late import late_commits, waiters
from tests.support.server import open_server
from tests.support.work import Work

ENTITIES = ["e-0", "e-1", "e-2"]
WRITERS = 24
APPENDS = 12


class Witness:
    """Appends and reads through one of several servers, and writes down what was asked and answered, and when."""

    def __init__(self, servers: list[Work], seed: int) -> None:
        self.servers = servers
        self.random = random.Random(seed)
        self.ticks = count(1)
        self.observed: dict[str, list[Appended | Refused | Seen]] = {entity: [] for entity in ENTITIES}
        # The last version in any answer: what a writer would read before it appends.
        self.known = dict.fromkeys(ENTITIES, 0)

    async def append_all(self) -> None:
        for _ in range(APPENDS):
            entity = self.random.choice(ENTITIES)
            if self.random.random() < 0.2:
                await self.read(entity)
            else:
                guess = self.known[entity] + self.random.choice((0, 0, 0, 0, -1, 1))
                await self.append(entity, -1 if self.random.random() < 0.3 else max(guess, 0))

    async def append(self, entity: str, expected: int) -> None:
        server, asked = self.random.choice(self.servers), next(self.ticks)
        try:
            answer = await server.call(
                streams.append,
                entity_id=entity,
                entity_type="t",
                event_name="order.changed",
                expected_version=expected,
            )
        except VersionConflict as conflict:
            current = conflict.current_version
            assert current is not None
            self.observed[entity].append(Refused(asked, next(self.ticks), expected, current))
        else:
            current = answer.entity_version
            self.observed[entity].append(Appended(asked, next(self.ticks), expected, current, answer.event_id))
        self.known[entity] = max(self.known[entity], current)

    async def read(self, entity: str) -> None:
        server, asked = self.random.choice(self.servers), next(self.ticks)
        ids = await self.events(server, entity)
        self.observed[entity].append(Seen(asked, next(self.ticks), ids))

    async def events(self, server: Work, entity: str) -> tuple[str, ...]:
        found = await server.call(streams.read, entity_id=entity)
        assert [each.entity_version for each in found.events] == list(range(1, len(found.events) + 1))
        assert found.total_count == len(found.events)
        return tuple(each.id for each in found.events)

    async def verdict(self) -> list[str]:
        """Faults of every stream, each with its name."""
        found: list[str] = []
        for entity, observed in self.observed.items():
            final = await self.events(self.servers[0], entity)
            found += [f"{entity}: {fault}" for fault in faults(observed, final)]
        return found

    def count(self, kind: type[Appended | Refused | Seen]) -> int:
        return sum(isinstance(each, kind) for observed in self.observed.values() for each in observed)


@pytest.mark.parametrize("seed", range(4))
async def test_racing_appends_and_reads_happened_in_one_order(server: Work, seed: int):
    await server.a_function(on="order.changed")
    witness = Witness([server], seed)
    await asyncio.gather(*(witness.append_all() for _ in range(WRITERS)))

    assert await witness.verdict() == []
    assert min(map(witness.count, (Appended, Refused, Seen))) > 10
    # A conflict starts no run, a success starts one.
    assert len(await server.runs(limit=1000)) == witness.count(Appended)


@pytest.fixture
async def servers(postgres_url: str) -> AsyncIterator[list[Work]]:
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as other:
        yield [one, other]


@pytest.mark.parametrize("seed", range(4))
async def test_two_nodes_on_one_database_append_in_one_order(servers: list[Work], seed: int):
    await servers[0].a_function(on="order.changed")
    witness = Witness(servers, seed)
    await asyncio.gather(*(witness.append_all() for _ in range(WRITERS)))

    assert await witness.verdict() == []
    assert min(map(witness.count, (Appended, Refused, Seen))) > 10
    assert len(await servers[0].runs(limit=1000)) == witness.count(Appended)


async def append(server: Work, entity: str, expected: int = -1, **more: object) -> streams.Appended | VersionConflict:
    fields = {"entity_type": "t", "event_name": "n", "expected_version": expected, **more}
    try:
        return await server.call(streams.append, entity_id=entity, **fields)
    except VersionConflict as conflict:
        return conflict


async def test_of_two_nodes_that_expect_a_new_stream_one_is_first(servers: list[Work], postgres_url: str):
    """The second node cannot see the first one's stream, for that is not committed; it must wait for it."""
    async with late_commits(postgres_url, "events") as connection:
        first = asyncio.create_task(append(servers[0], "e", expected=0))
        await waiters(connection, 1)
        second = asyncio.create_task(append(servers[1], "e", expected=0))
        await waiters(connection, 2)

    one, other = await asyncio.gather(first, second)
    assert isinstance(one, streams.Appended)
    assert isinstance(other, VersionConflict)
    assert other.current_version == 1


async def test_of_two_nodes_with_one_key_one_appends_and_both_get_its_answer(servers: list[Work], postgres_url: str):
    async with late_commits(postgres_url, "events") as connection:
        first = asyncio.create_task(append(servers[0], "e", expected=0, idempotency_key="k"))
        await waiters(connection, 1)
        second = asyncio.create_task(append(servers[1], "e", expected=0, idempotency_key="k"))
        await waiters(connection, 2)

    one, other = await asyncio.gather(first, second)
    assert isinstance(one, streams.Appended)
    assert isinstance(other, streams.Appended)
    assert (one.event_id, one.entity_version, one.sequence) == (other.event_id, other.entity_version, other.sequence)
    assert (one.duplicate, other.duplicate) == (None, True)
    assert len((await servers[1].call(streams.read, entity_id="e")).events) == 1


async def test_an_append_to_streams_in_another_order_waits_without_a_deadlock(
    servers: list[Work], monkeypatch: pytest.MonkeyPatch
):
    # A deadlock's loser would be run again, a second later; here it fails.
    monkeypatch.setattr("ironflow.storage.postgres.TRIES", 1)
    chance = random.Random(7)
    held: list[set[Stream]] = []

    async def hold(server: Work, turn: int) -> None:
        # Some are there already, most are new.
        order = [("default", f"e-{turn - number % 2}-{number}") for number in chance.sample(range(40), 40)]

        def change(tx: Tx) -> None:
            before = heads.hold(tx, order, now=1)
            held.append(set(before))
            after = {stream: replace(head, version=head.version + 1) for stream, head in before.items()}
            heads.save(tx, before, after)

        await server.db.write(change)

    for turn in range(8):
        await asyncio.gather(*(hold(server, turn) for server in servers for _ in range(8)))

    assert len(held) == 8 * 16
    assert all(len(each) == 40 for each in held)
