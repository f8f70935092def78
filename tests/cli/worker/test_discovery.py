"""`ironflow dev` finds what local applications serve: registered once, and again when it changes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from ironflow import Context, function
from ironflow.base.errors import Unavailable
from ironflow.cli.worker.served import Discovery
from ironflow.features.functions.contract import RegisterFunction
from ironflow.serve import serve
from ironflow.sync import Client
from tests.cli.worker.test_dev import address_in, running
from tests.support.waiting import eventually

KEY = "whsec_0123456789abcdef"


@function("greet", on="guest.came")
async def greet(ctx: Context) -> str:
    return "hello"


@function("part", on="guest.left")
async def part(ctx: Context) -> str:
    return "goodbye"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""


class Application:
    """An application whose functions change as those of one that is reloaded."""

    def __init__(self) -> None:
        self.serves: Callable[..., Any] = serve([greet], skip_verification=True).wsgi()
        self.url = ""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.serves(environ, start_response)


@pytest.fixture
def application() -> Iterator[Application]:
    made = Application()
    with make_server("127.0.0.1", 0, made, handler_class=Quiet) as http:
        made.url = f"http://127.0.0.1:{http.server_port}/api/ironflow"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            http.shutdown()
            thread.join()


class Found:
    """A discovery that looks whenever it is asked, and what came of it."""

    def __init__(self, *urls: str, key: str = "") -> None:
        self.registered: list[str] = []
        self.notes: list[str] = []
        self.fault: Unavailable | None = None
        self._now = 0.0
        self._discovery = Discovery(urls, key, self._register, self.notes.append, lambda: self._now)

    def _register(self, message: RegisterFunction) -> None:
        if self.fault is not None:
            raise self.fault
        self.registered.append(message.id)

    def look(self, after_s: float = 10.0) -> None:
        self._now += after_s
        self._discovery.look()


def test_what_is_served_is_registered_once_and_again_when_it_changes(application: Application):
    found = Found(application.url)
    found.look()
    found.look()
    assert found.registered == ["greet"]
    assert found.notes == [f"{application.url} serves greet; registered"]

    application.serves = serve([greet, part], skip_verification=True).wsgi()
    found.look()
    assert found.registered == ["greet", "greet", "part"]


def test_it_looks_now_and_then(application: Application):
    found = Found(application.url)
    found.look()
    application.serves = serve([part], skip_verification=True).wsgi()
    found.look(after_s=0.5)
    assert found.registered == ["greet"]
    found.look()
    assert found.registered == ["greet", "part"]


def test_addresses_where_nothing_is_served_are_passed_over(application: Application):
    found = Found("http://127.0.0.1:1/api/ironflow", application.url)
    found.look()
    assert found.registered == ["greet"]
    assert len(found.notes) == 1


def test_a_registration_that_fails_is_noted_once_and_tried_again(application: Application):
    found = Found(application.url)
    found.fault = Unavailable("The server restarts.")
    found.look()
    found.look()
    assert found.notes == [f"{application.url}: The server restarts."]

    found.fault = None
    found.look()
    assert found.registered == ["greet"]


def test_settings_that_need_the_signing_key_are_noted(application: Application):
    application.serves = serve([greet], signing_key=KEY).wsgi()
    without, holder = Found(application.url), Found(application.url, key=KEY)
    without.look()
    without.look()
    holder.look()
    assert (without.registered, holder.registered) == ([], ["greet"])
    (note,) = without.notes
    assert "signing key" in note


@contextmanager
def client_of(log: Any) -> Iterator[Client]:
    eventually(lambda: address_in(log) != "")
    with Client(address_in(log)) as client:
        yield client


@pytest.mark.processes
def test_dev_executes_what_it_found(application: Application, tmp_path: Any):
    with running(tmp_path, "dev", "--endpoint", application.url, "--port", "0") as (_, log), client_of(log) as client:
        eventually(lambda: [each.id for each in client.functions.list()] == ["greet"])
        assert client.invoke_sync("greet", timeout="20s") == "hello"

        application.serves = serve([part], skip_verification=True).wsgi()
        eventually(lambda: "part" in [each.id for each in client.functions.list()])
        assert client.invoke_sync("part", timeout="20s") == "goodbye"
