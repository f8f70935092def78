"""Streams, projections and SQL in Chromium, against a real server with a real worker."""

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit
from tests.support.waiting import eventually


def test_a_stream_is_found_and_its_state_folded_at_a_version(page: Page, shop: Shop):
    visit(page, "/streams")
    page.get_by_label("Find an entity").fill("cart-2")
    page.get_by_label("Find an entity").press("Enter")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="cart-2").click()
    state = page.get_by_role("region", name="state", exact=True)
    expect(state).to_contain_text("total: 303")

    page.get_by_role("button", name="State at version 2").click()

    expect(page).to_have_url(re.compile("version=2"))
    expect(page.get_by_role("heading", name="State at version 2")).to_be_visible()
    expect(state).to_contain_text('sku: "a-0"')
    expect(state).not_to_contain_text("total")
    page.keyboard.press("]")
    expect(page.get_by_role("heading", name="State at version 3")).to_be_visible()
    expect(page.get_by_role("heading", name="Changed by version 3")).to_be_visible()


def test_a_snapshot_is_shown_where_the_fold_begins(page: Page, shop: Shop):
    visit(page, "/streams/cart-1?version=4")

    expect(page.get_by_text("upon the snapshot of version 3")).to_be_visible()
    expect(page.get_by_role("region", name="snapshot")).to_contain_text("items: 2")


def test_an_event_is_appended_and_a_conflict_keeps_what_was_typed(page: Page, shop: Shop):
    visit(page, "/streams/cart-3")
    page.get_by_role("button", name="Append…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("cart.shipped")
    dialog.get_by_label("Data, JSON").fill('{"by": "bike"}')
    shop.client.streams.append("cart-3", "cart.noted", {"customer": "customer-3"})

    dialog.get_by_role("button", name="Append", exact=True).click()

    expect(dialog.get_by_role("alert")).to_contain_text("version conflict", ignore_case=True)
    expect(dialog.get_by_label("Data, JSON")).to_have_value('{"by": "bike"}')
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("region", name="History")).to_contain_text("cart.noted")


def test_a_projection_shows_the_state_of_a_partition_and_follows_it(page: Page, shop: Shop):
    visit(page, "/projections/cart-totals?partition=customer-1")
    state = page.get_by_role("region", name="state", exact=True)
    expect(state).to_contain_text("total: 303")

    shop.client.emit("cart.filled", {"customer": "customer-1", "price": 1000})

    expect(state).to_contain_text("total: 1303")
    page.get_by_role("button", name="customer-2").click()
    expect(state).to_contain_text("total: 303")
    expect(page).to_have_url(re.compile("partition=customer-2"))


def test_a_projection_is_paused_resumed_and_rebuilt(page: Page, shop: Shop):
    visit(page, "/projections/cart-totals")
    page.get_by_role("button", name="Pause", exact=True).click()
    eventually(lambda: shop.client.projections.status("cart-totals").status == "paused")
    page.get_by_role("button", name="Resume", exact=True).click()
    eventually(lambda: shop.client.projections.status("cart-totals").status == "active")

    page.get_by_role("button", name="Rebuild…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Readers see the old version until the new one is complete")
    dialog.get_by_role("button", name="Rebuild", exact=True).click()

    expect(page.get_by_role("region", name="Rebuild")).to_contain_text("completed")


def test_a_projection_in_trouble_comes_first_with_its_error(page: Page, shop: Shop):
    eventually(lambda: shop.client.projections.status("broken-totals").status == "error", within_s=60)
    visit(page, "/projections")

    expect(page.get_by_role("row").nth(1)).to_contain_text("broken-totals")
    expect(page.get_by_role("row").nth(1)).to_contain_text("was delivered 5 times and not saved")


def test_a_deletion_asks_for_the_name(page: Page, shop: Shop):
    shop.client.sql_projections.create(
        "spare", table="CREATE TABLE proj_spare (id TEXT PRIMARY KEY)", on={"spare.made": "DELETE FROM proj_spare"}
    )
    visit(page, "/projections/spare")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete", exact=True)).to_be_disabled()

    dialog.get_by_role("textbox").fill("spare")
    dialog.get_by_role("button", name="Delete", exact=True).click()

    expect(page).to_have_url(re.compile("/projections$"))
    assert "spare" not in [each.name for each in shop.client.sql_projections.list()]


def test_a_sql_projection_is_a_table(page: Page, shop: Shop):
    visit(page, "/projections/orders")
    rows = page.get_by_role("region", name="Rows of orders")
    expect(rows.get_by_role("row")).to_have_count(4)

    page.get_by_label("WHERE").fill("customer = 'customer-2'")
    page.get_by_label("WHERE").press("Enter")

    expect(rows.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("region", name="Definition")).to_contain_text("CREATE TABLE proj_orders")


def test_a_query_is_written_run_and_its_answer_downloaded(page: Page, shop: Shop, tmp_path: Path):
    visit(page, "/sql")
    query = page.get_by_role("textbox", name="Query")
    expect(page.locator(".cm-content")).to_be_visible()
    query.click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(
        "SELECT entity_id, count(*) AS n FROM events WHERE entity_id = 'cart-1' GROUP BY entity_id"
    )

    page.keyboard.press("Control+Enter")

    answer = page.get_by_role("region", name="Answer")
    expect(answer.get_by_role("row").nth(1)).to_contain_text("cart-1")
    expect(page).to_have_url(re.compile("query=SELECT"))
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    download.value.save_as(tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text()) == [{"entity_id": "cart-1", "n": 5}]


def test_a_query_that_is_refused_keeps_its_text(page: Page, shop: Shop):
    visit(page, "/sql?query=DELETE%20FROM%20events")

    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".cm-content")).to_contain_text("DELETE FROM events")


def test_ten_thousand_rows_are_drawn_as_far_as_they_are_seen(page: Page, shop: Shop):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n"
    visit(page, "/sql?query=" + numbers.replace(" ", "%20").replace("+", "%2B"))
    answer = page.get_by_role("region", name="Answer")
    expect(answer.get_by_role("table")).to_have_attribute("aria-rowcount", "5000")
    assert answer.get_by_role("row").count() < 100

    answer.evaluate("element => element.scrollTo(0, element.scrollHeight)")

    expect(answer.get_by_text("5000", exact=True)).to_be_visible()
