"""Fixtures of the command line tests: a working folder, and one real server with one real worker."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ironflow.cli.app import run_command
from ironflow.cli.process import Child
from ironflow.sync import Client
from tests.support.dev_server import a_dev_server
from tests.support.waiting import eventually

FUNCTIONS = '''
"""Functions for the tests of the command line."""

import asyncio

from ironflow import Concurrency, Debounce, NonRetryableError, Retry, function

tried = set()


@function("greet", on="visitor.arrived", description="Says hello.")
async def greet(ctx, visitor: dict):
    name = await ctx.step.run("look up", str.title, visitor["name"])
    return await ctx.step.run("compose", lambda: {"greeting": f"Hello {name}"})


@function("fail", on="visitor.refused", retry=Retry(max_attempts=1))
async def fail(ctx):
    def refuse():
        ctx.logger.warning("the door does not open", extra={"door": 7})
        raise NonRetryableError("the door is shut")

    ctx.logger.info("a visitor")

    await ctx.step.run("knock", refuse)


@function("stumble", on="visitor.stumbled", retry=Retry(max_attempts=3, initial_delay="20ms"))
async def stumble(ctx):
    def step():
        if ctx.run.id not in tried:
            tried.add(ctx.run.id)
            raise RuntimeError("a stone")
        return "through"

    return await ctx.step.run("walk", step)


@function("hesitate", on="visitor.hesitated", on_cancel="compensate")
async def hesitate(ctx, door: str):
    await ctx.step.run("knock", str, door)
    ctx.step.compensate("knock", open_door if door == "stuck" else str)
    await ctx.step.wait_for_event("answer", event="visitor.never")


async def open_door():
    await asyncio.Event().wait()


@function("rest", on="visitor.tired")
async def rest(ctx):
    await ctx.step.sleep("a nap", "10m")


@function("add")
async def add(ctx, numbers: list[int]):
    return sum(numbers)


@function("ask", on="visitor.asked", concurrency=Concurrency(1, key="door"))
async def ask(ctx):
    price = await ctx.step.run("price", lambda: 100)
    answer = await ctx.step.wait_for_event("answer", event="visitor.answered", match="door")
    return {"price": price, "answer": answer.data["says"]}


@function("host", on="visitor.hosted")
async def host(ctx):
    return await ctx.step.invoke("slow", 2, timeout="10m")


@function("slow")
async def slow(ctx):
    await ctx.step.sleep("a nap", "10m")


@function("gather", on="visitor.moved", debounce=Debounce("1h", key="visitor"))
async def gather(ctx):
    pass


@function(
    "balk",
    on="visitor.balked",
    concurrency=Concurrency(1, key="door"),
    retry=Retry(max_attempts=1, on_exhausted="pause"),
)
async def balk(ctx):
    raise RuntimeError("not through this door")


functions = [greet, fail, stumble, hesitate, rest, add, ask, host, slow, gather, balk]
'''


class Result(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return msgspec.json.decode(self.out)


Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder; modules imported from it are unloaded after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    # Others stay, whichever test imported them first: a module that is loaded anew has classes of its own, and a value
    # that a test sets in it is not seen by what was loaded before.
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or [])]
        if any(Path(place).is_relative_to(tmp_path) for place in places if place):
            del sys.modules[name]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own, on a new SQLite file."""
    with a_dev_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="session")
def worker(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address once a worker has registered FUNCTIONS with it."""
    place = tmp_path_factory.mktemp("worker")
    (place / "visitors.py").write_text(FUNCTIONS)
    with (place / "log").open("wb") as log:
        process = Child(
            ["worker", "visitors:functions"], folder=place, output=log, environment={"IRONFLOW_SERVER_URL": server}
        )
        try:
            with Client(server) as client:
                eventually(lambda: {"greet", "add"} <= {each.id for each in client.functions.list()})
            yield server
        finally:
            process.stop()


@pytest.fixture
def ironflow(server: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command against the server."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = run_command([*arguments, "--url", server])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(autouse=True)
def _no_stored_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys that a developer has stored are not those of the tests."""
    monkeypatch.setenv("IRONFLOW_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.delenv("IRONFLOW_API_KEY", raising=False)
