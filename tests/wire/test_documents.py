"""What the server says of itself: the OpenAPI document, metrics, health, readiness, capabilities."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ironflow.base.version import VERSION
from tests.house.contracts import all_operations
from tests.support.house import open_house
from tests.support.work import Work

OPERATIONS = [operation for operation in all_operations() if operation.rest]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Work]:
    async with open_house(Work, str(tmp_path / "ironflow.db")) as opened:
        yield opened


async def openapi(house: Work) -> dict[str, Any]:
    async with house.http() as client:
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


async def test_the_document_describes_every_route_with_its_parameters_and_answers(house: Work):
    document = await openapi(house)

    assert document["openapi"].startswith("3.1")
    assert document["info"] == {"title": "Ironflow", "version": VERSION}
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    for operation in OPERATIONS:
        for route in operation.rest:
            path = re.sub(r"\{(\w+)\.\.\.\}", r"{\1}", route.path)
            described.remove((path, route.method.lower()))
            told = document["paths"][path][route.method.lower()]
            parameters = {(each["name"], each["in"]) for each in told["parameters"]}
            assert {(name, "path") for name in re.findall(r"\{(\w+)\}", path)} <= parameters
            assert {(header, "header") for header in operation.headers} <= parameters
            fields = set(operation.request.__struct_fields__)
            if route.method == "GET":
                # A field that a header carries is no query parameter.
                assert len(parameters) == len(fields)
            elif route.method != "DELETE" and fields:
                assert "requestBody" in told, route
            assert str(204 if operation.response is None else operation.success) in told["responses"]
            assert {str(error.status) for error in operation.errors} <= set(told["responses"])
            assert told["summary"] == operation.doc
            assert ("security" in told) is (operation.scope != "public")
    assert described == set()


async def test_the_document_holds_together(house: Work):
    document = await openapi(house)

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
        for told in methods.values():
            in_path = [each["name"] for each in told["parameters"] if each["in"] == "path"]
            assert in_path == re.findall(r"\{(\w+)\}", path)
            assert all(each["required"] for each in told["parameters"] if each["in"] == "path")
            for answer in told["responses"].values():
                assert answer["description"]
    assert set(document["components"]["schemas"]["Error"]["required"]) == {"error", "message", "code"}


async def test_metrics_can_be_read_and_count_what_happened(house: Work):
    await house.a_run()
    await house.emit()
    await house.claim()
    async with house.http() as client:
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


async def test_health_says_ok_on_rest_and_healthy_on_rpc(house: Work):
    async with house.http() as client:
        health = (await client.get("/health")).json()
        told = (await client.post("/ironflow.v1.IronflowService/Health", json={})).json()

    assert (health["status"], health["version"]) == ("ok", VERSION)
    assert health["timestamp"] == "2026-01-01T00:00:00Z"
    assert told["status"] == "healthy"
    assert {name: each["status"] for name, each in told["components"].items()} == {
        "database": "healthy",
        "loops": "healthy",
    }


async def test_a_server_whose_loops_fail_is_not_ready_and_says_which(house: Work):
    async with house.http() as client:
        assert (await client.get("/ready")).json()["status"] == "ready"

        house.inside.loops.failing["timers"] = "disk I/O error"
        answer = await client.get("/ready")
        told = (await client.post("/ironflow.v1.IronflowService/Health", json={})).json()

    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert answer.json()["issues"] == {"loops": "timers: disk I/O error"}
    assert (told["status"], told["components"]["loops"]["message"]) == ("unhealthy", "timers: disk I/O error")


async def test_capabilities_and_info_are_told_on_both_wires(house: Work):
    await house.a_run(status="running")
    async with house.http() as client:
        rest = (await client.get("/api/v1/capabilities")).json()
        rpc = (await client.post("/ironflow.v1.IronflowService/GetCapabilities", json={})).json()
        info = (await client.get("/api/v1/info")).json()

    assert (rest["version"], rest["auth_required"]) == (VERSION, False)
    assert {"connectrpc", "rest"} <= set(rest["transports"])
    assert (rpc["transports"], rpc["features"]) == (rest["transports"], rest["features"])
    assert (info["function_count"], info["active_runs"], info["connected_workers"]) == (1, 1, 1)
    assert (info["version"], info["database"]) == (VERSION, "sqlite")
