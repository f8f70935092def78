"""The map in Chromium: what starts what, as it happened on a real server."""

import re

from playwright.sync_api import Page, expect

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
