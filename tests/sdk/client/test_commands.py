"""Commands that are sent more than once, against a real server in process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ironflow.base.errors import PreconditionFailed
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.commands import Commands
from ironflow.sdk.client.views.commands import CommandCorrupt, CommandInProgress
from ironflow.testing.app_transport import AppTransport
from tests.support.server import Server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client("http://server", transport=AppTransport(server.inside.app)) as client:
        yield client


def commands_of(client: Client, server: Server, lease: str = "5m") -> Commands:
    return Commands(client.kv, "commands", "7d", lease, now=lambda: server.now / 1000)


async def test_of_many_senders_of_a_command_one_carries_it_out_and_all_get_its_result(client: Client, server: Server):
    carried_out: list[int] = []

    async def send(number: int) -> object:
        commands = commands_of(client, server)

        async def carry_out() -> dict[str, int]:
            carried_out.append(number)
            await asyncio.sleep(0)
            return {"receipt": number}

        while True:
            try:
                return await commands.run_once("charge-1", carry_out)
            except CommandInProgress:
                await asyncio.sleep(0)

    results = await asyncio.gather(*(send(number) for number in range(8)))

    assert len(carried_out) == 1
    assert results == [{"receipt": carried_out[0]}] * 8


async def test_a_command_that_failed_can_be_sent_again(client: Client, server: Server):
    commands = commands_of(client, server)

    async def fail() -> None:
        raise LookupError("no card")

    async def work() -> str:
        return "done"

    with pytest.raises(LookupError):
        await commands.run_once("c", fail)
    assert await commands.run_once("c", work) == "done"
    assert await commands.run_once("c", fail) == "done"


async def test_a_claim_whose_claimer_died_is_taken_over_once_after_its_lease(client: Client, server: Server):
    commands, others = commands_of(client, server), commands_of(client, server)
    dead = await commands.claim("c")
    assert dead.won

    server.move(5 * 60_000 - 1)
    with pytest.raises(CommandInProgress, match="is being carried out"):
        await others.claim("c")
    server.move(1)
    claims = await asyncio.gather(others.claim("c"), commands.claim("c"), return_exceptions=True)

    assert sorted(type(each).__name__ for each in claims) == ["Claim", "CommandInProgress"]
    # The first client was only slow: it can neither finalize nor release the claim of another client.
    with pytest.raises(PreconditionFailed):
        await commands.finalize(dead, "late")
    await commands.release(dead)
    with pytest.raises(CommandInProgress):
        await others.claim("c")


async def test_a_released_claim_can_be_claimed_again(client: Client, server: Server):
    commands = commands_of(client, server)

    await commands.release(await commands.claim("c"))

    assert (await commands.claim("c")).won


async def test_what_cannot_be_read_is_not_carried_out(client: Client, server: Server):
    bucket = await client.kv.create_bucket("commands")
    await bucket.put("c", "not a state")

    with pytest.raises(CommandCorrupt, match="'c'"):
        await commands_of(client, server).claim("c")


async def test_a_command_is_forgotten_with_its_ttl(client: Client, server: Server):
    commands = commands_of(client, server)
    await commands.finalize(await commands.claim("c"), 1)

    server.move(7 * 24 * 3600 * 1000 - 1)
    assert not (await commands.claim("c")).won
    server.move(1)
    assert (await commands.claim("c")).won


async def test_the_clients_own_commands_are_the_same(client: Client, server: Server):
    async def work() -> int:
        return 7

    assert await client.commands().run_once("c", work) == 7
    assert (await commands_of(client, server).claim("c")).result == 7
