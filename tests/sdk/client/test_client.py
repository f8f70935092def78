"""The clients, asynchronous and plain: the same methods, the same requests, the same errors."""

import asyncio
import inspect
import math
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import ironflow
from ironflow.base import errors
from ironflow.base.errors import (
    DeadlineExceeded,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    SerializationError,
    Unavailable,
)
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.sdk.client._sync.client import Client as SyncClient
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.views.run_results import NoRunStarted
from ironflow.sdk.wire import current_run
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.retries import Retries, decide_repeat
from ironflow.sdk.wire.transport import CannotConnect
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer

QUICK = Retries(attempts=3, initial_s=0.001, max_s=0.002)
URL = "http://server:1"
AT = "2026-01-01T00:00:00Z"
RUN = {
    "id": "run_1",
    "functionId": "f",
    "eventId": "evt_1",
    "status": "completed",
    "attempt": 1,
    "maxAttempts": 3,
    "createdAt": AT,
    "updatedAt": AT,
    "output": {"n": 12345678901234567890123},
}


class Both:
    """One of the two clients behind one adapter: results are awaited, iterators become lists."""

    def __init__(self, kind, **settings):
        self.kind = kind
        self.network = FakeAsyncTransport() if kind is Client else FakeSyncTransport()
        self.client = kind(URL, **{"retries": QUICK, "transport": self.network, **settings})

    async def __call__(self, path, *args, **kwargs):
        target: Any = self.client
        for name in path.split("."):
            target = getattr(target, name)
        result = target(*args, **kwargs)
        # Before the next question: a list that is awaited says what to write.
        if isinstance(result, AsyncIterator):
            return [each async for each in result]
        if isinstance(result, Iterator):
            return list(result)
        return await result if inspect.isawaitable(result) else result

    @property
    def sent(self):
        return self.network.sent


@pytest.fixture(params=[Client, SyncClient], ids=["async", "sync"])
def client(request):
    return Both(request.param, api_key="ifkey_1", environment="staging")


async def test_emit_sends_the_event_with_key_and_environment(client):
    client.network.gives(answer({"event_id": "evt_1", "run_ids": ["run_1"]}))

    emitted = await client(
        "emit", "order.placed", {"at": datetime(2026, 1, 1, tzinfo=UTC)}, version=2, metadata={"a": 1}
    )

    (sent,) = client.sent
    assert (sent.method, sent.path) == ("POST", "/api/v1/events")
    assert sent.body["event"] == "order.placed"
    assert (sent.body["data"], sent.body["version"], sent.body["metadata"]) == ({"at": AT}, 2, {"a": 1})
    assert sent.headers["Authorization"] == "Bearer ifkey_1"
    assert sent.headers["X-Ironflow-Environment"] == "staging"
    assert sent.headers["X-Ironflow-SDK"].startswith("python/")
    assert "X-Ironflow-Run-ID" not in sent.headers
    assert (emitted.event_id, emitted.run_ids, emitted.error) == ("evt_1", ["run_1"], None)


async def test_inside_a_run_its_id_is_sent(client):
    client.network.gives(answer({"event_id": "evt_1", "run_ids": []}))
    token = current_run.run_id.set("run_7")
    try:
        await client("emit", "e")
    finally:
        current_run.run_id.reset(token)

    assert client.sent[0].headers["X-Ironflow-Run-ID"] == "run_7"


@pytest.mark.parametrize("data", [math.nan, {"a": [math.inf]}, object()], ids=range(3))
async def test_what_is_no_json_is_not_sent(client, data):
    with pytest.raises(SerializationError, match="event 'e'"):
        await client("emit", "e", data)

    assert client.sent == []


def results(*found):
    return answer({"eventId": "evt_1", "results": list(found)})


