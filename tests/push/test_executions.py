"""Push executions against endpoints on real sockets: what is posted, and what becomes of the answers."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from ironflow import signing
from ironflow.features.controls import contract as controls
from ironflow.features.functions.install import ReadFunctions
from ironflow.features.nodes.service import Nodes
from ironflow.features.push.service import Push
from ironflow.features.runs import contract as runs
from tests.push.endpoint import an_endpoint, completed, eventually, step, until
from tests.support.late import late_commits, waiters
from tests.support.server import open_server
from tests.support.work import Work, text_of


async def test_an_execution_is_posted_and_its_answer_completes_the_run(server: Work):
    async with an_endpoint(lambda request: completed({"ok": True}, step(request, "charge", 7))) as endpoint:
        await server.a_function(endpoint_url=endpoint.url)
        (run_id,) = (await server.emit(data={"total": 100, "name": "Ä b"}, metadata={"by": "test"})).run_ids

        run = await until(server, run_id, "completed")

    (request,) = endpoint.requests
    assert request == {
        "run_id": run_id,
        "function_id": "charge",
        "attempt": 1,
        "max_attempts": 3,
        "on_exhausted": "fail",
        "event": {
            "id": run.event_id,
            "name": "order.placed",
            "data": {"total": 100, "name": "Ä b"},
            "timestamp": text_of(server.now),
            "version": 1,
            "source": "api",
            "metadata": {"by": "test"},
        },
        "steps": [],
    }
    ((headers, body),) = endpoint.raw
    assert b'"data":{"total":100,"name":"\xc3\x84 b"}' in body
    assert headers["Content-Type"] == "application/json"
    assert signing.HEADER not in headers
    assert json.loads(bytes(run.output or b"")) == {"ok": True}
    assert [(each.name, bytes(each.output or b"")) for each in await server.steps(run_id)] == [("charge", b"7")]


async def test_a_request_is_signed_with_the_key_and_the_one_before(database_url: str):
    keys = {"signing_key": "new", "signing_key_previous": "old"}
    async with an_endpoint(lambda _: completed()) as endpoint, open_server(Work, database_url, **keys) as server:
        await server.a_function(endpoint_url=endpoint.url)
        (run_id,) = (await server.emit()).run_ids
        await until(server, run_id, "completed")

    ((headers, body),) = endpoint.raw
    for key in ("new", "old"):
        signing.verify(body, headers[signing.HEADER], key, now=server.now / 1000)


async def test_a_function_and_an_environment_have_keys_of_their_own(database_url: str, tmp_path: Any):
    file = tmp_path / "keys.json"
    file.write_text('{"default": "of the environment", "default/charge": ["of the function"]}')
    settings = {"signing_key": "the server's", "signing_keys_file": str(file)}
    async with an_endpoint(lambda _: completed()) as endpoint, open_server(Work, database_url, **settings) as server:
        await server.a_function(endpoint_url=endpoint.url)
        await server.a_function("other", endpoint_url=endpoint.url)
        for run_id in (await server.emit()).run_ids:
            await until(server, run_id, "completed")

    for (headers, body), request in zip(endpoint.raw, endpoint.requests, strict=True):
        key = "of the function" if request["function_id"] == "charge" else "of the environment"
        signing.verify(body, headers[signing.HEADER], key, now=server.now / 1000)


async def test_a_yield_sleeps_and_the_next_request_has_the_finished_steps(server: Work):
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["steps"]:
            return completed(len(request["steps"]))
        sleep = {"type": "sleep", "step_id": f"{request['run_id']}:nap:0", "until": text_of(server.now + 60_000)}
        return {"status": "yielded", "steps": [step(request, "before", 1)], "yield": sleep}

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url)
        (run_id,) = (await server.emit()).run_ids
        await until(server, run_id, "waiting", "paused")
        server.move(60_000)
        await server.loops()

        await until(server, run_id, "completed")

    assert [each["steps"] for each in endpoint.requests] == [
        [],
        [
            {"id": f"{run_id}:before:0", "name": "before", "status": "completed", "output": 1},
            {"id": f"{run_id}:nap:0", "name": "nap", "status": "completed", "output": None},
        ],
    ]
    # One connection, kept open between the two.
    assert len(endpoint.connections) == 1


async def test_a_failure_of_the_handler_is_tried_again_and_does_not_count_against_the_endpoint(server: Work):
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["attempt"] == 2:
            return completed("now")
        error = {"message": "card service down", "code": "DOWN", "retryable": True}
        return {"status": "failed", "steps": [], "error": error}

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, circuitBreaker={"failureThreshold": 1})
        (run_id,) = (await server.emit()).run_ids
        await eventually(lambda: len(endpoint.requests) == 1)
        await next_attempt(server, run_id)

        await until(server, run_id, "completed")


async def test_compensations_are_asked_for_again_when_the_endpoint_did_not_answer(server: Work):
    def answer(request: dict[str, Any]) -> Any:
        if "compensating" in request["ironflow"]:
            return web.Response(status=503) if len(endpoint.requests) == 2 else completed()
        error = {"message": "no such card", "code": "NO_CARD", "retryable": False}
        return {"status": "failed", "steps": [step(request, "book")], "error": error, "uncompensated": True}

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, push_checkpoints=True, compensation_timeout_ms=60_000)
        (run_id,) = (await server.emit()).run_ids
        await next_attempt(server, run_id)
        run = await until(server, run_id, "failed")

    assert len(endpoint.requests) == 3
    assert run.error is not None
    assert run.error.code == "NO_CARD"


def booked(request: dict[str, Any], server: Work) -> dict[str, Any]:
    """The answer of a handler that has made a step, and sleeps for a second."""
    nap = {"type": "sleep", "step_id": f"{request['run_id']}:nap:0", "until": text_of(server.now + 1_000)}
    return {"status": "yielded", "steps": [step(request, "book")], "yield": nap}


async def a_booked_run(server: Work, **function: Any) -> str:
    """A run whose handler goes on after its first step."""
    await server.a_function(**function)
    (run_id,) = (await server.emit()).run_ids
    await until(server, run_id, "waiting", "paused")
    server.move(1_000)
    await server.loops()
    return run_id


UNANSWERED: list[tuple[str, Callable[[Any], Any]]] = [
    ("dead", lambda _: web.Response(status=503)),
    ("hangs", lambda _: asyncio.sleep(60)),
    ("rubbish", lambda _: web.Response(body=b"<html>hello</html>")),
    ("refuses for good", lambda _: web.Response(status=400)),
    ("cannot be recorded", lambda request: completed(1, {**step(request, "pay"), "status": "exploded"})),
]


@pytest.mark.parametrize(("name", "bad"), UNANSWERED, ids=[each[0] for each in UNANSWERED])
async def test_a_run_whose_last_attempt_got_no_answer_is_undone(tmp_path: Any, name: str, bad: Callable[[Any], Any]):
    """As a worker's run is, whose last attempt ended with a time-out or a lost lease."""
    undoing: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> Any:
        if request["steps"]:
            if "compensating" not in request["ironflow"]:
                return bad(request)
            undoing.append(request)
            return completed()
        return booked(request, server)

    async with an_endpoint(answer) as endpoint, open_server(Work, str(tmp_path / "db")) as server:
        budget_ms = 2_000 if name == "hangs" else 30_000
        ours = {"push_checkpoints": True, "compensation_timeout_ms": 60_000, "push_budget_ms": budget_ms}
        run_id = await a_booked_run(server, endpoint_url=endpoint.url, retry={"maxAttempts": 1}, **ours)
        run = await until(server, run_id, "failed")

    (request,) = undoing
    assert run.error is not None
    assert run.error.code in ("PUSH_REFUSED", "PUSH_TIMEOUT", "PUSH_ANSWER_INVALID", "INVALID_REPORT")
    # It is undone for what it failed with.
    assert request["ironflow"]["compensating"]["code"] == run.error.code


