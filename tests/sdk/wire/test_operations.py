"""What the client sends is what the server reads, for every manner of asking; what it answers is understood."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote

import pytest

from ironflow.base import errors
from ironflow.base.errors import Internal, IronflowError, SerializationError
from ironflow.base.json import Json
from ironflow.base.operation import Operation
from ironflow.base.spelling import reader
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import FunctionStatus
from ironflow.features.jobs import contract as jobs
from ironflow.features.kv import contract as kv
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from ironflow.features.server_state import contract as server_state
from ironflow.sdk.wire.operations import error_in, outgoing, read_answer
from ironflow.transports.http import Request
from ironflow.transports.rest import error_response, read_request
from ironflow.transports.router import Router
from tests.sdk.client.fake_transport import answer

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

ASKED = [
    (kv.get, kv.GetKey(bucket="b", key="user:123")),
    (kv.get, kv.GetKey(bucket="b", key="a/b//c", revision=7)),
    (kv.get, kv.GetKey(bucket="b", key="ü ?&#+%")),
    (kv.get, kv.GetKey(bucket="b", key="100%41")),
    (kv.get, kv.GetKey(bucket="b", key="..")),
    (kv.put, kv.PutKey(bucket="b", key="k", value=b"\x00\xff{", if_match="7")),
    (kv.put, kv.PutKey(bucket="b", key="k", value=b"", if_none_match="*")),
    (kv.delete, kv.DeleteKey(bucket="b", key="k", purge=True)),
    (kv.delete, kv.DeleteKey(bucket="b", key="k", if_match="3")),
    (kv.list_keys, kv.ListKeys(bucket="b", filter="user.*", limit=3, cursor="c/d=")),
    (kv.create_bucket, kv.CreateBucket(name="b", ttl_seconds=60, history=5)),
    (runs.get, runs.GetRun(id="run_1")),
    (runs.steps, runs.GetRunSteps(run_id="run_1")),
    (runs.list_, runs.ListRuns(status=RunStatus.WAITING, since=AT, limit=10, search="a b")),
    (runs.list_, runs.ListRuns(statuses=[RunStatus.FAILED, RunStatus.CANCELLED])),
    (runs.cancel, runs.CancelRun(id="run_1", reason="no")),
    (functions.get, functions.GetFunction(id="fraud/evaluate")),
    (functions.delete, functions.GetFunction(id="fraud/evaluate")),
    (functions.list_, functions.ListFunctions(status=FunctionStatus.PAUSED, limit=10)),
    (functions.update_status, functions.UpdateFunctionStatus(id="f", status=FunctionStatus.PAUSED)),
    (functions.register, functions.RegisterFunction(id="f", metadata={"a": Json(b"[1]")}, secrets=["K"])),
    (events.emit, events.Emit(event="e", data=Json(b'{"n":123456789012345678901}'), metadata=Json(b"{}"))),
    (events.emit, events.Emit(event="e", data=Json(b"[1]"), idempotency_key="k", namespace="n", version=2)),
    (events.invoke, events.Invoke(function_id="fraud/evaluate", data=Json(b"[1]"))),
    (events.invoke_sync, events.InvokeSync(function_id="f", data=Json(b'"x"'), timeout_ms=5)),
    (events.emit_batch, events.EmitBatch(events=[Json(b'{"name":"e"}')])),
    (events.list_, events.ListEvents(names=["a.*", "b"], since=AT.astimezone(timezone(timedelta(hours=2))))),
    (jobs.heartbeat, jobs.Heartbeat(worker="w 1", active_jobs=1, jobs=[jobs.HeldJob(job_id="j")])),
    (server_state.health, server_state.Nothing()),
]


@pytest.mark.parametrize(("operation", "message"), ASKED, ids=lambda each: getattr(each, "name", ""))
def test_the_server_reads_what_the_client_sends(operation: Operation, message):
    out = outgoing(operation, message)
    path, _, query = out.path.partition("?")
    headers = {name.lower(): value for name, value in out.headers.items()}
    request = Request(out.method, unquote(path), query, headers, out.body or b"", receive=None)  # type: ignore[arg-type]

    if not operation.rest:
        assert path == f"/ironflow.v1.{operation.rpc[0]}"
        assert reader(operation.request).read(request.body) == message
        return
    router: Router[Operation] = Router()
    for route in operation.rest:
        router.add(route.method, route.path, operation)
    found = router.find(out.method, request.path)
    assert found is not None
    assert read_request(operation, found[1], request) == message


def test_reads_and_calls_with_a_key_are_safe_to_repeat():
    assert outgoing(runs.get, runs.GetRun(id="r")).safe
    assert outgoing(events.emit, events.Emit(event="e", idempotency_key="k")).safe
    assert not outgoing(events.emit, events.Emit(event="e")).safe
    assert not outgoing(runs.cancel, runs.CancelRun(id="r")).safe


def test_an_operation_can_be_asked_by_rpc_where_it_has_both():
    out = outgoing(functions.register, functions.RegisterFunction(id="f", timeout_ms=5), "rpc")

    assert (out.method, out.path) == ("POST", "/ironflow.v1.IronflowService/RegisterFunction")
    assert b'"timeoutMs":5' in (out.body or b"")


# Answers.


def test_an_answer_is_read_in_either_spelling_with_fields_from_headers():
    held = read_answer(jobs.poll, answer(status=204, Ironflow_Poll_Wait="20"))
    emitted = read_answer(events.emit, answer({"runIds": ["r"], "event_id": "e", "later": 1}))

    assert (held.jobs, held.held_s) == ([], 20)
    assert emitted == events.Emitted(run_ids=["r"], event_id="e")
    assert read_answer(kv.delete, answer(status=204)) is None


def test_readiness_is_an_answer_also_when_it_is_bad_news():
    news = {"status": "not_ready", "issues": {"database": "locked"}, "warnings": {}}

    assert read_answer(server_state.ready, answer(news, 503)).issues == {"database": "locked"}
    with pytest.raises(errors.Unavailable):
        read_answer(server_state.ready, answer({"error": "proxy"}, 503))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":7}', b"{" * 5000, b"\xff"], ids=range(6))
def test_an_answer_that_cannot_be_read_is_an_internal_error(body):
    with pytest.raises(Internal, match="answer to runs"):
        read_answer(runs.get, answer()._replace(body=body))


def test_every_error_of_the_tree_arrives_as_the_class_that_was_raised():
    classes = set(errors.error_classes().values())
    codes = Counter(cls.code for cls in classes)

    for raised in classes:
        assert codes[raised.code] == 1
        error = raised("what happened")
        error.retryable, error.retry_after_s, error.details = True, 3.0, {"a": 1}
        response = error_response(error)
        seen = error_in(answer(status=response.status)._replace(body=response.body))
        assert (type(seen), seen.message, seen.retryable) == (raised, "what happened", True)
        assert (seen.retry_after_s, seen.details, seen.code) == (3.0, {"a": 1}, raised.code)


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (404, {"code": "not_found", "reason": "RUN_NOT_FOUND", "message": "no"}, runs.RunNotFound, "RUN_NOT_FOUND"),
        (404, {"code": "not_found", "reason": "NEWER_CODE", "message": "no"}, errors.NotFound, "NEWER_CODE"),
        (412, {"code": "failed_precondition", "error": "no"}, errors.PreconditionFailed, "PRECONDITION_FAILED"),
        (400, {"code": "failed_precondition", "error": "no"}, errors.FailedPrecondition, "FAILED_PRECONDITION"),
        (409, {"code": "aborted", "error": "no"}, errors.Aborted, "ABORTED"),
        (409, {"error": "no"}, errors.AlreadyExists, "ALREADY_EXISTS"),
        (409, {"error": "STALE_EXECUTION", "message": "no"}, jobs.StaleExecution, "STALE_EXECUTION"),
        (400, {"code": "unavailable", "message": "no"}, errors.Unavailable, "UNAVAILABLE"),
        (401, {"error": "no"}, errors.Unauthenticated, "UNAUTHENTICATED"),
        (402, {"error": "no"}, errors.EnterpriseRequired, "ENTERPRISE_REQUIRED"),
        (403, {}, errors.PermissionDenied, "UNAUTHORIZED"),
        (418, {"error": "no"}, errors.InvalidArgument, "INVALID_ARGUMENT"),
        (429, {"error": "no"}, errors.ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (502, {}, errors.Unavailable, "UNAVAILABLE"),
        (507, {"error": "no"}, errors.Internal, "INTERNAL_ERROR"),
    ],
)
def test_an_error_is_known_by_reason_then_connect_code_then_status(status, body, expected, code):
    seen = error_in(answer(body, status))

    assert (type(seen), seen.code) == (expected, code)
    assert "no" in seen.message or str(status) in seen.message or seen.message == "{}"


def test_retry_after_comes_from_the_body_or_the_header():
    assert error_in(answer({"error": "x", "retry_after": 2.5}, 429)).retry_after_s == 2.5
    assert error_in(answer({"error": "x"}, 429, Retry_After="7")).retry_after_s == 7
    assert error_in(answer({"error": "x"}, 429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")).retry_after_s is None


def test_an_answer_that_is_no_json_is_quoted():
    seen = error_in(answer(status=500)._replace(body=b"<h1>\n\nBad gateway</h1>" + b"x" * 10_000))

    assert seen.message.startswith("<h1> Bad gateway</h1>")
    assert len(seen.message) <= 500


def test_a_redirect_is_no_answer():
    with pytest.raises(IronflowError, match="status 301 http://elsewhere"):
        read_answer(runs.get, answer(status=301, Location="http://elsewhere"))


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (events.emit, events.Emit(event="\ud800", data=Json(b"1"))),
        (runs.get, runs.GetRun(id="\ud800")),
        (runs.list_, runs.ListRuns(search="\ud800")),
    ],
)
def test_a_text_that_is_none_in_utf_8_is_refused_by_the_client(operation, request_):
    with pytest.raises(SerializationError, match=operation.name):
        outgoing(operation, request_)
