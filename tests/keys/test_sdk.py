"""Keys of runs in the SDK: functions that have them, and clients that name runs by them."""

import pytest

from ironflow import function
from ironflow.base.run_keys import RunKeyHeld
from ironflow.features.functions.contract import InvalidFunction
from ironflow.testing import time_machine


@function("chat")
async def chat(ctx):
    await ctx.step.run("greet", lambda: "hello")
    await ctx.step.sleep("listen", "1h")
    return "bye"


@function("fulfil", on="order.*", key="data.order", if_running="replace")
async def fulfil(ctx, order: dict):
    await ctx.step.sleep("pack", "1h")
    return order["n"]


async def test_a_run_is_found_waited_for_and_controlled_by_its_key():
    async with time_machine(functions=[chat]) as machine:
        run = await machine.invoke(chat, key="ada:1?")
        runs = machine.client.runs

        assert (await runs.get("chat", key="ada:1?")).id == run.id
        assert [step.name for step in await runs.steps("chat", key="ada:1?")] == ["greet", "listen"]
        assert (await machine.client.invoke("chat", key="ada:1?")).existing
        with pytest.raises(RunKeyHeld):
            await machine.client.invoke("chat", key="ada:1?", if_running="refuse")
        await machine.advance("1h")
        assert (await runs.wait("chat", key="ada:1?")).output == "bye"
        assert [each.id async for each in runs.list(key="ada:1?")] == [run.id]


async def test_an_event_replaces_the_run_of_its_key():
    async with time_machine(functions=[fulfil]) as machine:
        first = await machine.emit("order.placed", {"order": "o1", "n": 1})
        second = await machine.emit("order.changed", {"order": "o1", "n": 2})
        await machine.advance("1h")

        assert (first.status, second.output) == ("cancelled", 2)


@pytest.mark.parametrize("settings", [{"if_running": "use"}, {"key": "data.x", "if_running": "wait"}])
def test_settings_that_no_server_would_accept_are_refused_at_once(settings):
    with pytest.raises(InvalidFunction):
        function("chat", **settings)