async def test_an_endpoint_that_stays_dead_is_asked_so_often_to_undo_a_run_and_no_more(server: Work):
    def answer(request: dict[str, Any]) -> Any:
        if request["steps"]:
            return web.Response(status=503)
        return booked(request, server)

    async with an_endpoint(answer) as endpoint:
        ours = {"push_checkpoints": True, "compensation_timeout_ms": 60_000}
        run_id = await a_booked_run(server, endpoint_url=endpoint.url, retry={"maxAttempts": 2}, **ours)
        await next_attempt(server, run_id)
        await next_attempt(server, run_id)
        run = await until(server, run_id, "failed")
        why = await server.call(controls.why, id=run_id)

    # One that yields, two attempts, and as many requests for its compensations.
    assert ["compensating" in each["ironflow"] for each in endpoint.requests] == [False, False, False, True, True]
    assert run.error is not None
    assert run.error.code == "PUSH_REFUSED"
    assert "To undo it, the last 2 executions could not begin: The endpoint answered 503." in why.message


async def test_the_handler_of_an_existing_client_that_gets_no_answer_fails_at_once(server: Work):
    """It cannot run compensations alone; its function may be registered with a time for them all the same."""

    def answer(request: dict[str, Any]) -> Any:
        if request["steps"]:
            return web.Response(status=400)
        return booked(request, server)

    async with an_endpoint(answer) as endpoint:
        run_id = await a_booked_run(server, endpoint_url=endpoint.url, compensation_timeout_ms=60_000)
        await until(server, run_id, "failed")
    assert len(endpoint.requests) == 2


