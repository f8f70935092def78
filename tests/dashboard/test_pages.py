"""Every page in Chromium: it opens, interprets nothing that a user wrote, fits a phone; axe finds nothing serious."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import NARROW
from tests.dashboard.conftest import Shop
from tests.dashboard.screenshots import addresses
from tests.dashboard.shop_data import SECRET

AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
IDS = ("ship", "completed", "failed", "probe", "waiting", "paused", "campaign_event", "delivery")
PAGES = list(addresses(dict.fromkeys(IDS, "")))
SERIOUS = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(" ")}`)"""


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("main[data-ready] h1")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_users_wrote_as_text(page: Page, shop: Shop, name: str):
    visit(page, addresses(shop.runs)[name])
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()

    assert "BROKEN" not in page.title()
    assert page.locator("main img, main b").count() == 0
    text = page.locator("main").inner_text()
    assert "\u202e" not in text
    assert "\u0007" not in text
    assert SECRET not in page.content()
    assert page.get_by_role("alert").count() == 0


def test_marks_take_the_place_of_control_characters(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['probe']}?tab=input")

    expect(page.get_by_role("region", name="input")).to_contain_text("⟨U+202E⟩")
    expect(page.get_by_role("region", name="input")).to_contain_text("<b>probe</b>")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, shop: Shop, name: str, theme: Any):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: `make dashboard` installs it")
    context = browser.new_context(base_url=shop.url, color_scheme=theme)
    page = context.new_page()
    visit(page, addresses(shop.runs)[name])

    page.evaluate(AXE.read_text())
    found = page.evaluate(SERIOUS)
    context.close()

    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_scrolls_sideways_on_a_phone(browser: Browser, shop: Shop, name: str):
    context = browser.new_context(base_url=shop.url, viewport=NARROW)
    page = context.new_page()
    visit(page, addresses(shop.runs)[name])

    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert width <= NARROW["width"]


def test_an_unknown_address_leads_back(page: Page):
    visit(page, "/no-such-page")

    page.get_by_role("main").get_by_role("link", name="Overview").click()

    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_every_page_can_be_reached_on_a_phone(browser: Browser, shop: Shop):
    context = browser.new_context(base_url=shop.url, viewport=NARROW)
    page = context.new_page()
    visit(page, "/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="Events")).to_be_visible()

    page.get_by_role("navigation", name="History").get_by_role("link", name="SQL").click()

    expect(page.get_by_role("heading", name="SQL")).to_be_visible()
    context.close()


def test_a_group_of_many_pages_takes_one_line_on_a_phone(browser: Browser, shop: Shop):
    page = browser.new_page(base_url=shop.url, viewport=NARROW)
    visit(page, "/users")
    doors = page.get_by_role("navigation", name="Doors")
    box = doors.bounding_box()
    assert box
    assert box["height"] < 40
    expect(doors.get_by_role("link")).to_have_count(0)

    doors.get_by_text("Users and 10 more pages").click()
    doors.get_by_role("link", name="Audit").click()

    expect(page.get_by_role("heading", name="Audit")).to_be_visible()
    expect(doors.get_by_text("Audit and 10 more pages")).to_be_visible()
    expect(doors.get_by_role("link")).to_have_count(0)
    page.close()


def test_several_times_of_a_row_are_named_on_a_phone(browser: Browser, shop: Shop):
    context = browser.new_context(base_url=shop.url, viewport=NARROW)
    page = context.new_page()
    visit(page, "/streams")
    cells = page.get_by_role("row").filter(has_text="cart-1").locator("td[data-column]")
    expect(cells).to_have_count(3)

    assert [each.get_attribute("data-column") for each in cells.all()] == ["Version", "Last event", "Since"]
    context.close()


def test_a_dialog_is_within_the_window(page: Page):
    page.set_viewport_size({"width": 600, "height": 400})
    visit(page, "/events?do=emit&emit-name=parcel.wanted")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("speed")).to_be_attached()

    box = dialog.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 400
    expect(dialog.get_by_role("button", name="Emit", exact=True)).to_be_in_viewport()


def test_the_address_of_published_examples_is_marked_as_the_page_that_it_shows(page: Page):
    visit(page, "/compliance-audit?entity_id=cart-1")

    here = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Audit", exact=True)
    expect(here).to_have_attribute("aria-current", "page")
