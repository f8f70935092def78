"""The live tail in Chromium: bounded, counted, and still while it is looked at, against a real server."""

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit


def emit(shop: Shop, name: str, count: int) -> None:
    shop.client.emit_batch([{"name": name, "data": {"number": number}} for number in range(count)])


def test_events_arrive_and_only_those_in_sight_are_in_the_document(page: Page, shop: Shop):
    visit(page, "/events?tail=on")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    emit(shop, "tail.first", 100)
    expect(page.get_by_role("status").filter(has_text="100 events")).to_be_visible()

    assert page.get_by_role("table", name="Live tail").get_by_role("row").count() < 60
    expect(page.get_by_role("table", name="Live tail")).to_contain_text("tail.first")


def test_nothing_moves_under_the_pointer(page: Page, shop: Shop):
    visit(page, "/events?tail=on")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    emit(shop, "tail.before", 5)
    table = page.get_by_role("table", name="Live tail")
    expect(table).to_contain_text("tail.before")
    page.get_by_role("region", name="Newest events").hover()
    emit(shop, "tail.after", 7)
    expect(page.get_by_role("button", name="7 new")).to_be_visible()
    expect(table).not_to_contain_text("tail.after")

    page.get_by_role("button", name="7 new").click()

    expect(table).to_contain_text("tail.after")


def test_an_event_of_the_tail_is_opened(page: Page, shop: Shop):
    visit(page, "/events?tail=on")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    emit(shop, "tail.opened", 1)

    page.get_by_role("table", name="Live tail").get_by_role("link").first.click()

    expect(page.get_by_role("heading", name="tail.opened")).to_be_visible()
