"""The page about subscriptions, as its readers use it: its commands in a shell, its page in a browser."""

import asyncio
import json
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "subscriptions.md").read_text()
WITHIN_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as started:
        yield started


def shown(server: Server, language: str, text: str) -> str:
    """The code block of the page that contains `text`, with the address of the test's own server."""
    (block,) = [each for each in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text in each]
    return block.replace("localhost:9123", server.address.removeprefix("http://"))


async def a_run(server: Server) -> str:
    """Starts a run over REST; its id."""
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
        function = {"id": "charge", "triggers": [{"event": "order.placed"}]}
        (await client.post("/api/v1/functions", json=function)).raise_for_status()
        emitted = await client.post("/api/v1/events", json={"event": "order.placed", "data": {"total": 7}})
        return emitted.json()["run_ids"][0]


@asynccontextmanager
async def running(*command: str, **streams: Any) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, **streams)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(process: Process, text: str, of: str = "stdout") -> str:
    """The first line that contains `text`."""
    stream = getattr(process, of)
    async with asyncio.timeout(WITHIN_S):
        while line := await stream.readline():
            if text in line.decode():
                return line.decode()
    raise AssertionError(f"it ended without {text!r}")


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_curl_shows_events_as_they_come(server: Server):
    await a_run(server)
    command = shown(server, "sh", "curl -N -G")
    async with running("sh", "-c", f"exec {command}", stdout=PIPE, stderr=DEVNULL) as curl:
        line = await until(curl, "events:order.placed")
    assert json.loads(line.removeprefix("data: "))["data"] == {"total": 7}


async def test_a_stock_websocket_tool_shows_runs_live(server: Server):
    request = " ".join(shown(server, "json", "system.run.>").split())
    url = server.address.replace("http", "ws", 1) + "/ws"
    async with running(sys.executable, "-m", "websockets", url, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as tool:
        assert tool.stdin is not None
        tool.stdin.write(f"{request}\n".encode())
        await until(tool, "subscription_result")
        run_id = await a_run(server)
        await until(tool, f'"topic":"system.run.{run_id}.created"')


async def test_a_page_in_a_browser_shows_runs_live(server: Server, tmp_path: Path, chromium: str):
    (tmp_path / "page.html").write_text(shown(server, "html", "EventSource"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    options.append(f"--user-data-dir={tmp_path / 'profile'}")
    files = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    async with running(sys.executable, *files, stdout=PIPE, stderr=DEVNULL) as folder:
        port = (await until(folder, "Serving HTTP on")).partition("port ")[2].split()[0]
        page = f"http://127.0.0.1:{port}/page.html"
        async with running(chromium, *options, page, stdout=DEVNULL, stderr=PIPE) as browser:
            await shows_runs_live(server, browser, page)


async def shows_runs_live(server: Server, browser: Process, page: str) -> None:
    line = await until(browser, "DevTools listening on ", of="stderr")
    async with connect(line.split()[-1], max_size=None) as devtools, asyncio.timeout(WITHIN_S):
        tab = Tab(devtools)
        await tab.attach(page)
        while await tab.value("runs.readyState") != 1:  # noqa: ASYNC110 the browser has no event for it
            await asyncio.sleep(0.05)
        run_id = await a_run(server)
        while f"system.run.{run_id}.created" not in await tab.value("document.body.innerText"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class Tab:
    """A page of a browser, asked over the DevTools protocol."""

    def __init__(self, devtools: Any) -> None:
        self._devtools = devtools
        self._session: dict[str, str] = {}
        self._number = 0

    async def attach(self, address: str) -> None:
        while True:
            targets = (await self._ask("Target.getTargets"))["targetInfos"]
            if found := [each["targetId"] for each in targets if each["url"] == address]:
                break
            await asyncio.sleep(0.05)
        self._session = {
            "sessionId": (await self._ask("Target.attachToTarget", targetId=found[0], flatten=True))["sessionId"]
        }

    async def value(self, expression: str) -> Any:
        answer = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._devtools.send(json.dumps({"id": self._number, "method": method, "params": params, **self._session}))
        while True:
            answer = json.loads(await self._devtools.recv())
            if answer.get("id") == self._number:
                return answer["result"]
