"""Rubbish in every field of every operation: always a clear refusal, never an error of the server's own.

IRONFLOW_RUBBISH: 1 to send all of it to PostgreSQL too; else every fifth piece: most is refused before it gets there.
"""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from ironflow.base.fields import fields_of
from ironflow.base.operation import Operation
from ironflow.features.events import contract as events
from tests.structure.contracts import all_operations
from tests.support.asgi import ask
from tests.support.work import Work, step
from tests.wire.sample import Scene, sample

ALL_OF_IT = os.environ.get("IRONFLOW_RUBBISH") == "1"

# What a field may be given in a JSON body, as it stands there.
IN_BODY = [
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1.5",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"1180591620717411303424",
    b"1e400",
    b"1" * 5_000,
    b"NaN",
    b"-Infinity",
    b'""',
    b'" "',
    b'"' + b"x" * 10_000 + b'"',
    b'"\\u0000"',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"\\udc00x"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"%\' OR 1=1; --"',
    b'"2026-13-45T00:00:00Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59-14:00"',
    b"[]",
    b"[null]",
    b"[[1]]",
    b'["\\u0000"]',
    b"{}",
    b'{"a":{"b":"\\u0000"}}',
    b"[" * 300 + b"]" * 300,
    b"[" * 100_000,
]
# What a query parameter or path segment may be given, percent-encoded.
IN_TEXT = [
    "",
    "%20",
    "-1",
    "1.5",
    "nan",
    "inf",
    "99999999999999999999999999",
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "%25",
    "%2F",
    "%C2%B2",
    "..",
    "rubbish",
    "null",
    "%5B%5D",
    "%7B%7D",
    "x" * 5_000,
    "%27%20OR%201%3D1%3B%20--",
    "0001-01-01T00:00:00%2B14:00",
]
# A sound value of these would make the request wait.
PATIENT = {"wait", "timeout_ms"}
IMPATIENT = [b'"x"', b"-1", b"[]", b'"\\u0000"']
# Streams that only REST has do not end.
OPERATIONS = [each for each in all_operations() if each.rpc or each.streaming == "unary"]


async def a_scene(server: Work) -> Scene:
    """One of everything; requests that follow may well change it."""
    run = await server.a_run(recording=True)
    job = await server.claim()
    await server.report(job, "progress", step(job, "charge", 1))
    await server.a_worker("w2")
    async with server.http() as client:
        await client.post("/api/v1/kv/buckets", json={"name": "box"})
        await client.put("/api/v1/kv/buckets/box/keys/key", content=b"x")
    named = {
        "worker": "w2",
        "job": job.job_id,
        "function_id": "charge",
        "run_id": run.id,
        "bucket": "box",
        "key": "key",
    }
    named |= {"event": "order.placed", "jobs.status": "progress", "step_id": f"{run.id}:charge:0", "topic": "t"}
    ids = {"runs": run.id, "controls": run.id, "functions": "charge", "events": run.event_id}
    return Scene(ids, named, {"timeout_ms": 1, "jobs.execution_seq": 1, "jobs.lease_token": job.lease_token})


def bodies(values: dict[str, Any], message: type[msgspec.Struct]) -> Iterator[bytes]:
    """The request with rubbish in one field after another; any field, also those that were left out."""
    for name in fields_of(message):
        others = {other: value for other, value in values.items() if other != name}
        sound = msgspec.json.encode(others)[1:-1]
        for rubbish in IMPATIENT if name in PATIENT else IN_BODY:
            yield b"{" + sound + (b"," if sound else b"") + b'"' + name.encode() + b'":' + rubbish + b"}"


