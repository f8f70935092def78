"""Handlers of entities at endpoints: the state comes with the request, and goes with call backs and the answer."""

import asyncio
from typing import Any

import msgspec
import pytest

from ironflow import Context, entity, function
from ironflow.features.controls import contract as controls
from ironflow.features.entities import contract
from ironflow.features.entities.contract import EntityNotFound
from ironflow.features.events import contract as events
from ironflow.features.push import contract as push
from ironflow.features.streams import contract as streams
from ironflow.features.values import contract as values
from ironflow.serve import serve
from tests.push.endpoint import SOON_S, an_endpoint, completed, eventually, until
from tests.push.serving import served
from tests.support.server import open_server
from tests.support.work import Work

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")

ACCOUNT = {"name": "account", "key": "id"}


async def called(server: Work, handler: str, key: str = "a", data: Any = None) -> str:
    invoked = await server.call(events.invoke, function_id=f"account.{handler}", entity_key=key, data=data)
    return invoked.run_id


async def states(server: Work, key: str = "a") -> list[Any]:
    """The states in the stream of the entity, oldest first. The row is the fold of it."""
    found = (await server.call(streams.read, entity_id=f"account:{key}")).events
    row = await server.call(contract.get, entity="account", key=key)
    assert (bytes(row.state), row.version) == (bytes(found[-1].data), found[-1].entity_version)
    return [msgspec.json.decode(each.data) for each in found]


def state(value: Any, number: int = 1) -> dict[str, Any]:
    return {"state": {"state": value, "number": number}}


@pytest.mark.parametrize("checkpoint", ["each", "batched"])
async def test_a_served_handler_changes_the_state_in_the_commits_of_its_reports(server: Work, checkpoint: Any):
    account = entity("account", key="id", initial={"balance": 0})
    seen: list[list[Any]] = []

    @account.handler(checkpoint=checkpoint)
    async def add(ctx: Context, data: int) -> Any:
        before = ctx.state["balance"]
        ctx.state["balance"] += data
        ctx.state["pending"] = True
        await ctx.step.run("work", lambda: 1)
        if checkpoint == "each":
            seen.append(await states(server))
        del ctx.state["pending"]
        return [before, ctx.state["balance"], ctx.entity.key if ctx.entity else None]

    @account.read
    async def balance(ctx: Context) -> Any:
        return ctx.state["balance"]

    async with served(server, account.functions):
        outputs = []
        for amount in (3, 4):
            run = await until(server, await called(server, "add", data=amount), "completed", "failed")
            outputs.append(msgspec.json.decode(run.output or b""))
        read = await until(server, await called(server, "balance"), "completed")

    assert outputs == [[0, 3, "a"], [3, 7, "a"]]
    assert bytes(read.output or b"") == b"7"
    if checkpoint == "each":
        pending = [{"balance": 3, "pending": True}, {"balance": 3}, {"balance": 7, "pending": True}, {"balance": 7}]
        assert await states(server) == pending
        assert seen == [pending[:1], pending[:3]]
    else:
        assert (await states(server))[-1] == {"balance": 7}


async def test_an_answer_that_is_lost_changes_the_state_once(server: Work):
    account = entity("account", key="id", initial=0)
    lost: list[str] = []

    @account.handler(retry={"max_attempts": 3, "initial_delay": "1s"})
    async def add(ctx: Context) -> Any:
        ctx.state += 1
        await ctx.step.run("work", lambda: 1)
        ctx.state += 10
        return ctx.state

    async with served(server, account.functions) as handler:
        answer = handler.handle

        async def breaks(*request: Any) -> Any:
            given = await answer(*request)
            if b"run_id" in request[-1] and not lost:
                lost.append("answer")
                raise ConnectionResetError
            return given

        handler.handle = breaks  # pyright: ignore[reportAttributeAccessIssue]
        run_id = await called(server, "add")
        await eventually(lambda: lost)
        await rested(server, run_id)
        run = await until(server, run_id, "completed", "failed")

    assert (run.status.value, bytes(run.output or b"")) == ("completed", b"11")
    # One event for each change: the state of the step that was recorded is not written again.
    assert await states(server) == [1, 11]


async def test_a_report_that_comes_again_or_has_lost_its_fence_writes_nothing(server: Work):
    fences: list[dict[str, Any]] = []
    gate = asyncio.Event()

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        fences.append(request["ironflow"])
        if len(fences) == 1:
            await gate.wait()
        return completed(len(fences)) | state({"n": len(fences)}, number=len(fences))

    async def report(fence: dict[str, Any], **what: Any) -> Any:
        sent = {"job": fence["job_id"], "status": "progress", "execution_seq": fence["execution_seq"]}
        reports = [sent | {"lease_token": fence["lease_token"]} | what]
        return (await server.call(push.report, worker="push", reports=reports)).results[0].error

    async with an_endpoint(answer) as endpoint:
        await a_handler(server, endpoint.url)
        run_id = await called(server, "add")
        await eventually(lambda: fences)
        assert [await report(fences[0], **state({"n": 0})) for _ in range(2)] == [None, None]
        assert await states(server) == [{"n": 0}]
        # Its lease ends: the next execution begins with the state that the run began with.
        server.move(600_000)
        await server.loops()
        await rested(server, run_id)
        run = await until(server, run_id, "completed")

        assert await report(fences[0], **state({"n": "late"}, number=9)) == "STALE_EXECUTION"

    entities = [each["entity"] for each in fences]
    assert entities == [{"entity": "account", "key": "a", "is_new": True} | more for more in ({}, {"number": 1})]
    assert (bytes(run.output or b""), await states(server)) == (b"2", [{"n": 0}, {"n": 2}])


