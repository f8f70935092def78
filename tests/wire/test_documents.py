"""What the server says of itself: the OpenAPI document, metrics, health, readiness, capabilities."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import validator_for
from prometheus_client.parser import text_string_to_metric_families

from ironflow.base.version import VERSION
from ironflow.features.server_state import service as server_state
from ironflow.storage.port import StorageFailed
from tests.structure.contracts import all_operations
from tests.support.server import open_server
from tests.support.work import Work

OPERATIONS = [operation for operation in all_operations() if operation.rest]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Work]:
    async with open_server(Work, str(tmp_path / "ironflow.db")) as opened:
        yield opened


async def openapi(server: Work) -> dict[str, Any]:
    async with server.http() as client:
        answer = await client.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


async def test_the_document_describes_every_route_with_its_parameters_and_answers(server: Work):
    document = await openapi(server)

    assert document["openapi"].startswith("3.1")
    assert document["info"] == {"title": "Ironflow", "version": VERSION}
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    for operation in OPERATIONS:
        for route in operation.rest:
            path = re.sub(r"\{(\w+)\.\.\.\}", r"{\1}", route.path)
            described.remove((path, route.method.lower()))
            described_operation = document["paths"][path][route.method.lower()]
            parameters = {(each["name"], each["in"]) for each in described_operation["parameters"]}
            assert {(name, "path") for name in re.findall(r"\{(\w+)\}", path)} <= parameters
            assert {(header, "header") for header in operation.headers} <= parameters
            fields = set(operation.request.__struct_fields__) - {operation.head}
            if route.method == "GET":
                # A field that a header carries is no query parameter.
                assert len(parameters) == len(fields)
            elif route.method != "DELETE" and fields:
                assert "requestBody" in described_operation, route
            assert str(204 if operation.response is None else operation.success) in described_operation["responses"]
            assert {str(error.status) for error in operation.errors} <= set(described_operation["responses"])
            assert described_operation["summary"] == operation.doc
            assert ("security" in described_operation) is (operation.scope != "public")
    assert described == set()


async def test_the_document_holds_together(server: Work):
    document = await openapi(server)

    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))
    for node in nodes(document):
        reference = node.get("$ref")
        if isinstance(reference, str):
            place: Any = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part]
            assert isinstance(place, dict)
    for path, methods in document["paths"].items():
        for method in methods.values():
            in_path = [each["name"] for each in method["parameters"] if each["in"] == "path"]
            assert in_path == re.findall(r"\{(\w+)\}", path)
            assert all(each["required"] for each in method["parameters"] if each["in"] == "path")
            for answer in method["responses"].values():
                assert answer["description"]
    assert set(document["components"]["schemas"]["Error"]["required"]) == {"error", "message", "code"}


async def test_answers_have_the_statuses_and_the_keys_of_the_document(server: Work):
    """A walk over what reads by itself, and over streams and documents, whose keys are in camelCase."""
    document = await openapi(server)
    wrong: list[str] = []
    async with server.http() as client:
        for method, path, body in [*MADE, *((("GET"), path, None) for path in _lists(document))]:
            answer = await client.request(method, path, json=body)
            described = _described(document, method, path)["responses"]
            found = described.get(str(answer.status_code)) or described["default"]
            if answer.status_code == 204 or "application/json" not in found["content"]:
                continue
            schema = {**found["content"]["application/json"]["schema"], "components": document["components"]}
            if fault := next(iter(validator_for(schema).iter_errors(answer.json())), None):
                wrong.append(f"{method} {path}: {answer.status_code}, {fault.message}")
    assert wrong == [], "\n".join(wrong)


STREAM = "/api/v1/streams/order-7"
MADE: list[tuple[str, str, Any]] = [
    ("POST", f"{STREAM}/events", {"entity_type": "order", "event_name": "order.placed", "data": {"n": 1}}),
    ("POST", f"{STREAM}/events", {"entity_type": "other", "event_name": "order.placed"}),
    ("POST", f"{STREAM}/events", {}),
    ("GET", STREAM, None),
    ("GET", f"{STREAM}/events", None),
    ("GET", "/api/v1/streams/missing", None),
    ("POST", "/api/v1/config/app", {"theme": "dark"}),
    ("GET", "/api/v1/config/app", None),
    ("GET", "/api/v1/config/missing", None),
    ("GET", "/api/v1/runs/missing", None),
    ("POST", "/api/v1/events", {"name": "order.placed", "data": {}}),
    ("POST", "/api/v1/events", {"name": "*"}),
]


def _lists(document: dict[str, Any]) -> list[str]:
    """Paths without a parameter that a GET reads once."""
    return [
        path
        for path, methods in document["paths"].items()
        if "{" not in path and "get" in methods and "text/event-stream" not in str(methods["get"]["responses"])
    ]


def _described(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The operation of a path: the one with the fewest parameters that fits."""
    for pattern in sorted(document["paths"], key=lambda each: (each.count("{"), -len(each))):
        text = "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in pattern.split("/"))
        if re.fullmatch(text, path) and method.lower() in document["paths"][pattern]:
            return document["paths"][pattern][method.lower()]
    raise LookupError(path)


