"""Webhooks of a program: verified, transformed and passed on once, with the answers that providers act on."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from ironflow.base.errors import ConnectionLost, ValidationError
from ironflow.base.signature import SignatureError
from ironflow.base.webhook.presets import PRESETS
from ironflow.features.events.contract import InvalidEvent
from ironflow.webhooks import (
    Headers,
    Webhook,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
    receive,
    sign_headers,
    verify_with,
)

SECRET = "s3cret"
BODY = b'{"action": "opened", "number": 7}'


class Emits:
    """Collects events. fault: raised instead."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.events: list[WebhookEvent] = []
        self._fault = fault

    async def __call__(self, event: WebhookEvent) -> Any:
        if self._fault is not None:
            raise self._fault
        self.events.append(event)
        return SimpleNamespace(event_id=f"evt_{len(self.events)}")


def to_event(payload: Any) -> WebhookEvent:
    return WebhookEvent(f"github.{payload['action']}", payload)


GITHUB = Webhook("github", verify_with("github", SECRET), to_event)


def signed(body: bytes = BODY, **more: str) -> dict[str, str]:
    return {**sign_headers(PRESETS["github"].descriptor, body, SECRET, 0), **more}


async def send(emits: Emits, webhook: Webhook = GITHUB, **changed: Any) -> WebhookAnswer:
    sent = {"id": webhook.id, "method": "POST", "headers": signed(), "body": BODY, **changed}
    return await receive([webhook], emit=emits, **sent)


async def test_a_genuine_request_is_one_event():
    emits = Emits()
    answer = await send(emits, headers=signed() | {"X-GitHub-Delivery": "72d3"})

    assert answer == WebhookAnswer(200, {"status": "accepted", "event_id": "evt_1"})
    assert emits.events == [WebhookEvent("github.opened", json.loads(BODY), idempotency_key="github:72d3")]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"id": "gitlab"}, 404, "WEBHOOK_NOT_FOUND"),
        ({"method": "GET"}, 405, "METHOD_NOT_ALLOWED"),
        ({"headers": {}}, 401, "VERIFY_FAILED"),
        ({"body": BODY + b" "}, 401, "VERIFY_FAILED"),
        ({"body": b"{", "headers": signed(b"{")}, 400, "INVALID_JSON"),
        ({"body": b"{}", "headers": signed(b"{}")}, 400, "TRANSFORM_FAILED"),
        ({"body": b" " * (1024 * 1024 + 1)}, 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["unknown", "get", "unsigned", "altered", "no-json", "transform", "large"],
)
async def test_a_refused_request_emits_nothing(changed: dict[str, Any], status: int, code: str):
    emits = Emits()
    answer = await send(emits, **changed)
    assert (answer.status, answer.body["error"]["code"]) == (status, code)
    assert emits.events == []


async def test_functions_may_be_async_and_what_verify_returns_is_transformed():
    async def verify(request: WebhookRequest) -> dict[str, str]:
        assert request.body == BODY
        assert request.headers["X-ANY"] == request.headers["x-any"] == "1"
        return {"parsed": request.text}

    async def transform(payload: Any) -> WebhookEvent:
        return WebhookEvent("mail.received", payload, idempotency_key="k", metadata={"a": 1}, version=2)

    emits = Emits()
    await send(emits, Webhook("mail", verify, transform), headers={"x-Any": "1"})
    assert emits.events == [WebhookEvent("mail.received", {"parsed": BODY.decode()}, "k", {"a": 1}, 2)]


async def test_what_user_code_raises_is_not_repeated_in_the_answer():
    def explode(_: Any) -> Any:
        raise RuntimeError("the database password is hunter2")

    for webhook, status in ((Webhook("x", explode, to_event), 401), (Webhook("x", lambda _: None, explode), 400)):
        answer = await send(Emits(), webhook)
        assert answer.status == status
        assert "hunter2" not in json.dumps(answer.body)


async def test_a_transform_without_an_event_ignores_the_request():
    emits = Emits()
    ignored = await send(emits, Webhook("github", verify_with("github", SECRET), lambda _: None))
    wrong = await send(emits, Webhook("github", verify_with("github", SECRET), lambda _: {"name": "x"}))
    assert (ignored, wrong.status, emits.events) == (WebhookAnswer(200, {"status": "ignored"}), 400, [])


async def test_what_could_not_be_recorded_is_not_answered_with_success():
    lost = await send(Emits(ConnectionLost("no server")))
    never = await send(Emits(InvalidEvent("bad name")))
    assert (lost.status, lost.body["error"]["code"]) == (502, "EMIT_FAILED")
    assert (never.status, never.body["error"]["code"]) == (400, "EMIT_FAILED")


async def test_the_key_of_a_delivery_is_the_providers_or_none():
    async def key(body: bytes, **headers: str) -> str:
        emits = Emits()
        webhook = Webhook("w", lambda _: None, lambda payload: WebhookEvent("e", payload))
        await send(emits, webhook, body=body, headers=headers)
        return emits.events[0].idempotency_key

    assert await key(b"{}") == ""
    assert await key(b'{"id": 7}') == "w:7"
    assert await key(b'{"id": 7}', **{"Webhook-Id": "msg_1"}) == "w:msg_1"
    long = await key(json.dumps({"id": "a b" * 200}).encode())
    assert len(long) == 2 + 64


def test_a_provider_may_have_an_older_secret_too():
    request = WebhookRequest(BODY, Headers(signed()))
    verify_with("github", "new", SECRET)(request)
    with pytest.raises(SignatureError):
        verify_with("github", "new")(request)
    with pytest.raises(ValidationError):
        verify_with("github", "")


def test_an_id_that_cannot_be_in_a_url_is_refused():
    for id in ("", "a/b", "a b", "é", "x" * 129):
        with pytest.raises(ValidationError):
            Webhook(id, lambda _: None, to_event)
