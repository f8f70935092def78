"""`return ctx.restart(data)` in the SDK: executions, the time machine, the test client and replays."""

from typing import Any

import msgspec
import pytest

from ironflow import Context, Retry, function
from ironflow.base.errors import ValidationError
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, Restarted
from ironflow.sdk.durable.steps.retrying import FEATURES
from ironflow.testing import TestClient, context_for_test, time_machine
from ironflow.testing.replaying import replay
from tests.sdk.durable.jobs import a_job

ONCE = Retry(max_attempts=1)
EACH = 4


class Count(msgspec.Struct):
    left: int
    seen: list[str] = []


@function("count", retry=ONCE)
async def count(ctx: Context, data: Count) -> Any:
    seen = [*data.seen, await ctx.step.run("note", lambda: f"{data.left}")]
    if data.left:
        return ctx.restart(Count(data.left - 1, seen))
    return seen


@function("plain", retry=ONCE)
def plain(ctx: Any, data: Any) -> Any:
    return ctx.restart({"left": data["left"] - 1}) if data["left"] else "done"


@function("parent", retry=ONCE)
async def parent(ctx: Context) -> Any:
    return await ctx.step.invoke("count", {"left": 3}, timeout="1h")


@function("inbox", retry=ONCE)
async def inbox(ctx: Context, data: Any) -> Any:
    """Restarts after every EACH messages."""
    seen = list((data or {}).get("seen", []))
    for _ in range(EACH):
        msg = await ctx.step.receive("prompt", timeout="1h")
        if msg.data == "stop":
            return seen
        seen.append(msg.data)
    return ctx.restart({"seen": seen})


@function("undone", retry=ONCE)
async def undone(ctx: Context, data: Any) -> Any:
    await ctx.step.run("charge", lambda: 1)
    ctx.step.compensate("charge", lambda: 2)
    return ctx.restart() if data else "done"


async def outcome_of(definition: Any, features: frozenset[str] = FEATURES, **job: Any) -> Any:
    return await Execution(definition, a_job(**job), features=features).run()


async def test_a_restart_is_an_outcome_of_its_own():
    restarted = await outcome_of(count, data={"left": 1})
    assert isinstance(restarted, Restarted)
    assert msgspec.json.decode(restarted.data) == {"left": 0, "seen": ["1"]}
    assert isinstance(await outcome_of(plain, data={"left": 0}), Completed)
    assert isinstance(await outcome_of(plain, data={"left": 1}), Restarted)


async def within_a_step(ctx: Context) -> Any:
    return await ctx.step.run("body", lambda: ctx.restart(1))


async def within_a_branch(ctx: Context) -> Any:
    async def branch(step: Any) -> Any:
        return ctx.restart(1)

    return await ctx.step.parallel("both", [branch, branch])


async def not_returned(ctx: Context) -> Any:
    ctx.restart(1)
    return "done"


async def in_a_list(ctx: Context) -> Any:
    return [ctx.restart(1)]


async def of_another_type(ctx: Context, data: Count) -> Any:
    return ctx.restart({"left": "many"})


async def unwritable(ctx: Context) -> Any:
    return ctx.restart({1, object()})


@pytest.mark.parametrize(
    ("handler", "code", "named"),
    [
        (within_a_step, "STEP_WITHIN_STEP", "ctx.restart"),
        (within_a_branch, "RESTART_WITHIN_BRANCH", "after the branches"),
        (not_returned, "RESTART_NOT_RETURNED", "return ctx.restart"),
        (in_a_list, "RESTART_NOT_RETURNED", "return ctx.restart"),
        (of_another_type, ValidationError.code, "left"),
        (unwritable, "SERIALIZATION_ERROR", "the data of the restart"),
    ],
)
async def test_a_restart_that_cannot_be_is_refused_with_a_sentence(handler: Any, code: str, named: str):
    failed = await outcome_of(function("f", retry=ONCE)(handler), data={"left": 1})
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.retryable) == (code, False)
    assert named in failed.error.message


async def test_a_server_without_restarts_fails_the_run():
    failed = await outcome_of(plain, features=frozenset(), data={"left": 1})
    assert isinstance(failed, Failed)
    assert failed.error.code == "UNIMPLEMENTED"