async def test_metrics_can_be_read_and_count_what_happened(server: Work):
    await server.a_run()
    await server.emit()
    await server.claim()
    server.inside.loops.counts["timers", "fired"] += 2
    async with server.http() as client:
        await client.get("/api/v1/runs/run_x")
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["ironflow_operations_total", ("operation", "events.emit"), ("outcome", "ok")] == 2
    assert samples["ironflow_operations_total", ("operation", "runs.get"), ("outcome", "not_found")] == 1
    assert samples["ironflow_operation_seconds_total", ("operation", "events.emit")] > 0
    assert samples["ironflow_runs", ("status", "running")] == 1
    assert samples["ironflow_runs", ("status", "pending")] == 1
    assert samples["ironflow_jobs_ready", ("environment", "default"), ("function_id", "charge")] == 1
    assert samples["ironflow_polls_waiting",] == 0
    assert samples["ironflow_log_position_total",] == 2
    assert samples["ironflow_loop_done_total", ("loop", "timers"), ("what", "fired")] == 2


async def test_health_is_ok_on_rest_and_healthy_on_rpc(server: Work):
    async with server.http() as client:
        health = (await client.get("/health")).json()
        rpc = (await client.post("/ironflow.v1.IronflowService/Health", json={})).json()

    assert (health["status"], health["version"]) == ("ok", VERSION)
    assert health["timestamp"] == "2026-01-01T00:00:00Z"
    assert rpc["status"] == "healthy"
    assert {name: each["status"] for name, each in rpc["components"].items()} == {
        "database": "healthy",
        "loops": "healthy",
        "notifier": "healthy",
    }


async def test_a_server_whose_loops_fail_is_not_ready_and_names_them(server: Work):
    async with server.http() as client:
        assert (await client.get("/ready")).json()["status"] == "ready"

        server.inside.loops.failing["timers"] = "disk I/O error"
        answer = await client.get("/ready")
        rpc = (await client.post("/ironflow.v1.IronflowService/Health", json={})).json()

    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert answer.json()["issues"] == {"loops": "timers: disk I/O error"}
    assert (rpc["status"], rpc["components"]["loops"]["message"]) == ("unhealthy", "timers: disk I/O error")


async def test_a_server_that_cannot_write_is_not_ready_and_does_not_wait(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_state, "LOOK_S", 0.01)

    async def never(change: object) -> None:
        await asyncio.get_running_loop().create_future()

    async def full(change: object) -> None:
        raise StorageFailed("The disk is full.")

    async with server.http() as client:
        for write, issue in ((never, "did not take a write"), (full, "The disk is full.")):
            with monkeypatch.context() as patched:
                patched.setattr(type(server.inside.db), "write", lambda self, change, write=write: write(change))
                answer = await client.get("/ready")
                health = await client.get("/health")
            assert (answer.status_code, answer.json()["status"], health.status_code) == (503, "not_ready", 200)
            assert issue in answer.json()["issues"]["database"]
        assert (await client.get("/ready")).status_code == 200


async def test_a_server_that_is_not_notified_by_others_is_not_ready(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(server.inside.notifier), "issue", "No connection.", raising=False)
    async with server.http() as client:
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["issues"]) == (503, {"notifier": "No connection."})


async def test_capabilities_and_info_are_served_on_both_transports(server: Work):
    await server.a_run(status="running")
    async with server.http() as client:
        rest = (await client.get("/api/v1/capabilities")).json()
        rpc = (await client.post("/ironflow.v1.IronflowService/GetCapabilities", json={})).json()
        info = (await client.get("/api/v1/info")).json()

    assert (rest["version"], rest["auth_required"]) == (VERSION, False)
    installed = {each.feature for each in server.inside.parts.handlers}
    assert installed - set(rest["features"]) == {"oidc"}
    assert {"projections", "streams", "consumer_groups", "webhooks", "entities"} <= set(rest["features"])
    assert {"connectrpc", "rest"} <= set(rest["transports"])
    assert (rpc["transports"], rpc["features"]) == (rest["transports"], rest["features"])
    assert (info["function_count"], info["active_runs"], info["connected_workers"]) == (1, 1, 1)
    assert (info["version"], info["database"]) == (VERSION, "sqlite")
