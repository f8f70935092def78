"""Behind a proxy: the recipe for Caddy, as the page about security has it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import httpx
import pytest

from tests.support.certificates import Pair, a_pair
from tests.support.services import find_caddy
from tests.support.waiting import eventually
from tests.wire.server_process import a_server
from tests.wire.tls_address import check_requests_and_websockets, check_worker

PAGE = Path(__file__).parent.parent.parent / "docs" / "guides" / "security.md"
CADDY = find_caddy()

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(CADDY.address is None, reason="there is no caddy"),
]


def recipe(port: int, server: str, pair: Pair) -> str:
    """The block of the page, for this machine instead of the internet: with its port, and a certificate of its own."""
    (block,) = re.findall(r"^```\n(ironflow\.example\.com \{\n.*?\})\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    block = block.replace("127.0.0.1:9123", server.removeprefix("http://"))
    block = block.replace("ironflow.example.com {", f"https://localhost:{port} {{\n    tls {pair.cert} {pair.key}")
    return "{\n    admin off\n    auto_https disable_redirects\n}\n" + block + "\n"


@contextmanager
def caddy(folder: Path, server: str, pair: Pair) -> Iterator[str]:
    """The proxy in front of a server; its address."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "Caddyfile").write_text(recipe(port, server, pair))
    with (folder / "caddy.log").open("wb") as log:
        proxy = subprocess.Popen(
            [str(CADDY.address), "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdout=log,
            stderr=log,
        )
    url = f"https://localhost:{port}"
    try:
        with httpx.Client(verify=pair.trusted) as client:
            eventually(lambda: _is_ready(client, url))
        yield url
    finally:
        proxy.kill()
        proxy.wait()


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[str, Pair]]:
    pair = a_pair(tmp_path)
    with a_server(tmp_path) as server, caddy(tmp_path, server.address, pair) as url:
        yield url, pair


def test_requests_and_websockets_pass_the_proxy(proxied: tuple[str, Pair]):
    check_requests_and_websockets(*proxied)


@pytest.mark.parametrize("mode", [[], ["--stream"]], ids=["polling", "streaming"])
def test_a_worker_runs_behind_the_proxy(tmp_path: Path, proxied: tuple[str, Pair], mode: list[str]):
    check_worker(*proxied, mode, tmp_path)