async def test_a_secret_is_not_handed_on():
    @function("leaks", secrets=["KEY"])
    async def leaks(ctx: Context) -> Any:
        return ctx.restart({"key": ctx.secrets.get("KEY")})

    failed = await outcome_of(leaks, secrets={"KEY": "sk-12345678"})
    assert isinstance(failed, Failed)
    assert "sk-12345678" not in failed.error.message


def test_a_handler_is_tested_with_a_context_alone():
    ctx = context_for_test({"left": 2})
    assert bytes(ctx.restart({"left": 1}).data) == b'{"left":1}'


async def test_a_chain_in_the_time_machine_is_followed_to_its_end():
    async with time_machine(functions=[count, parent]) as machine:
        run = await machine.invoke("count", {"left": 3}, key="c")
        assert (run.status, run.output) == ("completed", ["3", "2", "1", "0"])
        links = [each async for each in machine.client.runs.chain(run.id, page_size=2)]
        assert [each.link for each in links] == [0, 1, 2, 3]
        assert (links[0].id, links[-1].id) == (run.id, run.info.id)
        assert [each.restarted_as for each in links] == [*(each.id for each in links[1:]), None]
        assert [each.restarted_from for each in links] == [None, *(each.id for each in links[:-1])]
        waited = await machine.client.runs.wait(run.id)
        assert (waited.id, waited.output) == (run.info.id, run.output)
        assert (await machine.client.runs.get(run.id, last=True)).id == run.info.id
        assert (await machine.client.runs.get("count", key="c")).id == run.info.id

        waits = await machine.invoke(parent)
        assert waits.output == run.output


async def test_a_receive_loop_that_restarts_takes_each_message_once_and_in_order():
    async with time_machine(functions=[inbox]) as machine:
        run = await machine.invoke(inbox, None, key="ada")
        for number in range(3 * EACH + 2):
            await machine.client.send("inbox", "ada", "prompt", number)
            if number % 3 == 0:
                await machine.settle()
        await machine.client.send("inbox", "ada", "prompt", "stop")
        await machine.settle()

        assert run.output == list(range(3 * EACH + 2))
        assert len([each async for each in machine.client.runs.chain(run.id)]) == 4


async def test_nothing_is_compensated():
    async with time_machine(functions=[undone]) as machine:
        run = await machine.invoke(undone, True)
        links = [each async for each in machine.client.runs.chain(run.id)]
        steps = [await machine.client.runs.steps(each.id) for each in links]

    assert [[each.name for each in those] for those in steps] == [["charge"], ["charge"]]


async def test_a_chain_in_the_test_client():
    client = TestClient(functions=[count, parent], strict=False)
    run = await client.invoke(count, {"left": 2})
    assert (run.output, run.status) == (["2", "1", "0"], "completed")
    assert run.restarted_from is not None
    assert run.restarted_from.restarted_from is not None
    assert run.restarted_from.restarted_from.restarted_from is None
    assert [each.name for each in run.restarted_from.steps] == ["note"]
    assert (await client.invoke(parent)).output == ["3", "2", "1", "0"]


async def test_a_function_that_restarts_for_ever_is_refused():
    @function("ever")
    async def ever(ctx: Context) -> Any:
        return ctx.restart()

    with pytest.raises(Exception, match="has restarted 1000 times"):
        await TestClient(functions=[ever]).invoke(ever)


async def test_a_link_is_replayed_as_such():
    @function("count", retry=ONCE)
    async def completes(ctx: Context, data: Count) -> Any:
        return await ctx.step.run("note", lambda: "")

    async with time_machine(functions=[count]) as machine:
        run = await machine.invoke("count", {"left": 1})
        fits = await replay(count, run.id, client=machine.client)
        last = await replay(count, run.info.id, client=machine.client)
        other = await replay(completes, run.id, client=machine.client)

    assert (fits.verdict, fits.end) == ("fits", "restarted")
    assert (last.verdict, last.end, last.other_output) == ("fits", "completed", False)
    assert [each.message for each in other.divergences] == ["The run restarted, and the code completes it."]
