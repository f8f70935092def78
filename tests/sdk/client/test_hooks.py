"""`on_error`, `on_retry` and `logger` of a client: every method reports what it raises, once, under its own name."""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import pytest

from ironflow import Client, Reconnect, Retries, sync
from ironflow.base.errors import InvalidArgument, IronflowError, NotFound, Unavailable
from ironflow.sdk.client.connection.hooks import ErrorContext, RetryEvent
from ironflow.sdk.client.features.kv import KvBucket
from ironflow.sdk.client.features.runs import Runs
from ironflow.sdk.wire.retries import decide_repeat
from ironflow.sdk.wire.transport import CannotConnect
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer
from tests.support.logs import Lines

QUICK = Retries(attempts=3, initial_s=0.001, max_s=0.002)
REFUSED = answer({"code": "INVALID_ARGUMENT", "message": "no"}, status=400)


def a_network(kind: type) -> Any:
    return FakeAsyncTransport() if kind is Client else FakeSyncTransport()


class Seen(list[tuple[IronflowError, ErrorContext]]):
    def __call__(self, error: IronflowError, context: ErrorContext) -> None:
        self.append((error, context))

    @property
    def contexts(self) -> list[ErrorContext]:
        return [context for _, context in self]


@pytest.mark.parametrize("kind", [Client, sync.Client])
async def test_an_error_is_reported_once_after_the_last_retry(kind: Any):
    network = a_network(kind)
    network.gives(answer({"code": "UNAVAILABLE", "message": "later"}, status=503))
    seen, retries = Seen(), list[RetryEvent]()
    client = kind("http://x", transport=network, retries=QUICK, on_error=seen, on_retry=retries.append)

    async def emit() -> None:
        found = client.emit("order.placed", idempotency_key="k")
        if inspect.isawaitable(found):
            await found

    with pytest.raises(Unavailable) as raised:
        await emit()

    assert seen == [(raised.value, ErrorContext("emit", "/api/v1/events", 503))]
    assert [(each.attempt, each.max_attempts, each.delay) for each in retries] == [(1, 3, 0.001), (2, 3, 0.002)]
    assert all(isinstance(each.error, Unavailable) for each in retries)


async def test_without_an_answer_there_is_no_status():
    seen = Seen()
    client = Client("http://x", transport=FakeAsyncTransport(deque([CannotConnect()])), retries=QUICK, on_error=seen)
    with pytest.raises(CannotConnect):
        await client.runs.get("run_1")

    assert seen.contexts == [ErrorContext("runs.get", "/api/v1/runs/run_1", None)]


async def test_an_async_one_is_awaited_before_the_error_is_raised():
    order: list[str] = []

    async def on_error(error: IronflowError, context: ErrorContext) -> None:
        await asyncio.sleep(0)
        order.append(context.method)

    client = Client("http://x", transport=FakeAsyncTransport(deque([REFUSED])), on_error=on_error)
    with pytest.raises(InvalidArgument):
        await client.streams.append("e", "n")
    order.append("raised")

    assert order == ["streams.append", "raised"]


def test_an_async_one_is_awaited_in_scripts_too():
    seen: list[str] = []

    async def on_error(error: IronflowError, context: ErrorContext) -> None:
        await asyncio.sleep(0)
        seen.append(context.method)

    client = sync.Client("http://x", transport=FakeSyncTransport(deque([REFUSED])), on_error=on_error)
    with pytest.raises(InvalidArgument):
        client.kv.bucket("b").get("k")

    assert seen == ["kv.get"]


@pytest.mark.parametrize("kind", [Client, sync.Client])
async def test_what_the_callback_raises_goes_to_stderr(kind: Any, capsys: pytest.CaptureFixture[str]):
    network = a_network(kind).gives(REFUSED)

    def on_error(error: IronflowError, context: ErrorContext) -> None:
        raise RuntimeError("mine")

    with pytest.raises(InvalidArgument, match="no"):
        await kind("http://x", transport=network, on_error=on_error).health()

    assert "RuntimeError: mine" in capsys.readouterr().err


async def test_what_the_client_answers_itself_is_not_reported():
    seen = Seen()
    network = FakeAsyncTransport(deque([answer({"code": "STREAM_NOT_FOUND", "message": "none"}, status=404)]))
    client = Client("http://x", transport=network, on_error=seen)

    assert await client.streams.info("e") is None
    with pytest.raises(NotFound):
        await client.streams.create_snapshot("e", 1, {})

    assert [each.method for each in seen.contexts] == ["streams.create_snapshot"]


async def test_a_wait_that_bridges_an_outage_reports_its_end_alone():
    seen = Seen()
    client = Client("http://x", transport=FakeAsyncTransport(deque([CannotConnect()])), retries=QUICK, on_error=seen)
    with pytest.raises(CannotConnect):
        await client.runs.wait("run_1", timeout=0.5)

    assert [each.method for each in seen.contexts] == ["runs.wait"]