async def test_emit_sync_answers_the_output_of_the_first_run_and_all_runs(client):
    first = {"runId": "r1", "functionId": "f", "status": "completed", "output": 2**80, "durationMs": 1_500}
    client.network.gives(results(first, {"runId": "r2", "functionId": "g", "status": "completed"}))

    found = await client("emit_sync", "e", {}, timeout="2m")

    assert (found.output, found.run_id, found.function_id) == (2**80, "r1", "f")
    assert (found.status.value, found.duration.total_seconds(), found.event_id) == ("completed", 1.5, "evt_1")
    assert [each.run_id for each in found.runs] == ["r1", "r2"]
    (sent,) = client.sent
    assert (sent.path, sent.body["timeout_ms"]) == ("/api/v1/events/sync", 120_000)
    assert sent.timeout == pytest.approx(125, abs=1)


COMPLETED = {"runId": "c", "functionId": "f", "status": "completed", "output": 1}
FAILED = {"runId": "r", "functionId": "f", "status": "failed", "error": {"message": "boom"}}
CANCELLED = {"runId": "r", "functionId": "f", "status": "cancelled"}
GOES_ON = {"runId": "r", "functionId": "f", "status": "running", "waitTimedOut": True}


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        ([FAILED], RunFailedError, "boom"),
        ([CANCELLED], RunCancelledError, "was cancelled"),
        ([GOES_ON], DeadlineExceeded, "still running"),
        ([], NoRunStarted, "no active function"),
        ([COMPLETED, GOES_ON, CANCELLED, FAILED], RunFailedError, "run r of f failed: boom"),
        ([COMPLETED, GOES_ON, CANCELLED], RunCancelledError, "was cancelled"),
        ([COMPLETED, GOES_ON], DeadlineExceeded, "still running"),
    ],
    ids=["failed", "cancelled", "still running", "none", "one failed", "one cancelled", "one goes on"],
)
async def test_emit_sync_raises_how_a_run_did_not_complete(client, found, error, message):
    client.network.gives(results(*found))

    with pytest.raises(error, match=message) as raised:
        await client("emit_sync", "e")

    if error is RunCancelledError:
        assert isinstance(raised.value, RunEndedError)
        assert not isinstance(raised.value, RunFailedError)
    if error is RunFailedError:
        assert (raised.value.run_id, raised.value.error.message) == ("r", "boom")


async def test_invoke_and_invoke_sync_start_one_function(client):
    client.network.gives(
        answer({"run_id": "run_1", "event_id": "evt_1"}),
        answer({"result": {"runId": "run_1", "functionId": "a/b", "status": "completed", "outputValue": [1]}}),
    )

    assert (await client("invoke", "a/b", [1])).run_id == "run_1"
    assert await client("invoke_sync", "a/b", {"x": 1}) == [1]
    first, second = client.sent
    assert (first.path, first.body) == (
        "/api/v1/functions/a%2Fb/invoke",
        {"data": [1], "idempotency_key": "", "key": "", "if_running": "", "entity_key": ""},
    )
    assert second.path == "/ironflow.v1.IronflowService/InvokeFunctionSync"


async def test_a_batch_answers_each_event_by_itself(client):
    client.network.gives(
        answer({"results": [{"event_id": "evt_1"}, {"error": {"message": "bad", "code": "INVALID_EVENT"}}]})
    )

    good, bad = await client("emit_batch", [{"name": "a", "data": 1}, {"name": ""}])

    assert (good.event_id, good.error) == ("evt_1", None)
    assert bad.error.code == "INVALID_EVENT"
    with pytest.raises(errors.ValidationError, match="event 0 of the batch has the unknown fields dta"):
        await client("emit_batch", [{"name": "a", "dta": 1}])


async def test_lists_ask_for_the_next_page_until_there_is_none(client):
    client.network.gives(
        answer({"runs": [RUN, RUN | {"id": "run_2"}], "nextCursor": "c/1"}), answer({"runs": [RUN | {"id": "run_3"}]})
    )

    found = await client("runs.list", status="failed", page_size=2)

    assert [run.id for run in found] == ["run_1", "run_2", "run_3"]
    assert [each.path for each in client.sent] == [
        "/api/v1/runs?status=failed&limit=2",
        "/api/v1/runs?status=failed&limit=2&cursor=c%2F1",
    ]


async def test_a_run_has_plain_values(client):
    client.network.gives(answer(RUN))

    run = await client("runs.get", "run_1")

    assert (run.status, run.output) == (RunStatus.COMPLETED, {"n": 12345678901234567890123})
    assert run.created_at == datetime(2026, 1, 1, tzinfo=UTC)