def paths(operation: Operation[Any, Any], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Method and path of each route, with rubbish in one segment or query parameter after another."""
    also = {other: name for name, declared in fields_of(operation.request).items() for other in declared.also}

    def sound(name: str) -> str:
        return quote(str(values.get(name, values.get(also.get(name, ""), "x"))), safe="")

    for route in operation.rest:
        names = re.findall(r"\{(\w+)", route.path)
        for spoiled in names:
            for rubbish in IN_TEXT:
                yield (
                    route.method,
                    re.sub(
                        r"\{(\w+)(?:\.\.\.)?\}",
                        lambda match, spoiled=spoiled, rubbish=rubbish: (
                            rubbish if match[1] == spoiled else sound(match[1])
                        ),
                        route.path,
                    ),
                )
        path = re.sub(r"\{(\w+)(?:\.\.\.)?\}", lambda match: sound(match[1]), route.path)
        for name in fields_of(operation.request):
            if name not in names and name not in PATIENT:
                for rubbish in IN_TEXT:
                    yield route.method, f"{path}?{name}={rubbish}"


async def test_no_request_is_answered_with_an_error_of_the_servers_own(server: Work, database_url: str):
    scene = await a_scene(server)
    acknowledged: list[str] = []
    asked = 0
    # No list of rubbish has a multiple of five, so that in one field or another all of it is sent.
    every = 5 if database_url.startswith("postgres") and not ALL_OF_IT else 1

    async def check(method: str, target: str, body: bytes = b"") -> None:
        nonlocal asked
        asked += 1
        if asked % every:
            return
        answer = await ask(server.inside.app, method, target, body)
        assert answer.status < 500, (method, target, body[:300], answer.body)
        if answer.status >= 400:
            assert answer.json()["message"], (method, target, body[:300])
        elif target == "/api/v1/events" and method == "POST":
            acknowledged.append(answer.json()["event_id"])

    for operation in OPERATIONS:
        values = sample(operation, scene)
        for method, target in paths(operation, values):
            await check(method, target)
        for body in bodies(values, operation.request):
            for name in operation.rpc[:1]:
                await check("POST", f"/ironflow.v1.{name}", body)
            for route in operation.rest[:1]:
                if route.method not in ("GET", "DELETE") and operation.body is None:
                    await check(route.method, re.sub(r"\{\w+(?:\.\.\.)?\}", "x", route.path), body)

    assert asked > 3_000
    assert acknowledged
    for event_id in acknowledged:
        await server.call(events.get, id=event_id)
    await works_as_before(server)


async def works_as_before(server: Work) -> None:
    """A run goes through, and the loops have nothing to complain about."""
    await server.a_function("after", on="after.all")
    await server.a_worker("w9", ["after"])
    (run_id,) = (await server.emit("after.all")).run_ids
    job = await server.claim("w9")
    await server.report(job, "completed", output=1)
    assert (await server.run(run_id)).status.value == "completed"
    await server.loops()


NOT_EVEN_A_BODY = [
    b"",
    b"null",
    b"[]",
    b"7",
    b'"event"',
    b"{",
    b"{}",
    b'{"event":',
    b'{"event":"a"',
    b'{"event":"a"}}',
    b'{"event":"a"} trailing',
    b'{"event":"a","data":NaN}',
    b'{"event":"a","data":Infinity}',
    b'{"event":"a","data":\'x\'}',
    b'{"event":"a","data":{"x":1,}}',
    b'{"event":"a","data":"\xff"}',
    b'{"event":"a","data":"\xed\xa0\x80"}',
    b'{"event":"a","data":"\\ud800"}',
    b'{"event":"a","\xff":1}',
    b'{"event":"a","data":"raw\x00nul"}',
    b'{"event":"a","data":' + b"1" * 5_000 + b"}",
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"\x1f\x8b\x08\x00",
    b"[" * 1_000_000,
    b'{"event":"a","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    b'{"event":"a","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"event":"a","data":"' + b"x" * 2_000_000 + b'"}',
]


async def test_what_is_no_json_object_is_refused_and_records_nothing(server: Work):
    async with server.http() as client:
        for body in NOT_EVEN_A_BODY:
            for path in ("/api/v1/events", "/ironflow.v1.IronflowService/Trigger", "/ironflow.v1.PubSubService/Emit"):
                answer = await client.post(path, content=body)
                assert answer.status_code in (400, 413), (path, body[:60], answer.text)
        assert (await client.get("/api/v1/events")).json()["events"] == []
    await works_as_before(server)


async def test_nul_and_surrogates_in_payloads_are_kept_or_refused_never_lost(server: Work):
    """PostgreSQL keeps no NUL in a text; a payload holds it as an escape, a name is refused."""
    await server.a_function(actor_key="data.name", concurrency={"limit": 1, "key": "data.name"})
    await server.a_worker()
    async with server.http() as client:
        for value in (b'"\\u0000"', b'"a\\u0000b"', b'"\\ud83d\\ude00"', b'"it\'s"', b'"%s :name {fragment}"'):
            answer = await client.post(
                "/api/v1/events", content=b'{"event":"order.placed","data":{"value":' + value + b"}}"
            )
            assert answer.status_code == 200, answer.text
            job = await server.claim()
            assert bytes(job.event.data) == b'{"value":' + value + b"}"
            fence = f'"execution_seq":{job.execution_seq},"lease_token":"{job.lease_token}"'.encode()
            reported = await client.put(
                f"/api/v1/workers/w1/jobs/{job.job_id}",
                content=b'{"status":"completed","output":' + value + b"," + fence + b"}",
            )
            assert reported.status_code == 200, reported.text
            assert (await client.get(f"/api/v1/runs/{job.run_id}")).content.count(b'"output":' + value) == 1

        for field in ("reason", "id"):
            answer = await client.post(
                "/ironflow.v1.IronflowService/CancelRun", content=b'{"id":"run_x","' + field.encode() + b'":"\\u0000"}'
            )
            assert answer.status_code in (400, 404)


async def test_integers_of_any_size_are_exact_from_emit_to_output(server: Work):
    await server.a_function()
    await server.a_worker()
    async with server.http() as client:
        for number in (2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**300):
            text = str(number).encode()
            emitted = await client.post("/api/v1/events", content=b'{"event":"order.placed","data":' + text + b"}")
            polled = (await client.get("/api/v1/workers/w1/jobs")).content
            assert b'"data":' + text + b"," in polled
            job = msgspec.json.decode(polled)["jobs"][0]
            fence = f'"execution_seq":{job["execution_seq"]},"lease_token":"{job["lease_token"]}"'.encode()
            steps = b'"steps":[{"id":"s","output":' + text + b"}]"
            await client.put(
                f"/api/v1/workers/w1/jobs/{job['job_id']}",
                content=b'{"status":"completed","output":' + text + b"," + steps + b"," + fence + b"}",
            )
            run_id = emitted.json()["run_ids"][0]
            shown: httpx.Response = await client.get(f"/api/v1/runs/{run_id}")
            assert b'"output":' + text + b"," in shown.content
            assert b'"input":' + text + b"," in shown.content
            steps = await client.get(f"/api/v1/runs/{run_id}/steps")
            assert b'"output":' + text + b"," in steps.content
