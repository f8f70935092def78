"""`serve()` in web frameworks and serverless hosts, with their real packages: each answers one signed push request."""

import asyncio
import base64
import io
import json
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
from aiohttp import web

from ironflow import Context, function, signing
from ironflow.projection import projection
from ironflow.serve import ServeHandler, create_handler, handle, serve
from ironflow.webhooks import Webhook, WebhookEvent

KEY = "whsec_test_key"
REQUEST = {
    "run_id": "run_1",
    "function_id": "greet",
    "attempt": 1,
    "event": {"id": "evt_1", "name": "a.b", "data": {"name": "Ada"}, "timestamp": "2026-01-01T00:00:00Z"},
    "steps": [],
}
BODY = json.dumps(REQUEST, separators=(",", ":")).encode()
PATH = "/api/ironflow"

# Asks an application for (method, path, headers, body), and gives (status, body).
Ask = Callable[[str, str, dict[str, str], bytes], tuple[int, bytes]]


@function("greet", on="a.b")
async def greet(ctx: Context, data: Any) -> Any:
    return await ctx.step.run("greeting", lambda: f"Hello {data['name']}")


def headers() -> dict[str, str]:
    return {"Content-Type": "application/json", signing.HEADER: signing.sign_request(BODY, KEY)}


def in_starlette(served: ServeHandler) -> Ask:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return below(asgi(Starlette(routes=[Mount(PATH, app=served)])))


def in_fastapi(served: ServeHandler) -> Ask:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount(PATH, served)
    return below(asgi(app))


def alone(served: ServeHandler) -> Ask:
    return asgi(served)


def below(ask: Ask) -> Ask:
    """A mount of these frameworks has a slash at its end; `ironflow register` finds that address."""
    return lambda method, path, named, body: ask(method, path if "/webhooks/" in path else f"{path}/", named, body)


def asgi(app: Any) -> Ask:
    import asyncio

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        async def once() -> tuple[int, bytes]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
                response = await client.request(method, path, headers=named, content=body)
                return response.status_code, response.content

        return asyncio.run(once())

    return ask


def in_flask(served: ServeHandler) -> Ask:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask("shop")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {PATH: served.wsgi()})

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        response = app.test_client().open(path, method=method, headers=named, data=body)
        return response.status_code, response.data

    return ask


def in_django(served: ServeHandler) -> Ask:
    import django
    from django.conf import settings
    from django.test import Client
    from django.urls import re_path

    class Urls:
        urlpatterns = [re_path("^api/ironflow", served.django_view())]

    if not settings.configured:
        settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], SECRET_KEY="x", DATABASES={})
        django.setup()

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with __import__("django.test.utils", fromlist=["x"]).override_settings(ROOT_URLCONF=Urls):
            client: Any = Client(enforce_csrf_checks=True)
            kind = named.get("Content-Type", "application/json")
            response = client.generic(method, path, body, content_type=kind, headers=named)
        return response.status_code, response.content

    return ask


def in_cloud_functions(served: ServeHandler) -> Ask:
    import functions_framework
    from flask import Flask, request

    http = functions_framework.http(served.cloud_function())
    app = Flask("function")
    app.add_url_rule("/<path:rest>", view_func=lambda rest: http(request), methods=["GET", "POST", "PUT"])

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        response = app.test_client().open(path, method=method, headers=named, data=body)
        return response.status_code, response.data

    return ask