async def next_attempt(server: Work, run_id: str) -> None:
    """Lets the delay before the next attempt pass."""
    async with asyncio.timeout(20):
        while (await server.call(controls.why, id=run_id)).reason != "retry":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    server.move(2_000)
    await server.loops()


async def test_an_endpoint_has_a_bounded_number_of_requests(database_url: str):
    release = asyncio.Event()
    running = 0

    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal running
        running += 1
        assert running <= 2
        await release.wait()
        running -= 1
        return completed()

    async with an_endpoint(answer) as endpoint, open_server(Work, database_url, push_concurrency=2) as server:
        await server.a_function(endpoint_url=endpoint.url)
        run_ids = [(await server.emit()).run_ids[0] for _ in range(6)]
        await eventually(lambda: running == 2)

        reasons = [(await server.call(controls.why, id=run_id)).reason for run_id in run_ids]
        assert reasons == ["running", "running", *["endpoint_busy"] * 4]
        release.set()
        for run_id in run_ids:
            await until(server, run_id, "completed")
    assert len(endpoint.requests) == 6


async def test_two_nodes_share_the_bound_of_an_endpoint(postgres_url: str):
    """The second node cannot see what the first one has just claimed; it must wait for its commit."""
    release, running, most = asyncio.Event(), 0, 0

    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return completed()

    async with (
        an_endpoint(answer) as endpoint,
        open_server(Work, postgres_url, push_concurrency=1) as one,
        open_server(Work, postgres_url, push_concurrency=1) as other,
    ):
        await one.a_function(endpoint_url=endpoint.url)
        run_ids = [(await one.emit()).run_ids[0] for _ in range(4)]
        await eventually(lambda: running == 1)
        # It learns of the function.
        await other.loop("endpoints")

        async with late_commits(postgres_url, "jobs") as connection:
            release.set()
            await waiters(connection, 1)
            other.db.notify("jobs", local=True)
            await waiters(connection, 2)
            release.clear()
        await eventually(lambda: running > 0)
        release.set()
        for run_id in run_ids:
            await until(one, run_id, "completed")
    assert most == 1
    assert len(endpoint.requests) == 4


async def test_cancelling_a_run_gives_its_request_up(server: Work):
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return completed()

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url)
        (run_id,) = (await server.emit()).run_ids
        await began.wait()

        await server.call(runs.cancel, id=run_id, reason="enough")

        assert (await server.run(run_id)).status.value == "cancelled"
        push = server.part(Push)
        await eventually(lambda: not push.in_flight())


async def test_a_server_that_starts_again_repeats_the_execution_and_no_recorded_step(database_url: str):
    hang = True

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if hang:
            await asyncio.sleep(60)
        return completed(request["attempt"])

    async with an_endpoint(answer) as endpoint:
        async with open_server(Work, database_url, shutdown_ms=0) as server:
            await server.part(Nodes).start()
            await server.a_function(endpoint_url=endpoint.url)
            (run_id,) = (await server.emit()).run_ids
            await eventually(lambda: len(endpoint.requests) == 1)
        hang = False
        async with open_server(Work, database_url) as server:
            await server.part(Nodes).start()
            await server.part(ReadFunctions).start()
            await server.part(Push).start()
            run = await until(server, run_id, "completed")

    assert bytes(run.output or b"") == b"1"
    assert len(endpoint.requests) == 2


async def test_an_actor_s_executions_go_one_after_another(server: Work):
    running: list[str] = []

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        running.append(request["run_id"])
        assert len(running) == 1
        await asyncio.sleep(0)
        running.remove(request["run_id"])
        return completed()

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, actor_key="data.customer")
        run_ids = [(await server.emit(data={"customer": "a"})).run_ids[0] for _ in range(3)]
        for run_id in run_ids:
            await until(server, run_id, "completed")
