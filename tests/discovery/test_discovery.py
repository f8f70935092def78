"""An endpoint is asked by the server what it serves, and its functions are compared with those that are registered."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from ironflow import Context, Retry, function
from ironflow.features.discovery import contract, rules, service
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.functions.in_tx import config_of
from ironflow.serve import ServeHandler, serve
from tests.push.serving import listening
from tests.support.server import open_server
from tests.support.work import Work

KEY = "whsec_0123456789abcdef"
DEEP = '{"ironflow": "1", "projections": [], "webhooks": [], "functions": [{"id": "x", "triggers": [], "registration": '
DEEP += "[" * 100_000 + "]" * 100_000 + "}]}"


@function("greet", on="guest.came")
async def greet(ctx: Context) -> str:
    return "hello"


@function("part", on="guest.left")
async def part(ctx: Context) -> str:
    return "goodbye"


@asynccontextmanager
async def endpoint(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """The address of an endpoint whose answer to GET the test decides."""

    async def handle(request: web.Request) -> web.StreamResponse:
        made = answer(request)
        return await made if asyncio.iscoroutine(made) else made

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/ironflow"
    finally:
        await runner.cleanup()


def landing(*registrations: dict[str, Any]) -> dict[str, Any]:
    listed = [{"id": each.get("id", ""), "triggers": [], "registration": each} for each in registrations]
    return {"ironflow": "1", "functions": listed, "projections": [], "webhooks": []}


async def discover(server: Work, url: str) -> contract.EndpointServes:
    return await server.call(contract.discover, url=url)


async def register(server: Work, served: contract.ServedFunction) -> functions.Registered:
    return await server.ask(functions.register, bytes(served.registration))


async def test_served_functions_are_new_then_the_same_then_changed(server: Work):
    async with listening(serve([greet, part], skip_verification=True)) as address:
        url = f"{address}/api/ironflow"
        found = await discover(server, url)
        assert [(each.id, each.change, each.triggers) for each in found.functions] == [
            ("greet", "created", ["guest.came"]),
            ("part", "created", ["guest.left"]),
        ]
        assert (found.url, found.unserved) == (url, [])
        # Asking registers nothing.
        assert (await server.call(functions.list_)).functions == []

        await register(server, found.functions[0])
        again = await discover(server, url)
        assert [(each.id, each.change, each.version) for each in again.functions] == [
            ("greet", "same", 1),
            ("part", "created", 0),
        ]

    assert (await server.call(functions.get, id="greet")).endpoint_url == url
    changed = function("greet", on="guest.came", retry=Retry(max_attempts=9))(greet.handler)
    async with listening(serve([changed], skip_verification=True)) as address:
        (found,) = (await discover(server, f"{address}/api/ironflow")).functions
    assert (found.change, found.version) == ("updated", 1)
    assert json.loads(bytes(found.before or b""))["endpoint_url"] == url
    assert json.loads(bytes(found.config or b""))["retry"]["max_attempts"] == 9


async def test_what_is_registered_at_the_address_and_served_no_more_is_named(server: Work):
    async with endpoint(lambda _: web.json_response(landing())) as url:
        await server.ask(functions.register, {"id": "left-over", "endpoint_url": url})

        assert (await discover(server, url)).unserved == ["left-over"]


async def test_a_registration_that_would_be_refused_has_its_reason(server: Work):
    bad = {"id": "bad", "triggers": [{"cron": "every day"}]}
    async with endpoint(lambda _: web.json_response(landing(bad))) as url:
        (found,) = (await discover(server, url)).functions

    assert found.change == "refused"
    assert "triggers[0]" in found.fault


@pytest.mark.parametrize(
    ("key", "refusal"),
    [(KEY, ""), ("", "setting signing_key"), ("whsec_another_key_of_a_server", "did not accept")],
)
async def test_the_server_signs_what_it_asks_and_reports_a_key_that_is_not_taken(tmp_path: Any, key: str, refusal: str):
    async with open_server(Work, str(tmp_path / "ironflow.db"), dev=True, signing_key=key) as server:
        handler = ServeHandler([greet], signing_key=KEY, clock=server.clock)
        async with listening(handler) as address:
            if refusal:
                with pytest.raises(contract.EndpointLocked, match=refusal):
                    await discover(server, f"{address}/api/ironflow")
            else:
                (found,) = (await discover(server, f"{address}/api/ironflow")).functions
                assert found.id == "greet"


async def test_an_address_within_the_network_is_not_asked(tmp_path: Any):
    asked: list[str] = []
    async with (
        endpoint(lambda request: asked.append(request.path) or web.json_response(landing())) as url,
        open_server(Work, str(tmp_path / "ironflow.db"), dev=False, auth=False) as server,
    ):
        with pytest.raises(contract.EndpointNotReached, match="push_allowed_networks"):
            await discover(server, url)
    assert asked == []


@pytest.mark.parametrize("url", ["", "shop.example", "ftp://a/b", "http://", "http://a b/"])
async def test_what_is_no_address_is_refused(server: Work, url: str):
    with pytest.raises(InvalidFunction):
        await discover(server, url)


async def test_only_a_redirect_to_the_slash_is_followed(server: Work):
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path.endswith("/ironflow"):
            return web.Response(status=307, headers={"Location": f"{request.path}/"})
        if request.path.endswith("/elsewhere"):
            return web.Response(status=307, headers={"Location": "/api/ironflow/"})
        return web.json_response(landing({"id": "one"}))

    async with endpoint(answer) as url:
        assert (await discover(server, url)).url == f"{url}/"
        with pytest.raises(contract.NoEndpoint, match="answers 307"):
            await discover(server, f"{url}/elsewhere")
    assert asked == ["/api/ironflow", "/api/ironflow/", "/api/ironflow/elsewhere"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (lambda: web.Response(text="<html>hello", status=200), "lists no functions"),
        (lambda: web.json_response({"functions": 5}), "lists no functions"),
        (lambda: web.json_response(landing({"id": "x", "triggers": 5})), "cannot be read"),
        (lambda: web.json_response(landing(*({"id": f"f{n}"} for n in range(1001)))), "1000 is the limit"),
        (lambda: web.json_response(landing({"id": "x"}, {"id": "x"})), "the function 'x' twice"),
        (lambda: web.Response(text=DEEP), "lists no functions"),
    ],
)
async def test_what_lists_no_functions_is_no_endpoint(server: Work, answer: Callable[[], web.Response], wanted: str):
    async with endpoint(lambda _: answer()) as url:
        with pytest.raises(contract.NoEndpoint, match=wanted):
            await discover(server, url)


async def test_registrations_are_checked_outside_of_the_event_loop(server: Work, monkeypatch: pytest.MonkeyPatch):
    threads: list[int] = []

    def noted(registration: functions.RegisterFunction) -> Any:
        threads.append(threading.get_ident())
        return config_of(registration)

    monkeypatch.setattr(rules, "config_of", noted)
    async with endpoint(lambda _: web.json_response(landing({"id": "one"}))) as url:
        await discover(server, url)
    assert threading.get_ident() not in threads
    assert len(threads) == 1


async def test_an_answer_is_bounded_in_time_and_bytes(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "BYTES_MAX", 1000)
    async with endpoint(lambda _: web.Response(body=b"x" * 2000)) as url:
        with pytest.raises(contract.EndpointNotReached, match="larger than 1000 bytes"):
            await discover(server, url)

    monkeypatch.setattr(service, "TIMEOUT_S", 0.05)
    ended = asyncio.Event()

    async def late() -> web.Response:
        await ended.wait()
        return web.Response()

    async with endpoint(lambda _: late()) as url:
        with pytest.raises(contract.EndpointNotReached, match="did not answer"):
            await discover(server, url)
        ended.set()