async def test_waiting_looks_until_the_run_has_ended(client):
    client.network.gives(answer(RUN | {"status": "running"}), answer(RUN | {"status": "paused"}), answer(RUN))

    assert (await client("runs.wait", "run_1")).status is RunStatus.COMPLETED
    assert len(client.sent) == 3


async def test_waiting_ends_with_its_timeout(client):
    client.network.gives(answer(RUN | {"status": "running"}))

    with pytest.raises(DeadlineExceeded, match="still running"):
        await client("runs.wait", "run_1", timeout=0.03)


async def test_a_bucket_stores_bytes_text_and_json(client):
    client.network.gives(answer({"revision": 1}))
    bucket = client.client.kv.bucket("b")

    for value in (b"\x00\xff", "é", {"a": 1}):
        await _done(bucket.put("k/é", value))
    await _done(bucket.create("k", ""))
    await _done(bucket.update("k", "", 7))

    assert [each.body for each in client.sent[:3]] == [b"\x00\xff", "é".encode(), b'{"a":1}']
    assert client.sent[0].path == "/api/v1/kv/buckets/b/keys/k%2F%C3%A9"
    assert (client.sent[3].headers["if-none-match"], client.sent[4].headers["if-match"]) == ("*", "7")


async def test_an_entry_is_bytes_text_or_json(client):
    entry = {"key": "k", "value": "eyJhIjoxfQ==", "revision": 3, "created_at": AT, "operation": "put"}
    client.network.gives(answer(entry))

    found = await _done(client.client.kv.bucket("b").get("k"))

    assert (found.value, found.text(), found.json(), found.revision) == (b'{"a":1}', '{"a":1}', {"a": 1}, 3)


async def _done(result):
    return await result if inspect.isawaitable(result) else result


# Errors and retries.


async def test_the_servers_error_is_raised_as_its_class(client):
    client.network.gives(answer({"code": "not_found", "reason": "RUN_NOT_FOUND", "message": "no run r"}, 404))

    with pytest.raises(RunNotFound, match="no run r"):
        await client("runs.get", "r")

    assert len(client.sent) == 1


@pytest.mark.parametrize("trouble", [Unavailable(), CannotConnect(), errors.ConnectionLost()], ids=repr)
async def test_a_read_is_tried_three_times(client, trouble):
    client.network.gives(trouble, trouble, answer(RUN))

    assert (await client("runs.get", "run_1")).id == "run_1"

    client.network.gives(trouble)
    client.network.answers.popleft()
    with pytest.raises(type(trouble)):
        await client("runs.get", "run_1")
    assert len(client.sent) == 6


@pytest.mark.parametrize(
    ("trouble", "key", "tries"),
    [
        (errors.ConnectionLost(), "", 1),
        (Unavailable(), "", 1),
        (errors.ConnectionLost(), "k", 3),
        (Unavailable(), "k", 3),
        (CannotConnect(), "", 3),
        (errors.InvalidArgument(), "k", 1),
    ],
)
async def test_a_write_is_tried_again_only_when_that_is_safe(client, trouble, key, tries):
    client.network.gives(trouble)

    with pytest.raises(type(trouble)):
        await client("emit", "e", idempotency_key=key)

    assert len(client.sent) == tries


async def test_no_try_is_made_after_the_deadline():
    client = Both(Client, retries=Retries(initial_s=60.0), timeout="1s")
    client.network.gives(Unavailable())

    with pytest.raises(Unavailable):
        await client("runs.get", "r")

    assert len(client.sent) == 1


def test_rests_between_tries_double_and_honour_retry_after():
    retries = Retries(attempts=20, max_s=10)

    assert [decide_repeat(Unavailable(), attempt, True, retries) for attempt in (1, 2, 3, 9)] == [0.1, 0.2, 0.4, 10.0]
    assert decide_repeat(Unavailable(retry_after_s=3), 1, True, retries) == 3
    assert decide_repeat(Unavailable(retry_after_s=300), 1, True, retries) == 10
    assert decide_repeat(Unavailable(), 20, True, retries) is None


