"""Every operation over every wire: REST and Connect take the same requests and say the same things."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from ironflow.base.operation import Operation, Route
from ironflow.base.spelling import camel
from ironflow.features.runs import contract as runs
from tests.structure.contracts import all_operations, name_of
from tests.support.server import open_server
from tests.support.work import Work, step
from tests.wire.sample import Scene, Sent, by_rest, by_rpc, camel_keys, read_as, sample, spelled

# Streams that only REST has are asked in test_event_stream.py: they do not end.
OPERATIONS = [each for each in all_operations() if each.rpc or each.streaming == "unary"]
FEATURES = {"events", "functions", "jobs", "kv", "pubsub", "runs", "server", "time_travel"}
CONNECT_CODES = {
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
}
ASKED: dict[str, dict[str, httpx.Response]] = {}
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)


def same_chance() -> Callable[[int], bytes]:
    """Chance that is the same in every server, so that answers can be compared byte for byte."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@asynccontextmanager
async def a_scene(folder: Path) -> AsyncIterator[tuple[Work, Scene]]:
    """A server with one of everything, the same each time."""
    folder.mkdir()
    async with open_server(Work, str(folder / "ironflow.db"), chance=same_chance()) as server:
        run = await server.a_run(recording=True)
        job = await server.claim()
        await server.report(job, "progress", step(job, "charge", {"paid": 1}))
        # Another run, whose job a worker held, and a worker that is free.
        held = (await server.emit()).run_ids[0]
        ended = (await server.emit()).run_ids[0]
        await server.call(runs.cancel, id=ended)
        await server.a_worker("w2")
        async with server.http() as client:
            await client.post("/api/v1/kv/buckets", json={"name": "box", "history": 5})
            await client.put("/api/v1/kv/buckets/box/keys/key", content=b"x")
        named = {
            "worker": "w2",
            "job": job.job_id,
            "jobs.status": "progress",
            "function_id": "charge",
            "run_id": run.id,
            "run_ids": [run.id],
            "bucket": "box",
            "key": "key",
            "kv.revision": 1,
            "event": "order.placed",
            "events.events": [{"event": "order.placed", "data": [1]}, {"event": ""}],
            "jobs.reports": [{"job": job.job_id, "status": "progress"}],
            "topic": "orders",
            "step_id": f"{run.id}:charge:0",
            "timestamp": "2026-01-01T00:00:00Z",
        }
        ids = {"runs": run.id, "controls": held, "functions": "charge", "events": run.event_id}
        always = {
            # So that nothing waits long.
            "timeout_ms": 20,
            "jobs.execution_seq": job.execution_seq,
            "jobs.lease_token": job.lease_token,
            "jobs.function_ids": ["charge"],
        }
        copied = {"id": "evt_copied", "name": "order.placed", "timestamp": "2026-01-01T00:00:00Z"}
        yield server, Scene(ids, named, always, {"events.import": {"events": [copied]}, "runs.delete": {"id": ended}})


async def send(client: httpx.AsyncClient, sent: Sent) -> httpx.Response:
    return await client.request(sent.method, sent.path, content=sent.body, headers=sent.headers)


def ways_of(operation: Operation[Any, Any]) -> dict[str, Callable[[dict[str, Any]], Sent]]:
    """The request for given fields, by wire and spelling."""

    def rest(route: Route) -> Callable[[dict[str, Any]], Sent]:
        return lambda values: by_rest(operation, route, values)

    ways = {f"{route.method} {route.path}": rest(route) for route in operation.rest}
    for name in operation.rpc:
        ways[name] = lambda values, name=name: by_rpc(name, camel_keys(values))
        ways[f"{name}, snake_case"] = lambda values, name=name: by_rpc(name, values)
    return ways


async def answers(operation: Operation[Any, Any], folder: Path) -> dict[str, httpx.Response]:
    """The answer of each wire and spelling to the same request, each given by a server of its own; asked once."""
    if operation.name not in ASKED:
        found: dict[str, httpx.Response] = {}
        for number, (way, made) in enumerate(ways_of(operation).items()):
            async with a_scene(folder / str(number)) as (server, scene), server.http() as client:
                found[way] = await send(client, made(sample(operation, scene)))
        ASKED[operation.name] = found
    return ASKED[operation.name]


@each_operation
async def test_every_wire_answers_the_same(operation: Operation[Any, Any], tmp_path: Path):
    found: dict[str, Any] = {}
    for way, answer in (await answers(operation, tmp_path)).items():
        assert answer.status_code < 500, (way, answer.text)
        body: Any = answer.json() if answer.content else None
        if operation.alone is not None and isinstance(body, list):
            body = {operation.alone[0]: body}
        if answer.is_success:
            found[way] = read_as(operation.response, body)
        else:
            found[way] = (body["message"], body["code"], body["reason"])

    first, *others = found.values()
    assert all(other == first for other in others), found


@each_operation
async def test_an_answer_has_the_status_and_the_spelling_that_are_declared(
    operation: Operation[Any, Any], tmp_path: Path
):
    for way, answer in (await answers(operation, tmp_path)).items():
        rest = "/api/" in way or not operation.rpc
        if not answer.is_success:
            assert answer.json()["code"] in CONNECT_CODES, way
            continue
        if rest and answer.status_code == 204:
            assert (operation.response is None or operation.empty_when is not None, answer.content) == (True, b"")
            continue
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code == (operation.success if rest else 200), way
        if operation.response is None:
            assert answer.json() == {}
            continue
        spelling = operation.spelling if rest else operation.rpc_spelling
        for name, keys in spelled(operation.response, answer.json()).items():
            wanted = {"snake": {name}, "camel": {camel(name)}, "both": {name, camel(name)}}[spelling]
            assert keys == wanted, (way, name)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.feature in FEATURES], ids=name_of)
async def test_the_sample_request_is_one_that_succeeds(operation: Operation[Any, Any], tmp_path: Path):
    """Else the walk would only compare refusals."""
    for way, answer in (await answers(operation, tmp_path)).items():
        assert answer.is_success, (way, answer.text)