async def test_subscriptions_and_watches_report_what_they_raise():
    seen = Seen()
    once = Reconnect(enabled=False)
    async with Client("http://127.0.0.1:1", on_error=seen, reconnect=once, retries=Retries(attempts=1)) as client:
        for following in (
            client.subscribe("a"),
            client.consumer_groups.join("g"),
            client.kv.bucket("b").watch(),
            client.config.watch("c"),
            client.streams.subscribe("order"),
        ):
            with pytest.raises(CannotConnect):
                await anext(following)

    assert [(each.method, each.endpoint) for each in seen.contexts] == [
        ("subscribe", "/ws"),
        ("consumer_groups.join", "/ironflow.v1.PubSubService/JoinConsumerGroup"),
        ("kv.watch", "/api/v1/kv/buckets/{bucket}/watch"),
        ("config.watch", "/api/v1/config/{name}/watch"),
        ("streams.subscribe", "/ws"),
    ]


# Methods that ask the server nothing, or another way than by one call.
WITHOUT_A_CALL = {"commands", "kv.bucket", "on_connection_change", "on_subscription_error", "close", "call"}
FOLLOWING = {
    "subscribe",
    "projections.subscribe",
    "streams.subscribe",
    "consumer_groups.join",
    "kv.watch",
    "config.watch",
}
# More than one call, or an error of the arguments that this test makes up.
BESIDES = {"projections.register", "functions.register", "emit_batch", "events.import_batch", "projections.wait_all"}
BESIDES |= {"webhooks.forward", "webhooks.send"}


def methods(client: Any) -> dict[str, Any]:
    """Every method of the client by the name under which a program calls it."""
    found = {name: getattr(client, name) for name in vars(type(client)) if not name.startswith("_")}
    for feature, instance in vars(client).items():
        if not feature.startswith("_"):
            for name in vars(type(instance)):
                if not name.startswith("_"):
                    found[f"{feature}.{name}"] = getattr(instance, name)
    bucket = client.kv.bucket("b")
    found |= {f"kv.{name}": getattr(bucket, name) for name in vars(KvBucket) if not name.startswith("_")}
    return {name: method for name, method in found.items() if callable(method)}


def made_up(method: Any) -> dict[str, Any]:
    """A value for each parameter that has no default."""
    values: dict[str, Any] = {}
    hints = get_type_hints(method)
    for name, each in inspect.signature(method).parameters.items():
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            hint = str(hints.get(name, ""))
            values[name] = 1 if hint == "<class 'int'>" else made_up_of(name, hint)
    return values


def made_up_of(name: str, hint: str) -> Any:
    if "datetime" in hint:
        from datetime import UTC, datetime

        return datetime(2026, 1, 1, tzinfo=UTC)
    if "Mapping" in hint or "dict" in hint:
        return {}
    if "Sequence" in hint or "list" in hint:
        return []
    return "active" if name == "status" else "cancel" if name == "action" else "x"


NAMES = sorted(set(methods(Client("http://x"))) - WITHOUT_A_CALL - FOLLOWING - BESIDES)


@pytest.mark.parametrize("name", NAMES)
async def test_every_method_reports_under_its_own_name(name: str):
    seen = Seen()
    client = Client("http://x", transport=FakeAsyncTransport(deque([REFUSED])), on_error=seen)
    method = methods(client)[name]

    async def called() -> None:
        found = method(**made_up(method))
        await (anext(found) if isinstance(found, AsyncIterator) else found)

    with pytest.raises(IronflowError):
        await called()

    assert [each.method for each in seen.contexts] == [name]
    assert seen.contexts[0].status_code == 400


def test_the_walk_meets_every_feature():
    assert len(NAMES) > 150
    assert {f"runs.{name}" for name in vars(Runs) if not name.startswith("_")} <= set(NAMES)


@pytest.mark.parametrize("kind", [Client, sync.Client])
async def test_a_client_writes_to_its_logger(kind: Any, caplog: pytest.LogCaptureFixture):
    lines = Lines()
    network = a_network(kind).gives(CannotConnect("away"))
    with caplog.at_level(logging.DEBUG):
        for logger in (lines, False):
            with pytest.raises(CannotConnect):
                await kind("http://x", transport=network, retries=QUICK, logger=logger).health()

    assert lines == [("warning", "server away, call is repeated  url=http://x error=away")]
    assert caplog.records == []


def test_what_is_no_logger_is_refused():
    with pytest.raises(InvalidArgument, match="debug, info, warning and error"):
        Client("http://x", logger="no logger")  # type: ignore[arg-type]


def test_a_pause_of_its_own_for_a_server_that_is_away():
    retries = Retries(connection_delay_s=2)
    assert decide_repeat(CannotConnect(), 1, False, retries) == 2
    assert decide_repeat(Unavailable(), 1, True, retries) == 0.1


async def test_retries_can_have_a_callback_of_their_own():
    seen: list[int] = []

    async def on_retry(event: RetryEvent) -> None:
        seen.append(event.attempt)

    retries = Retries(attempts=2, initial_s=0.001, on_retry=on_retry)
    with pytest.raises(CannotConnect):
        await Client("http://x", transport=FakeAsyncTransport(deque([CannotConnect()])), retries=retries).health()

    assert seen == [1]