@pytest.mark.parametrize(
    ("fault", "safe", "pause_s"),
    [
        (CannotConnect(), False, 2.0),
        (errors.ConnectionLost(), True, 2.0),
        (errors.ConnectionLost(), False, None),
        (Unavailable(), True, 2.0),
        (errors.ResourceExhausted(), True, None),
    ],
)
def test_a_server_that_is_away_is_asked_every_two_seconds_for_as_long_as_the_call_has(fault, safe, pause_s):
    assert decide_repeat(fault, 1_000, safe, Retries()) == pause_s


async def test_a_call_waits_for_a_server_that_restarts_and_logs_it_once(client, caplog):
    client.network.gives(*[CannotConnect()] * 9, answer({"event_id": "evt_1", "run_ids": []}))
    patient = Both(client.kind, transport=client.network, retries=Retries(initial_s=0.001, max_s=0.002))

    emitted: Any = await patient("emit", "e")
    assert emitted.event_id == "evt_1"

    assert [record.message for record in caplog.records] == ["server away, call is repeated"]


# Who asks, and where.


def test_what_is_not_given_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("IRONFLOW_SERVER_URL", "https://flow.example")
    monkeypatch.setenv("IRONFLOW_API_KEY", "ifkey_env")
    monkeypatch.setenv("IRONFLOW_ENV", "prod")

    assert Endpoint.resolve() == Endpoint("https://flow.example", "ifkey_env", "prod")
    assert Endpoint.resolve("http://here:1", "k", "dev") == Endpoint("http://here:1", "k", "dev")


def test_a_key_is_never_shown():
    assert "ifkey" not in repr(Client(URL, api_key="ifkey_1"))
    assert "ifkey" not in repr(Endpoint(URL, "ifkey_1"))


@pytest.mark.parametrize("url", ["localhost:9123", "ftp://x", "http://", "http://x?y=1"])
@pytest.mark.parametrize("kind", [Client, SyncClient])
def test_an_address_is_checked(kind, url):
    with pytest.raises(errors.InvalidArgument, match="is not the address of a server"):
        kind(url)


async def test_leaving_the_client_closes_its_connections():
    network, plain = FakeAsyncTransport(), FakeSyncTransport()
    async with Client(URL, transport=network):
        pass
    with SyncClient(URL, transport=plain):
        pass

    assert network.closed
    assert plain.closed


def test_the_plain_client_has_every_method_of_the_other():
    def signatures(kind):
        return {name: str(inspect.signature(method)) for name, method in vars(kind).items() if callable(method)}

    asynchronous = {name.replace("__a", "__"): signature for name, signature in signatures(Client).items()}
    plain = {
        name: signature.replace("Transport", "AsyncTransport") for name, signature in signatures(SyncClient).items()
    }
    assert plain.keys() == asynchronous.keys()
    assert plain["emit"] == asynchronous["emit"]
    assert ironflow.sync.Client is SyncClient
    assert not any(asyncio.iscoroutinefunction(method) for method in vars(SyncClient).values())


async def test_a_defined_event_is_emitted_with_its_version():
    placed = ironflow.define_event(name="order.placed", version=3)
    transport = FakeAsyncTransport()
    transport.gives(answer({"event_id": "e", "results": []}), answer({"event_id": "e"}), answer({"results": []}))
    client = Client(URL, transport=transport)

    with pytest.raises(NoRunStarted):
        await client.emit_sync(placed, {"id": 1})
    await client.emit(placed, {"id": 1}, version=2)
    await client.emit_batch([{"name": placed, "data": {"id": 1}}])

    sent = [each.body for each in transport.sent]
    assert [(each["event"], each["version"]) for each in sent[:2]] == [("order.placed", 3), ("order.placed", 2)]
    assert sent[2]["events"] == [{"version": 3, "name": "order.placed", "data": {"id": 1}}]


async def test_a_cancel_with_a_time_that_is_none_cancels_nothing(client):
    with pytest.raises(errors.InvalidArgument, match="soon"):
        await client("runs.cancel", "run_1", wait=True, timeout="soon")

    assert client.sent == []
