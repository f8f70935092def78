"""Every operation, given the names, ids, cursors and patterns of another environment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import Internal, IronflowError
from ironflow.base.spelling import reader
from tests.environments.parties import MARK, OPERATIONS, Party, a_party, columns_of, fill, plain, requests, rows_of
from tests.support.keys import Guarded, open_guarded


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with open_guarded(database_url, master_key="11" * 32) as opened:
        yield opened


async def answer(party: Party, name: str, fields: dict[str, Any]) -> str:
    """What is answered, as text: also a refusal. Of a stream, its first answer."""
    operation = OPERATIONS[name]
    try:
        async with asyncio.timeout(0.2 if operation.holds or operation.streaming != "unary" else 30):
            if operation.streaming == "unary":
                return repr(await party.ask(operation, fields))
            message: Any = reader(operation.request).read(msgspec.json.encode(fields))
            stream = party.guarded.dispatch.stream(operation, await party.call(), message)
            async with aclosing(stream) as answers:
                return repr([plain(each) async for each in answers])
    except TimeoutError:
        return ""
    except Internal as error:
        raise AssertionError(f"{name} of {fields} fails") from error
    except IronflowError as error:
        return f"{error.code} {error.message}"


async def test_no_operation_shows_or_changes_anything_of_another_environment(guarded: Guarded):
    """Names and ids of the victim are sent in every field that takes one; its payloads are in no answer."""
    victim, other = await a_party(guarded, "victim-env"), await a_party(guarded, "other")
    known = await fill(victim)
    columns = await guarded.db.read(lambda tx: columns_of(tx, is_postgres=guarded.db.name == "postgres"))
    await guarded.loops()
    before = await guarded.db.read(lambda tx: rows_of(tx, victim.environment, columns))
    assert sum(map(len, before.values())) > 60
    ids = {name for field in ("id", "job", "lease_token") for name in known[field] if len(name) > 20}
    walked = [each for each in OPERATIONS.values() if each.scope != "public" and each.streaming != "bidi"]
    asked = 0

    # Reads first: what comes back then is not what another request of the same caller has written.
    for operation in sorted(walked, key=lambda each: not reads(each.scope)):
        for fields in requests(operation, known):
            found = await answer(other, operation.name, fields)
            asked += 1
            assert MARK not in found, (operation.name, fields, found)
            if reads(operation.scope):
                assert not [each for each in ids if each in found and each not in str(fields)], (operation.name, fields)
    await guarded.loops()

    after = await guarded.db.read(lambda tx: rows_of(tx, victim.environment, columns))
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
    assert asked > 2_000


def reads(scope: str) -> bool:
    return scope.endswith((":read", ":query", ":subscribe"))


async def follow(party: Party, name: str, fields: dict[str, Any], seen: list[str]) -> None:
    """Records what a stream brings, or its refusal, until it is cancelled."""
    operation = OPERATIONS[name]
    message: Any = reader(operation.request).read(msgspec.json.encode(fields))
    try:
        async with aclosing(party.guarded.dispatch.stream(operation, await party.call(), message)) as answers:
            async for each in answers:
                seen += [repr(plain(each))]
    except IronflowError as error:
        seen.append(error.code)


STREAMS = [
    ("subscriptions.watch", {"pattern": ">"}),
    ("subscriptions.watch", {"pattern": "system.>"}),
    ("subscriptions.subscribe", {"pattern": ">"}),
    ("subscriptions.subscribe", {"pattern": "system.>"}),
    ("subscriptions.subscribe", {"pattern": "entity:>"}),
    ("subscriptions.subscribe", {"pattern": "victim.>", "options": {"replay": 100}}),
    ("config.watch", {"name": "shared"}),
    ("kv.watch", {"bucket": "shared"}),
    ("consumer_groups.join", {"group_name": "shared"}),
    ("projections.follow", {"name": "shared"}),
]


async def use(party: Party, text: str) -> None:
    """Changes that every stream of the environment would bring."""
    data = {"x": text}
    await party.ask("events.emit", {"event": "victim.placed", "data": data})
    await party.ask("streams.append", {"entity_id": "shared", "entity_type": "cart", "event_name": "n", "data": data})
    await party.ask("config.set", {"name": "shared", "data": data})
    await party.ask("kv.put", {"bucket": "shared", "key": text, "value": "eA=="})
    await party.ask("functions.register", {"id": text, "triggers": [{"event": "victim.placed"}]})
    await party.ask("events.emit", {"event": "victim.placed", "data": data})


async def test_no_stream_brings_anything_of_another_environment(guarded: Guarded):
    """Both have a bucket, a document, a group and a projection of the same name; only one listens."""
    victim, other = await a_party(guarded, "victim-env"), await a_party(guarded, "other")
    for party in (victim, other):
        await party.ask("kv.create_bucket", {"name": "shared"})
        await party.ask("consumer_groups.create", {"name": "shared", "pattern": ">"})
        await party.ask("projections.register", {"name": "shared", "events": ["*"]})
    seen: list[list[str]] = [[] for _ in STREAMS]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(follow(other, name, fields, seen[number]))
            for number, (name, fields) in enumerate(STREAMS)
        ]
        await use(victim, MARK)
        await use(other, "of-its-own")
        await use(victim, MARK)
        await use(other, "of-its-own")

        async def until_first_two() -> None:
            while not all("of-its-own" in str(each) for each in (seen[0], seen[2])):
                await guarded.loops()
                await asyncio.sleep(0)

        await asyncio.wait_for(until_first_two(), 30)
        for task in tasks:
            task.cancel()
    assert MARK not in str(seen)
