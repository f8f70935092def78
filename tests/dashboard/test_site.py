"""The dashboard as the server serves it: files, the page for every other address, and nothing of the API's."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from ironflow.dashboard.site import NOT_BUILT, Site
from tests.support.server import Server, open_server

PAGE = b"<!doctype html><title>Ironflow</title>"
SCRIPT = b"const answer = 42;\n" * 100
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    root = tmp_path / "built"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_bytes(PAGE)
    (root / "assets" / "index-a1b2.js").write_bytes(SCRIPT)
    return root


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with open_server(Server, str(tmp_path / "ironflow.db")) as opened:
        yield opened


@pytest.fixture
async def http(server: Server, build: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(server, Site(build)) as client:
        yield client


def browser_of(server: Server, site: Site) -> httpx.AsyncClient:
    inside = server.inside.app
    inside._site = site
    return server.http()


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/run_01", "/functions/a%2Fb", "/no-such-page"])
async def test_a_browser_gets_the_page_at_every_address(http: httpx.AsyncClient, path: str):
    answer = await http.get(path, headers=BROWSER)

    assert (answer.status_code, answer.content) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


async def test_the_policy_permits_no_inline_code_and_no_frame(http: httpx.AsyncClient):
    policy = (await http.get("/", headers=BROWSER)).headers["content-security-policy"]

    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_an_asset_is_kept_for_ever_and_sent_zipped(http: httpx.AsyncClient):
    await http.get("/", headers=BROWSER)

    answer = await http.get("/assets/index-a1b2.js", headers={"accept-encoding": "gzip"})

    assert answer.content == SCRIPT
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert int(answer.headers["content-length"]) == len(gzip.compress(SCRIPT, 9, mtime=0))


async def test_an_asset_of_an_older_build_is_not_found(http: httpx.AsyncClient):
    answer = await http.get("/assets/index-0000.js", headers={"accept": "*/*"})

    assert (answer.status_code, answer.json()["reason"]) == (404, "ROUTE_NOT_FOUND")


async def test_a_path_cannot_leave_the_build(http: httpx.AsyncClient, build: Path):
    (build.parent / "secret.txt").write_text("secret")

    answer = await http.get("/assets/%2e%2e/%2e%2e/secret.txt")

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/runs/run_none", "/ironflow.v1.Nothing/Get", "/ws"])
async def test_addresses_of_programs_answer_a_browser_as_they_answer_programs(http: httpx.AsyncClient, path: str):
    for_program, for_browser = await http.get(path), await http.get(path, headers=BROWSER)

    assert for_browser.status_code == for_program.status_code >= 404
    assert for_browser.content == for_program.content


async def test_a_program_gets_404_for_an_unknown_path(http: httpx.AsyncClient):
    for headers in ({}, {"accept": "application/json"}):
        answer = await http.get("/runs", headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (404, "ROUTE_NOT_FOUND")


async def test_operations_outside_of_api_are_no_pages(http: httpx.AsyncClient):
    assert (await http.get("/health", headers=BROWSER)).json()["status"] == "ok"
    assert "ironflow" in (await http.get("/metrics", headers=BROWSER)).text


async def test_only_reading_gets_the_page(http: httpx.AsyncClient):
    assert (await http.post("/runs", headers=BROWSER)).status_code == 404
    head = await http.head("/runs", headers=BROWSER)
    assert (head.status_code, head.content) == (200, b"")


async def test_without_a_build_the_page_shows_how_to_build_and_a_later_build_is_found(server: Server, build: Path):
    page = build / "index.html"
    hidden = page.rename(build / "hidden")

    async with browser_of(server, Site(build)) as http:
        before = await http.get("/runs", headers=BROWSER)
        hidden.rename(page)
        after = await http.get("/runs", headers=BROWSER)

    assert (before.status_code, before.content) == (200, NOT_BUILT)
    assert b"make dashboard" in before.content
    assert after.content == PAGE