def in_lambda_1(served: ServeHandler) -> Ask:
    """API Gateway, format 1.0, and load balancers."""
    handler = served.lambda_handler()

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        path, _, query = path.partition("?")
        event = {
            "httpMethod": method,
            "path": path,
            "multiValueQueryStringParameters": parse_qs(query) or None,
            "headers": named,
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        answer = handler(event, None)
        return answer["statusCode"], answer["body"].encode()

    return ask


def in_lambda_2(served: ServeHandler) -> Ask:
    """API Gateway, format 2.0, and function URLs."""
    handler = served.lambda_handler()

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        path, _, query = path.partition("?")
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {name.lower(): value for name, value in named.items()},
            "requestContext": {"http": {"method": method, "path": path}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer = handler(event, None)
        return answer["statusCode"], answer["body"].encode()

    return ask


def in_vercel(served: ServeHandler) -> Ask:
    handler = served.vercel()

    def ask(method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with HTTPServer(("127.0.0.1", 0), handler) as http:
            return ask_of(http, method, path, named, body)

    def ask_of(http: HTTPServer, method: str, path: str, named: dict[str, str], body: bytes) -> tuple[int, bytes]:
        one = Thread(target=http.handle_request)
        one.start()
        connection = HTTPConnection("127.0.0.1", http.server_port)
        connection.request(method, path, body, named)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        one.join()
        return answer

    return ask


HOSTS = [
    alone, in_starlette, in_fastapi, in_flask, in_django, in_cloud_functions, in_lambda_1, in_lambda_2, in_vercel,
]  # fmt: skip
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")


@pytest.mark.parametrize("host", HOSTS)
def test_a_signed_request_is_executed_in_every_host(host: Callable[[ServeHandler], Ask]):
    ask = host(serve([greet], signing_key=["new", KEY]))

    status, body = ask("POST", PATH, headers(), BODY)

    assert status == 200, body
    answer = json.loads(body)
    assert (answer["status"], answer["result"]) == ("completed", "Hello Ada")
    assert [(each["id"], each["status"], each["output"]) for each in answer["steps"]] == [
        ("run_1:greeting:0", "completed", "Hello Ada")
    ]


@pytest.mark.parametrize("host", HOSTS)
def test_refusals_have_the_documented_codes_in_every_host(host: Callable[[ServeHandler], Ask]):
    ask = host(serve([greet], signing_key=KEY))
    signed = headers()
    unsigned = {"Content-Type": "application/json"}
    old = {**unsigned, signing.HEADER: signing.sign_request(BODY, KEY, 1767225600)}

    refused = [
        ask("POST", PATH, unsigned, BODY),
        ask("POST", PATH, signed, BODY.replace(b"Ada", b"Eve")),
        ask("POST", PATH, old, BODY),
    ]
    if host is not in_vercel:
        refused.append(ask("PUT", PATH, signed, BODY))

    codes = [(status, json.loads(body)["error"]["code"]) for status, body in refused]
    assert codes[:3] == [(401, "SIGNATURE_MISSING"), (401, "SIGNATURE_INVALID"), (401, "SIGNATURE_EXPIRED")]
    assert codes[3:] in ([], [(405, "METHOD_NOT_ALLOWED")])


@pytest.mark.parametrize("host", HOSTS)
def test_a_get_shows_which_functions_are_served(host: Callable[[ServeHandler], Ask]):
    ask = host(serve([greet], signing_key=KEY))
    status, page = ask("GET", PATH, {}, b"")
    assert (status, b"<code>greet</code>" in page) == (200, True)

    status, body = ask("GET", PATH, {"Accept": "application/json"}, b"")
    landing = json.loads(body)
    assert (status, landing["functions"]) == (200, [{"id": "greet", "triggers": ["a.b"]}])

    # Settings are shown to those who have the key.
    signed = {"Accept": "application/json", signing.HEADER: signing.sign(b"", KEY)}
    landing = json.loads(ask("GET", PATH, signed, b"")[1])
    assert landing["functions"][0]["registration"]["push_checkpoints"] is True


@pytest.mark.parametrize("host", HOSTS)
def test_a_webhook_that_is_a_form_is_read_as_one_in_every_host(host: Callable[[ServeHandler], Ask]):
    """Its content type says what it is; WSGI keeps that apart from the other headers."""
    received: list[Any] = []
    ask = host(serve([], webhooks=[Webhook("form", verify=lambda _: None, transform=received.append)]))

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = ask("POST", f"{PATH}/webhooks/form", form, b"MessageStatus=sent&To=%2B49")

    assert (status, json.loads(body)) == (200, {"status": "ignored"})
    assert received == [{"MessageStatus": "sent", "To": "+49"}]


@pytest.mark.parametrize("host", HOSTS)
def test_a_webhook_has_the_url_that_was_called_with_its_query_in_every_host(host: Callable[[ServeHandler], Ask]):
    """Twilio signs it."""
    called: list[str] = []
    webhook = Webhook("call", verify=lambda request: called.append(request.url), transform=lambda _: None)
    ask = host(serve([], webhooks=[webhook]))

    status, _ = ask("POST", f"{PATH}/webhooks/call?foo=1&bar=a%20b&foo=2", {}, b"{}")

    assert status == 200
    (url,) = called
    assert url.partition("?")[0].endswith(f"{PATH}/webhooks/call")
    # Format 1.0 of API Gateway keeps no order.
    assert sorted(parse_qsl(url.partition("?")[2])) == [("bar", "a b"), ("foo", "1"), ("foo", "2")]


def test_a_body_in_chunks_is_read_where_a_wsgi_server_ends_it():
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(BODY),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "HTTP_X_IRONFLOW_SIGNATURE": headers()[signing.HEADER],
    }
    statuses: list[str] = []
    serve([greet], signing_key=KEY).wsgi()(environ, lambda status, _: statuses.append(status))
    assert statuses == ["200 OK"]


@pytest.mark.parametrize(
    "event",
    [
        {"body": "abc", "isBase64Encoded": True},
        {"body": "\ud800"},
        {"body": BODY.decode(), "multiValueHeaders": {"x-empty": None}, "requestContext": None},
    ],
    ids=["no base64", "half a character", "nulls"],
)
def test_a_lambda_event_that_is_no_request_of_ours_is_refused(event: dict[str, Any]):
    handler = serve([greet], signing_key=KEY).lambda_handler()
    answer = handler({"httpMethod": "POST", "path": PATH, "headers": headers(), **event}, None)
    assert answer["statusCode"] == (200 if event["body"] == BODY.decode() else 401)


@pytest.mark.parametrize(
    "event",
    [[], [1, 2], None, "text", 7, {"headers": []}, {"body": {"a": 1}}, {"path": 1}, {"requestContext": {"http": "x"}}],
    ids=repr,
)
def test_a_lambda_event_that_is_no_request_at_all_is_refused_with_the_reason(event: Any):
    answer = serve([greet], signing_key=KEY).lambda_handler()(event, None)
    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (400, "VALIDATION_ERROR")
    assert "The event is no HTTP request: Expected" in error["message"]


def test_a_wsgi_request_without_a_length_has_no_body_and_waits_for_none():
    class Open(io.RawIOBase):
        """A connection on which nothing more comes: a read of it would wait."""

        def read(self, size: int = -1) -> bytes:
            raise AssertionError("read")

    for method, status in (("GET", "200 OK"), ("POST", "401 Unauthorized")):
        environ = {"REQUEST_METHOD": method, "wsgi.input": Open()}
        statuses: list[str] = []
        serve([greet], signing_key=KEY).wsgi()(environ, lambda given, _, statuses=statuses: statuses.append(given))
        assert statuses == [status]


async def test_the_address_and_the_environment_are_the_defaults_of_the_process(monkeypatch: pytest.MonkeyPatch):
    emitted: list[tuple[str, str]] = []

    async def server(request: web.Request) -> web.Response:
        emitted.append((request.path, request.headers.get("X-Ironflow-Environment", "")))
        return web.json_response({"runIds": [], "eventId": "evt_1"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("IRONFLOW_SERVER_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("IRONFLOW_ENV", "staging")
    hook = Webhook("hook", verify=lambda _: None, transform=lambda payload: WebhookEvent("a.b", payload))
    served = serve([], webhooks=[hook])
    try:
        response = await served.handle("POST", f"{PATH}/webhooks/hook", {}, b"{}")
        assert (response.status, len(emitted)) == (200, 1), response.body
        assert emitted[0][1] == "staging"
    finally:
        await served.close()
        await runner.cleanup()


def test_projections_are_shown_for_registering_with_a_warning_that_a_worker_runs_them(
    caplog: pytest.LogCaptureFixture,
):
    @projection("totals", events=["a.b"])
    def totals(state: dict[str, Any], event: Any) -> dict[str, Any]:
        return state

    served = serve([greet], skip_verification=True, projections=[totals])

    assert [(each.levelname, each.message, vars(each)["projections"]) for each in caplog.records] == [
        ("WARNING", "projections need a worker", ["totals"])
    ]
    landing = asyncio.run(served.handle("GET", PATH, {"Accept": "application/json"}))
    assert json.loads(landing.body)["projections"] == ["totals"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_JSON"),
        (b"{", 400, "INVALID_JSON"),
        (b'{"run_id":"\xff"}', 400, "INVALID_JSON"),
        ('{"run_id":"\ud800"}', 400, "INVALID_JSON"),
        (b"[]", 400, "VALIDATION_ERROR"),
        (b'{"run_id":"r"}', 400, "VALIDATION_ERROR"),
        (b'{"run_id":1,"function_id":"greet","event":{"id":"e","name":"n"}}', 400, "VALIDATION_ERROR"),
        (b'{"run_id":"r","function_id":"other","event":{"id":"e","name":"n"}}', 404, "FUNCTION_NOT_FOUND"),
    ],
)
async def test_a_body_that_is_no_request_is_refused(body: bytes | str, status: int, code: str):
    response = await handle(create_handler([greet], skip_verification=True), "POST", PATH, {}, body)
    assert (response.status, json.loads(response.body)["error"]["code"]) == (status, code)


async def test_what_existing_servers_leave_out_or_send_as_null_is_taken():
    request = {
        "run_id": "run_1",
        "function_id": "greet",
        "event": {"id": "e", "name": "a.b", "data": {"name": "Ada"}, "metadata": None},
        "steps": None,
        "more": {"fields": 1},
    }
    response = await serve([greet], skip_verification=True).handle("post", PATH, [], json.dumps(request))
    assert json.loads(response.body)["result"] == "Hello Ada"


async def test_without_a_key_unsigned_requests_are_taken_with_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("IRONFLOW_SIGNING_KEY", raising=False)
    served = serve([greet])
    for _ in range(3):
        assert (await served.handle("POST", PATH, {}, BODY)).status == 200
    assert [record.message for record in caplog.records] == [
        "requests are not verified: set signing_key= or IRONFLOW_SIGNING_KEY"
    ]


async def test_the_key_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IRONFLOW_SIGNING_KEY", KEY)
    served = serve([greet])
    assert (await served.handle("POST", PATH, {}, BODY)).status == 401
    assert (await served.handle("POST", PATH, headers(), BODY)).status == 200


@pytest.mark.parametrize(
    "header",
    [
        lambda good: f"{good},{good}",
        lambda good: good.replace("v1=", "v1=" + "0" * 64 + ",v1="),
        lambda good: good.replace("t=", "t=1,t="),
        lambda good: good.partition(",")[0],
    ],
    ids=["doubly signed", "a second signature", "a second time", "the old variant alone"],
)
async def test_an_altered_header_is_judged_by_its_signature_and_time(header: Callable[[str], str]):
    given = header(headers()[signing.HEADER])
    response = await serve([greet], signing_key=KEY).handle("POST", PATH, {signing.HEADER: given}, BODY)
    # A further signature does no harm; a second time, or none, does.
    assert response.status == (200 if given.count("t=") == 1 else 401)
