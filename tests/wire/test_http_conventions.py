"""The HTTP conventions: error bodies, methods, CORS, environments, key spellings, deadlines. In process, on SQLite."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ironflow.features.events import contract as events
from ironflow.transports import http as transport
from tests.support.server import open_server
from tests.support.work import Work

RPC = "/ironflow.v1.IronflowService"
EVENTS = "/api/v1/events"
# GETs that fail in each family that REST can be made to fail in without a worker.
REFUSALS: list[tuple[str, str, bytes | None, int, str, str]] = [
    ("GET", "/api/v1/runs/run_x", None, 404, "not_found", "RUN_NOT_FOUND"),
    ("GET", "/api/v1/nothing", None, 404, "not_found", "ROUTE_NOT_FOUND"),
    ("GET", "/", None, 404, "not_found", "ROUTE_NOT_FOUND"),
    ("GET", "/metrics/more", None, 404, "not_found", "ROUTE_NOT_FOUND"),
    ("GET", "/metricsx", None, 404, "not_found", "ROUTE_NOT_FOUND"),
    ("PUT", "/api/v1/runs/run_x", None, 405, "unimplemented", "METHOD_NOT_ALLOWED"),
    ("BREW", "/api/v1/runs", None, 405, "unimplemented", "METHOD_NOT_ALLOWED"),
    ("POST", "/metrics", b"", 405, "unimplemented", "METHOD_NOT_ALLOWED"),
    ("DELETE", "/api/v1/openapi.json", b"", 405, "unimplemented", "METHOD_NOT_ALLOWED"),
    ("HEAD", "/api/v1/workers/w1/jobs", None, 405, "unimplemented", "METHOD_NOT_ALLOWED"),
    ("POST", EVENTS, b"", 400, "invalid_argument", "VALIDATION_ERROR"),
    ("POST", EVENTS, b"{", 400, "invalid_argument", "INVALID_JSON"),
    ("POST", EVENTS, b'{"event":"has spaces"}', 400, "invalid_argument", "INVALID_EVENT"),
    ("POST", EVENTS, b'{"event":7}', 400, "invalid_argument", "VALIDATION_ERROR"),
    ("GET", "/api/v1/runs?limit=-1", None, 400, "invalid_argument", "VALIDATION_ERROR"),
    ("GET", "/api/v1/runs?limit=many", None, 400, "invalid_argument", "VALIDATION_ERROR"),
    ("GET", "/api/v1/runs?cursor=rubbish", None, 400, "invalid_argument", "INVALID_ARGUMENT"),
    ("PUT", "/api/v1/workers/w/jobs/j", b'{"status":"progress"}', 409, "aborted", "STALE_EXECUTION"),
    ("POST", "/api/v1/runs/run_x/cancel", b"", 404, "not_found", "RUN_NOT_FOUND"),
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Work]:
    async with open_server(Work, str(tmp_path / "ironflow.db"), body_bytes_max=1_000_000) as opened:
        yield opened


@pytest.fixture
async def client(server: Work) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


async def test_a_refusal_has_the_body_that_every_client_reads(client: httpx.AsyncClient):
    for method, path, body, status, code, reason in REFUSALS:
        answer = await client.request(method, path, content=body)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/json"
        if method == "HEAD":
            continue
        error = answer.json()
        assert (error["code"], error["reason"]) == (code, reason), (method, path)
        assert error["error"] == ("STALE_EXECUTION" if reason == "STALE_EXECUTION" else error["message"])
        # Capitals alone would be taken for a code by the Python worker.
        assert error["message"] != error["message"].upper()


async def test_a_wrong_method_is_answered_with_the_allowed_ones(client: httpx.AsyncClient):
    for method, path, allowed in (
        ("DELETE", "/api/v1/runs", "GET"),
        ("PATCH", EVENTS, "GET, POST"),
        ("GET", "/api/v1/workers/w/register", "POST, PUT"),
        ("PUT", "/metrics", "GET, HEAD"),
        ("GET", f"{RPC}/RetryRun", "POST"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path


async def test_an_rpc_refusal_has_a_connect_code_and_the_status_that_belongs_to_it(client: httpx.AsyncClient):
    for path, body, status, code in (
        (f"{RPC}/GetRun", {"id": "run_x"}, 404, "not_found"),
        (f"{RPC}/GetRun", {}, 400, "invalid_argument"),
        (f"{RPC}/Unknown", {}, 501, "unimplemented"),
        ("/ironflow.v1.Unknown/GetRun", {}, 501, "unimplemented"),
        (f"{RPC}/InvokeFunction", {"functionId": "f"}, 404, "not_found"),
        (f"{RPC}/Trigger", {"event": "a", "data": "x" * 1_500_000}, 400, "invalid_argument"),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code in (status, 413), answer.text
        error = answer.json()
        assert (error["code"], bool(error["message"])) == (code, True)


async def test_a_codec_that_rpc_does_not_have_is_refused_with_415(client: httpx.AsyncClient):
    for kind in ("application/x-protobuf", "application/nonsense", "application/connect+xml"):
        answer = await client.post(f"{RPC}/GetRun", content=b"{}", headers={"content-type": kind})
        assert (answer.status_code, answer.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE"), kind
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", ""):
        answer = await client.post(f"{RPC}/ListRuns", content=b"", headers={"content-type": kind})
        assert answer.status_code == 200, kind
    answer = await client.post(f"{RPC}/GetCapabilities", headers={"content-type": "application/proto"})
    assert (answer.status_code, "JSON only" in answer.json()["message"]) == (415, True)


async def test_a_packed_body_is_read_within_bounds(client: httpx.AsyncClient):
    async def status(content: bytes, encoding: str = "gzip") -> tuple[int, str]:
        answer = await client.post(f"{RPC}/ListRuns", content=content, headers={"content-encoding": encoding})
        return answer.status_code, answer.json().get("code", "")

    assert await status(gzip.compress(b'{"limit":1}')) == (200, "")
    assert await status(gzip.compress(b'{"limit"') + gzip.compress(b":1}")) == (200, "")
    assert await status(b"") == (200, "")
    assert await status(b'{"limit":1}', "identity") == (200, "")
    assert await status(b'{"limit":1}') == (400, "invalid_argument")
    assert await status(gzip.compress(b'{"limit":1}')[:-3]) == (400, "invalid_argument")
    assert await status(gzip.compress(b'{"limit":1}') + b"more") == (400, "invalid_argument")
    assert await status(gzip.compress(b"{}"), "br") == (501, "unimplemented")
    # A bomb of a kilobyte, and one that is a bomb of a bomb.
    assert await status(gzip.compress(b" " * 1_000_001)) == (429, "resource_exhausted")
    assert await status(gzip.compress(b" " * 100_000_000)) == (429, "resource_exhausted")
    assert (await status(gzip.compress(gzip.compress(b" " * 100_000_000))))[0] == 400


async def test_an_answer_is_packed_where_it_is_asked_for_and_worth_it(server: Work, client: httpx.AsyncClient):
    await server.a_function(on=None)
    body = {"functionId": "charge", "data": {"text": "x" * 20_000}}
    run_id = (await client.post(f"{RPC}/InvokeFunction", json=body)).json()["runId"]
    for accepted, packed in (("gzip", True), ("identity", False), ("", False), ("gzip;q=0", False), ("br, gzip", True)):
        answer = await client.post(f"{RPC}/GetRun", json={"id": run_id}, headers={"accept-encoding": accepted})
        assert (answer.headers.get("content-encoding") == "gzip") is packed, accepted
        assert answer.json()["input"] == body["data"]
        assert int(answer.headers["content-length"]) < 1_000 or not packed
    small = await client.post(f"{RPC}/ListFunctions", json={"limit": 0}, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in small.headers


async def test_a_deadline_ends_an_rpc_and_a_bad_one_is_refused(server: Work, client: httpx.AsyncClient):
    await server.a_function()
    body = {"event": "order.placed"}
    late = await client.post(f"{RPC}/TriggerSync", json=body, headers={"connect-timeout-ms": "20"})
    assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")

    for rubbish in ("soon", "-1", "1.5", "99999999999", ""):
        answer = await client.post(f"{RPC}/ListRuns", json={}, headers={"connect-timeout-ms": rubbish})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument"), rubbish
    # The event is recorded all the same: its run goes on.
    assert len(await server.runs()) == 1


async def test_a_page_of_this_machine_may_call(client: httpx.AsyncClient):
    asked = {
        "origin": "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "connect-protocol-version,x-ironflow-environment,authorization,content-type",
    }
    for path in (f"{RPC}/Trigger", EVENTS, "/api/v1/kv/buckets/b/keys/k"):
        preflight = await client.options(path, headers=asked)
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        allowed = {name.strip().lower() for name in preflight.headers["access-control-allow-headers"].split(",")}
        assert set(asked["access-control-request-headers"].split(",")) | {"if-match", "if-none-match"} <= allowed

    for answer in (
        await client.get("/health", headers={"origin": "http://localhost:3000"}),
        await client.get("/api/v1/runs/run_x", headers={"origin": "http://localhost:3000"}),
    ):
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert answer.headers["access-control-expose-headers"] == "*"
    assert "access-control-allow-origin" not in (await client.get("/health")).headers


async def test_head_answers_as_get_without_the_body(client: httpx.AsyncClient):
    for path in ("/health", "/api/v1/functions", "/metrics", "/api/v1/openapi.json", "/api/v1/runs/run_x"):
        got, headed = await client.get(path), await client.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["content-type"] == got.headers["content-type"]
        if path != "/metrics":
            assert headed.headers["content-length"] == got.headers["content-length"]


async def test_the_environment_is_chosen_by_either_header(server: Work, client: httpx.AsyncClient):
    async def environment(headers: Mapping[str, str]) -> str:
        emitted = (await client.post(EVENTS, json={"event": "a"}, headers=headers)).json()
        for name in ("default", "staging", "env_1.x-y"):
            found = await client.get(f"{EVENTS}/{emitted['event_id']}", headers={"x-ironflow-environment": name})
            if found.status_code == 200:
                return name
        raise AssertionError("the event is nowhere")

    assert await environment({}) == "default"
    assert await environment({"X-Ironflow-Environment": ""}) == "default"
    assert await environment({"X-Ironflow-Environment": "default"}) == "default"
    assert await environment({"X-Ironflow-Environment-ID": "env_default"}) == "default"
    assert await environment({"X-Ironflow-Environment": "staging"}) == "staging"
    assert await environment({"X-Ironflow-Environment-ID": "env_1.x-y"}) == "env_1.x-y"
    assert await environment({"X-Ironflow-Environment": "staging", "X-Ironflow-Environment-ID": "other"}) == "staging"

    for name in ("has spaces", "a/b", "x" * 129, "*", "é".encode().decode("latin-1")):
        for path in (EVENTS, f"{RPC}/Trigger"):
            answer = await client.post(
                path, json={"event": "a"}, headers={b"x-ironflow-environment": name.encode("latin-1")}
            )
            assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_ENVIRONMENT"), name


async def test_both_spellings_may_be_mixed_and_what_is_unknown_or_null_is_passed_over(
    server: Work, client: httpx.AsyncClient
):
    await server.a_function()
    for body in (
        {"name": "order.placed", "idempotencyKey": "k", "unknown": {"deep": [1]}, "metadata": None, "version": None},
        {"event": "order.placed", "idempotency_key": "k", "data": None, "runIds": ["x"]},
        {"event": "order.placed", "idempotencyKey": "k", "version": "1", "namespace": None},
    ):
        for path in (EVENTS, f"{RPC}/Emit", f"{RPC}/Trigger"):
            assert (await client.post(path, json=body)).status_code == 200, (path, body)

    (run,) = await server.runs()
    emitted = (await client.post(EVENTS, json={"event": "order.placed", "idempotencyKey": "k"})).json()
    assert emitted == {
        "run_ids": [run.id],
        "runIds": [run.id],
        "event_id": run.event_id,
        "eventId": run.event_id,
        "id": run.event_id,
        "position": 1,
        "duplicate": True,
    }
    emitted = (await client.post(f"{RPC}/Emit", json={"event": "order.placed", "idempotencyKey": "k"})).json()
    assert emitted == {"runIds": [run.id], "eventId": run.event_id}


async def test_a_payload_that_is_no_object_travels_under_both_names_on_rpc(server: Work, client: httpx.AsyncClient):
    await server.a_function()
    for data, twin in (([1, 2], True), ("text", True), (None, True), ({"x": 1}, False)):
        key = "dataValue" if twin else "data"
        started = (await client.post(f"{RPC}/Trigger", json={"event": "order.placed", key: data})).json()["runIds"][0]
        found = (await client.post(f"{RPC}/GetRun", json={"id": started})).json()
        assert found["input"] == data
        assert ("inputValue" in found) is twin
        assert (await client.get(f"/api/v1/runs/{started}")).json()["input"] == data


async def test_an_invocation_takes_its_payload_bare_or_wrapped(server: Work, client: httpx.AsyncClient):
    await server.a_function("fraud/evaluate", on=None)
    for body, seen in (
        (b"", b"null"),
        (b'{"data":{"x":1}}', b'{"x":1}'),
        (b'{"data":[1],"idempotencyKey":"k"}', b"[1]"),
        (b'{"x":1}', b'{"x":1}'),
        (b'{"x":1,"data":2}', b'{"x":1,"data":2}'),
        (b"[1,2]", b"[1,2]"),
        (b'"text"', b'"text"'),
        (b"{}", b"{}"),
        (b"12345678901234567890", b"12345678901234567890"),
    ):
        answer = await client.post("/api/v1/functions/fraud/evaluate/invoke", content=body)
        assert answer.status_code == 200, answer.text
        run = await server.run(answer.json()["runId"])
        assert run.input is not None
        assert (bytes(run.input), run.function_id) == (seen, "fraud/evaluate")
    for body in (b"{", b"\xff", b"nonsense", b"[" * 300 + b"]" * 300):
        answer = await client.post("/api/v1/functions/fraud/evaluate/invoke", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument"), body[:20]


async def test_ids_with_slashes_and_percent_signs_are_decoded_once(server: Work, client: httpx.AsyncClient):
    for function_id, path in (
        ("fraud/evaluate", "fraud/evaluate"),
        ("fraud/evaluate", "fraud%2Fevaluate"),
        ("100%25", "100%2525"),
        ("Prüfung", "Pr%C3%BCfung"),
    ):
        await server.a_function(function_id)
        answer = await client.get(f"/api/v1/functions/{path}")
        assert (answer.status_code, answer.json().get("id")) == (200, function_id), path


async def test_an_empty_poll_is_answered_without_a_body(server: Work, client: httpx.AsyncClient):
    await server.a_worker()

    held = await client.get("/api/v1/workers/w1/jobs?available=1&wait=0.02")
    assert (held.status_code, held.content, held.headers["ironflow-poll-wait"]) == (204, b"", "1")
    quick = await client.get("/api/v1/workers/w1/jobs?available=1")
    assert (quick.status_code, quick.content) == (204, b"")
    assert "ironflow-poll-wait" not in quick.headers


async def test_an_assignment_leaves_out_what_is_not_there(server: Work, client: httpx.AsyncClient):
    await server.a_run()

    (job,) = (await client.get("/api/v1/workers/w1/jobs")).json()["jobs"]

    assert set(job) == {
        "job_id", "run_id", "function_id", "attempt", "event", "completed_steps", "execution_seq", "lease_token",
        "step_sequence_base", "max_attempts", "on_exhausted", "lease_expires_at",
    }  # fmt: skip
    assert set(job["event"]) == {"id", "name", "data", "timestamp", "version", "source"}
    assert job["completed_steps"] == []


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient):
    answer = await client.post(EVENTS, content=b" " * 1_000_001)
    assert (answer.status_code, answer.json()["reason"]) == (413, "PAYLOAD_TOO_LARGE")


Message = Mapping[str, Any]


def a_post(receive: Callable[[], Any]) -> tuple[dict[str, Any], Callable[[], Any], list[Message], Any]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": EVENTS, "query_string": b"", "headers": [], "client": None}
    return scope, receive, sent, send


async def test_a_body_that_stops_coming_is_given_up(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "BODY_IDLE_S", 0.01)
    parts: list[Message] = [{"type": "http.request", "body": b'{"event":', "more_body": True}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        return await asyncio.get_running_loop().create_future()

    scope, receive, sent, send = a_post(receive)
    await server.inside.app(scope, receive, send)

    assert sent[0]["status"] == 408
    assert msgspec.json.decode(sent[1]["body"])["code"] == "deadline_exceeded"


async def test_a_body_that_comes_byte_by_byte_is_given_up(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "BODY_IDLE_S", 0.01)
    monkeypatch.setattr(transport, "BODY_BYTES_PER_S_LEAST", 1_000_000_000)

    async def receive() -> Message:
        # Something always comes, and nothing ever waits for BODY_IDLE_S.
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b" ", "more_body": True}

    scope, receive, sent, send = a_post(receive)
    await server.inside.app(scope, receive, send)

    assert sent[0]["status"] == 408


async def test_a_client_that_leaves_in_the_middle_of_its_body_has_emitted_nothing(server: Work):
    parts: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"event":"a"}', "more_body": True},
    ]

    async def receive() -> Message:
        return parts.pop()

    scope, receive, sent, send = a_post(receive)
    await server.inside.app(scope, receive, send)

    assert sent[0]["status"] == 499
    assert (await server.call(events.list_)).events == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (EVENTS, b'{"event": "a", "data": {"x": "\\ud800"}}'),
        (EVENTS, b'{"event": "a", "data": {"x": "\\\\\\ud83dx"}}'),
        (EVENTS, b'{"event": "\\udc00"}'),
        (f"{RPC}/Trigger", b'{"event": "a", "data": {"x": "\\ud800"}}'),
    ],
)
async def test_half_a_surrogate_pair_is_named(client: httpx.AsyncClient, path: str, body: bytes):
    answer = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "is half of a surrogate pair" in answer.json()["message"]


async def test_whole_surrogate_pairs_and_escaped_backslashes_are_read(client: httpx.AsyncClient):
    for body in (b'{"event": "a", "data": "\\ud83d\\ude00"}', b'{"event": "a", "data": "\\\\ud800"}'):
        assert (await client.post(EVENTS, content=body)).status_code == 200


async def test_a_packed_body_is_read_on_rest_too_and_another_encoding_is_415(client: httpx.AsyncClient):
    body = b'{"event": "a", "data": {"x": "' + b"y" * 100_000 + b'"}}'
    for packed in (body, b'{"event": "a"}'):
        answer = await client.post(EVENTS, content=gzip.compress(packed), headers={"content-encoding": "gzip"})
        assert answer.status_code == 200, answer.text
    answer = await client.post(EVENTS, content=body, headers={"content-encoding": "br"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    answer = await client.post(EVENTS, content=body, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BAD_COMPRESSION")


async def test_a_config_name_with_a_slash_is_refused_by_name(client: httpx.AsyncClient):
    for name in ("a/b", "a%2Fb"):
        answer = await client.post(f"/api/v1/config/{name}", json={"x": 1})
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_CONFIG")
    assert (await client.get("/api/v1/config/a/b")).json()["reason"] == "CONFIG_NOT_FOUND"


async def test_an_injected_output_that_is_no_json_is_refused(server: Work, client: httpx.AsyncClient):
    run = await server.a_run(status="running")
    for output in ("ü", "not json", "\x00", "e3=", "🙂"):
        answer = await client.post(f"/api/v1/runs/{run}/inject", json={"step_id": "x", "new_output": output})
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_OUTPUT"), answer.text
