"""A real server with a worker and the data of the shop, and a browser; one of each for a module."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from ironflow.dashboard.site import BUILT
from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.browser import WIDE, chromium_browser
from tests.dashboard.shop import FUNCTIONS, fill
from tests.dashboard.shop_data import PROJECTIONS
from tests.support.services import find_chromium
from tests.support.waiting import eventually

# A loaded machine draws a page late.
PATIENCE_MS = 30_000


@dataclass(frozen=True)
class Shop:
    """url: the server. runs: ids by kind, as `fill` returns them."""

    url: str
    client: Client
    runs: dict[str, str]

    def status(self, run_id: str) -> str:
        return self.client.runs.get(run_id).status


def check_built() -> None:
    """Skips the test where the dashboard is not built."""
    if not (BUILT / "index.html").is_file():
        pytest.skip("the dashboard is not built: `make dashboard` builds it")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    check_built()
    server = ServerProcess(tmp_path_factory.mktemp("shop"))
    try:
        with server.worker(FUNCTIONS, projections=PROJECTIONS), Client(server.url) as client:
            yield Shop(server.url, client, fill(client, lambda: settled(client)))
    finally:
        server.stop()


def settled(client: Client) -> None:
    """Returns when no run is queued or running, but for payouts, which wait for one another."""

    def unsettled() -> list[str]:
        runs = [run for status in ("pending", "running") for run in client.runs.list(status=status)]
        return [run.id for run in runs if run.function_id != "payout"]

    eventually(lambda: not unsettled())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    service = find_chromium()
    if service.address is None or shutil.which(service.address) is None:
        pytest.skip(service.missing)
    expect.set_options(timeout=PATIENCE_MS)
    with chromium_browser(service.address) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """A page that fails its test when a script fails or the policy refuses something."""
    context = browser.new_context(viewport=WIDE, base_url=shop.url)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield opened
    context.close()
    assert faults == []