async def test_a_state_that_is_refused_fails_the_run_and_its_steps_stand(database_url: str):
    account = entity("account", key="id", initial={})
    undone: list[str] = []

    @account.handler(checkpoint="batched")
    async def grow(ctx: Context, data: int) -> None:
        await ctx.step.run("work", lambda: 1)
        ctx.step.compensate("work", lambda: undone.append("work"))
        ctx.state["text"] = "x" * data

    async with open_server(Work, database_url, entity_state_bytes_max=1_000) as server:
        async with served(server, account.functions):
            kept = await until(server, await called(server, "grow", data=10), "completed", "failed")
            run = await until(server, await called(server, "grow", data=2_000), "completed", "failed")

        assert (kept.status.value, run.status.value) == ("completed", "failed")
        assert run.error is not None
        assert run.error.code == "ENTITY_STATE_TOO_LARGE"
        assert await states(server) == [{"text": "x" * 10}]
        assert [(each.name, each.status.value) for each in await server.steps(run.id)][:1] == [("work", "completed")]
        assert undone == ["work"]


async def test_a_reader_may_not_change_the_state_at_an_endpoint(server: Work):
    async with an_endpoint(lambda _: completed() | state({"n": 1})) as endpoint:
        await a_handler(server, endpoint.url, access="read")
        run = await until(server, await called(server, "add"), "failed")

    assert endpoint.requests[0]["ironflow"]["entity"]["read_only"]
    assert run.error is not None
    assert run.error.code == "ENTITY_STATE_READ_ONLY"
    with pytest.raises(EntityNotFound):
        await states(server)


async def test_a_function_that_is_no_handler_is_given_and_changes_no_state(server: Work):
    async with an_endpoint(lambda _: completed() | state({"n": 1})) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, push_checkpoints=True)
        run = await until(server, (await server.emit()).run_ids[0], "failed")

    assert "entity" not in endpoint.requests[0]["ironflow"]
    assert run.error is not None
    assert run.error.code == "INVALID_ENTITY_STATE"


async def test_a_server_that_gives_no_states_is_answered_with_a_refusal():
    account = entity("account", key="id")

    @account.handler
    async def add(ctx: Context) -> None: ...

    handler = serve(account.functions, skip_verification=True)
    request = {"run_id": "r", "function_id": "account.add", "event": {"id": "e", "name": "n"}}
    fence = {"url": "http://localhost/api/v1/push/reports", "job_id": "j", "execution_seq": 1, "lease_token": "t"}
    for given in (request, request | {"ironflow": fence | {"features": ["step-retries"]}}):
        answer = await handler.handle("POST", "/", {}, msgspec.json.encode(given))

        assert (answer.status, b"gives endpoints no states" in answer.body) == (400, True)


async def test_a_value_that_is_set_last_comes_with_the_answer(server: Work):
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> None:
        await ctx.step.run("first", lambda: 1)
        ctx.set("status", "charged")

    async with served(server, [charge]):
        run_id = (await server.emit()).run_ids[0]
        await until(server, run_id, "completed")

    assert bytes((await server.call(values.get, run_id=run_id, name="status")).value) == b'"charged"'


async def test_steps_that_changed_code_does_not_ask_for_come_with_the_answer(server: Work):
    def version(name: str) -> Any:
        @function("charge", on="order.placed", on_code_change="pause")
        async def charge(ctx: Context) -> None:
            await ctx.step.run(name, lambda: 1)
            await ctx.step.sleep("nap", "1m")

        return charge

    async with served(server, [version("first")]):
        run_id = (await server.emit()).run_ids[0]
        await until(server, run_id, "waiting", "paused")
    async with served(server, [version("other")]):
        server.move(60_000)
        await server.loops()
        async with asyncio.timeout(SOON_S):
            while (run := await server.run(run_id)).error is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    assert run.error is not None
    assert (run.status.value, run.error.code) == ("paused", "STEP_DIVERGED")


async def rested(server: Work, run_id: str) -> None:
    """The delay before the next attempt has passed."""
    async with asyncio.timeout(SOON_S):
        while (await server.call(controls.why, id=run_id)).reason != "retry":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    server.move(60_000)
    await server.loops()


async def a_handler(server: Work, url: str, **of_entity: Any) -> None:
    given = {"entity": ACCOUNT | of_entity, "endpoint_url": url, "push_checkpoints": True}
    await server.a_function("account.add", on=None, **given)
