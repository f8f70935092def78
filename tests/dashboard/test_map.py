"""The map in Chromium: what starts what, as it happened on a real server."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.browser import WIDE
from tests.dashboard.conftest import PATIENCE_MS, check_built
from tests.dashboard.test_log_in import ADMIN, log_in
from tests.dashboard.test_pages import visit


def test_the_map_shows_what_happened_and_leads_to_the_page_of_each_thing(page: Page):
    visit(page, "/map")
    links = page.get_by_role("list", name="Links of the map")
    page.get_by_text("As a list").click()
    expect(links).to_contain_text(re.compile("order.placed started process-order 1[0-9] times, [0-9] failed"))
    expect(links).to_contain_text("process-order invoked ship")
    expect(links).to_contain_text("announce published to campaigns.north once")
    expect(links).to_contain_text("mail.orders is read by mailers")

    page.get_by_role("region", name="Map").get_by_role("link", name=re.compile("^process-order")).click()

    expect(page.get_by_role("heading", name="process-order")).to_be_visible()


def test_a_part_of_a_name_keeps_what_is_connected_with_it(page: Page):
    visit(page, "/map")
    page.get_by_label("Find on the map").fill("campaign.started")

    boxes = page.get_by_role("region", name="Map").get_by_role("link")
    expect(boxes.filter(has_text="announce")).to_be_visible()
    expect(boxes.filter(has_text="stock.changed")).to_have_count(0)
    expect(page).to_have_url(re.compile("find=campaign.started"))
    page.get_by_label("Find on the map").fill("no such thing")
    page.get_by_role("button", name="Show all").click()
    expect(boxes.filter(has_text="stock.changed")).to_be_visible()


@pytest.mark.parametrize(("role", "sees"), [("role_viewer", True), (None, False)])
def test_a_viewers_key_sees_the_map_and_another_sees_what_it_needs(
    browser: Browser, tmp_path: Path, role: str | None, sees: bool
):
    check_built()
    server = ServerProcess(tmp_path, admin_key=ADMIN)
    context = browser.new_context(viewport=WIDE, base_url=server.url)
    context.set_default_timeout(PATIENCE_MS)
    try:
        with Client(server.url, api_key=ADMIN) as client:
            client.functions.register(id="settle", triggers=[{"event": "order.paid"}])
            client.emit("order.paid", {"id": "1"})
            key = client.api_keys.create("map", roles=[role] if role else []).key
        page = context.new_page()
        page.goto("/map")
        log_in(page, key)

        if sees:
            expect(
                page.get_by_role("region", name="Map").get_by_role("link", name=re.compile("^settle"))
            ).to_be_visible()
            expect(page.get_by_role("main").get_by_role("alert")).to_have_count(0)
        else:
            expect(page.get_by_role("main").get_by_role("alert")).to_contain_text("functions:read")
    finally:
        context.close()
        server.stop()
