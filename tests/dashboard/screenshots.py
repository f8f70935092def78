"""`make screenshots`: every page, dark and light, wide and narrow, as PNG files for people to look at.

python -m tests.dashboard.screenshots FOLDER [NAME...]
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from playwright.sync_api import Browser, Page, Request

from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.browser import NARROW, WIDE, chromium_browser
from tests.dashboard.shop import FUNCTIONS, fill
from tests.dashboard.shop_data import PROJECTIONS

LOOK_MS, QUIET_LOOKS = 100, 4
SIZES = {"wide": WIDE, "narrow": NARROW}


def addresses(runs: dict[str, str]) -> dict[str, str]:
    """The pages, each in a state that shows what it can, by the name of the file."""
    return {
        "overview": "/",
        "errors": "/errors",
        "runs": "/runs",
        "runs-failed": "/runs?filter=" + quote("status:failed"),
        "run-completed": f"/runs/{runs['completed']}",
        "run-failed": f"/runs/{runs['failed']}?step=charge-card",
        "run-waiting": f"/runs/{runs['waiting']}",
        "run-probe": f"/runs/{runs['probe']}?step=reserve-stock",
        "run-branch": f"/runs/{runs['ship']}?step=quote-courier&branch=" + quote("quotes[1]"),
        "runs-compare": f"/runs/compare?a={runs['completed']}&b={runs['failed']}",
        "runs-compare-choice": f"/runs/compare?a={runs['failed']}",
        "events": "/events",
        "events-tail": "/events?tail=on",
        "event-form": "/events?do=emit&emit-name=parcel.wanted",
        "event-form-json": "/events?do=emit&emit-name=parcel.wanted&emit-view=json",
        "event": f"/events/{runs['campaign_event']}",
        "functions": "/functions",
        "function-discover": "/functions?do=discover&endpoint=" + quote("https://shop.example/api/ironflow"),
        "function": "/functions/process-order",
        "schedules": "/schedules",
        "schedule": "/schedules/nightly-settlement",
        "schedule-form": "/schedules?new=1",
        "schedule-backfill": "/schedules/nightly-settlement?do=backfill",
        "function-versions": "/functions/archive",
        "function-lanes": "/functions/payout",
        "map": "/map",
        "map-find": "/map?find=ship",
        "workers": "/workers",
        "streams": "/streams",
        "stream": "/streams/cart-1?version=4",
        "projections": "/projections",
        "projection": "/projections/cart-totals?partition=customer-1",
        "projection-sql": "/projections/orders",
        "sql": "/sql?query=" + quote("SELECT seq, name, entity_id, data FROM events ORDER BY seq DESC LIMIT 30"),
        "topics": "/topics",
        "topic": "/topics/mail.orders",
        "groups": "/groups",
        "group": "/groups/mailers?namespace=default",
        "kv": "/kv",
        "kv-bucket": "/kv/sessions",
        "kv-key": "/kv/sessions/user.1",
        "config": "/config",
        "config-document": "/config/prices",
        "schemas": "/schemas",
        "schema": "/schemas/cart.paid",
        "secrets": "/secrets",
        "webhooks": "/webhooks",
        "webhook": "/webhooks/github",
        "deliveries": "/deliveries",
        "delivery": f"/deliveries/{runs['delivery']}",
        "limits": "/limits",
        "keys": "/keys",
        "users": "/users",
        "user-form": "/users?new=1",
        "roles": "/roles",
        "policies": "/policies",
        "environments": "/environments",
        "audit": "/audit",
        "settings": "/settings",
        "gallery": "/gallery",
        "gallery-dialog": "/gallery?dialog=1",
        "audit-entity": "/compliance-audit?entity_id=cart-1",
    }


class Asked:
    """What a page has asked for and not got yet; streams of changes never end, and do not count."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pending: set[Request] = set()
        page.on("request", self._begin)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._end)

    def _begin(self, request: Request) -> None:
        if request.headers.get("accept") != "text/event-stream":
            self._pending.add(request)

    def _end(self, request: Request) -> None:
        self._pending.discard(request)

    def visit(self, address: str) -> None:
        """Opens an address and returns when all of the page has come."""
        self._page.goto(address)
        self._page.wait_for_selector("main[data-ready]")
        self.wait()

    def wait(self) -> None:
        """Returns when all of it has come, and nothing else was asked for meanwhile."""
        quiet = 0
        while quiet < QUIET_LOOKS:
            self._page.wait_for_timeout(LOOK_MS)
            quiet = 0 if self._pending else quiet + 1


class Shop(NamedTuple):
    """A server with runs of every kind. pages: as of `addresses`."""

    url: str
    browser: Browser
    pages: dict[str, str]


@contextmanager
def opened_shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as data:
        server = ServerProcess(Path(data))
        try:
            with server.worker(FUNCTIONS, projections=PROJECTIONS), Client(server.url) as client:
                pages = addresses(fill(client, lambda: time.sleep(3)))
                with chromium_browser() as browser:
                    yield Shop(server.url, browser, pages)
        finally:
            server.stop()


def shoot(shop: Shop, folder: Path, pages: dict[str, str]) -> None:
    for theme in ("light", "dark"):
        for size, viewport in SIZES.items():
            scheme: Any = theme
            context = shop.browser.new_context(viewport=viewport, color_scheme=scheme, base_url=shop.url)
            page = context.new_page()
            asked = Asked(page)
            for name, address in pages.items():
                asked.visit(address)
                page.screenshot(path=folder / f"{name}-{theme}-{size}.png")
            context.close()


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with opened_shop() as shop:
        shoot(shop, folder, {name: address for name, address in shop.pages.items() if not names or name in names})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
