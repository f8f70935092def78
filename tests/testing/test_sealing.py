"""A time machine is sealed: what is made inside belongs to its server, never to the one of the environment."""

import pytest

from ironflow import Client, Context, SyncContext, function, sync
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.world import AnotherWorld
from ironflow.testing import time_machine

# Nothing listens there; a request would fail.
ELSEWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def developers_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IRONFLOW_SERVER_URL", ELSEWHERE)
    monkeypatch.setenv("IRONFLOW_API_KEY", "ifkey_of_the_developer")
    monkeypatch.setenv("IRONFLOW_ENV", "production")


async def emit_elsewhere(name: str) -> str:
    async with Client() as client:
        return (await client.emit(name, {"from": "a step"})).event_id or ""


@function("outer", on="outer.wanted")
async def outer(ctx: Context):
    return await ctx.step.run("emit", emit_elsewhere, "inner.wanted")


@function("inner", on="inner.wanted")
async def inner(ctx: Context):
    return ctx.event.data


async def test_a_client_made_in_a_step_or_in_the_test_is_one_of_the_machine():
    async with time_machine([outer, inner]) as machine:
        run = await machine.emit("outer.wanted")
        async with Client() as client:
            found = [each.function_id async for each in client.runs.list()]

        assert run.status == "completed"
        assert sorted(found) == ["inner", "outer"]
        assert [each.output for each in await machine.runs(inner)] == [{"from": "a step"}]


async def test_each_of_two_machines_has_its_own_clients():
    async with time_machine([outer, inner]) as first, time_machine([outer, inner]) as second:
        await first.emit("outer.wanted")

        assert len(await first.runs(inner)) == 1
        assert await second.runs(inner) == []


async def test_a_blocking_client_is_refused_with_the_ways_there_are():
    @function("blocking", on="x", retry={"max_attempts": 1})
    def blocking(ctx: SyncContext):
        sync.Client()

    async with time_machine([blocking]) as machine:
        run = await machine.emit("x")

        assert run.error is not None
        assert (run.error.code, "Use `ctx.client`" in run.error.message) == (AnotherWorld.code, True)


async def test_a_client_with_an_address_and_one_made_afterwards_are_those_of_the_address():
    async with time_machine([inner]):
        named = Endpoint.resolve("http://example.invalid")
    after = Endpoint.resolve()

    assert (named.url, named.environment) == ("http://example.invalid", "production")
    assert (after.url, after.api_key) == (ELSEWHERE, "ifkey_of_the_developer")
