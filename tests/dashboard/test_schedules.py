"""Schedules in Chromium: made, changed, paused, triggered, backfilled and deleted, against a real server."""

import re

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit
from tests.support.waiting import eventually


def test_a_schedule_is_made_changed_and_deleted(page: Page, shop: Shop):
    visit(page, "/schedules")
    page.get_by_role("button", name="New schedule…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id", exact=True).fill("weekly")
    dialog.get_by_label("Function").fill("ship")
    dialog.get_by_label("Interval").check()
    dialog.get_by_role("textbox", name="Interval").fill("often")
    expect(dialog.get_by_text("a number with a unit")).to_be_visible()
    expect(dialog.get_by_role("button", name="Create")).to_be_disabled()
    dialog.get_by_role("textbox", name="Interval").fill("7d")
    dialog.get_by_label("Input of its runs").fill('{"order": "weekly"}')
    expect(dialog.get_by_role("button", name="CLI")).to_have_attribute(
        "title", """ironflow schedule create weekly ship --every 7d --overlap all --data '{"order": "weekly"}'"""
    )
    dialog.get_by_role("button", name="Create").click()
    page.get_by_role("link", name="weekly").click()
    expect(page.get_by_role("main")).to_contain_text("every 7 d")
    expect(page.get_by_role("list", name="Next times").get_by_role("listitem")).to_have_count(5)

    page.get_by_role("button", name="Change…").click()
    dialog.get_by_label("Cron expression").check()
    dialog.get_by_role("textbox", name="Cron expression").fill("not cron")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("textbox", name="Cron expression").fill("0 6 * * 1")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("main")).to_contain_text("0 6 * * 1")
    assert shop.client.schedules.get("weekly").input == {"order": "weekly"}

    page.get_by_role("button", name="Delete…").click()
    dialog.get_by_role("textbox").fill("weekly")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page).to_have_url(re.compile("/schedules$"))
    assert "weekly" not in [each.id for each in shop.client.schedules.list()]


def test_a_schedule_is_paused_and_resumed(page: Page, shop: Shop):
    visit(page, "/schedules/launch")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert shop.client.schedules.get("launch").status == "paused"

    page.get_by_role("button", name="Resume").click()

    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_schedule_is_triggered_and_its_run_opened(page: Page, shop: Shop):
    shop.client.schedules.create("parcels", "ship", {"order": "p"}, every="30d")
    visit(page, "/schedules/parcels")
    page.get_by_role("button", name="Trigger now…").click()

    page.get_by_role("dialog").get_by_role("button", name="Start the run").click()

    expect(page).to_have_url(re.compile("/runs/run_"))
    expect(page.get_by_role("main")).to_contain_text("ship")


def test_a_backfill_shows_how_many_runs_it_starts(page: Page, shop: Shop):
    shop.client.schedules.create("hourly", "ship", {"order": "h"}, cron="0 * * * *")
    visit(page, "/schedules/hourly?do=backfill")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Ticks later than").fill("2026-01-01T00:00:00Z")
    dialog.get_by_label("Up to").fill("2026-01-01T04:30:00Z")

    expect(dialog.get_by_role("status")).to_contain_text("4 runs of ship")
    dialog.get_by_label("Up to").fill("2025-01-01T00:00:00Z")
    expect(dialog.get_by_text("the earlier first")).to_be_visible()
    dialog.get_by_label("Up to").fill("2026-01-01T02:30:00Z")
    dialog.get_by_role("button", name="Start 2 runs").click()

    expect(dialog).to_have_count(0)
    eventually(lambda: backfilled(shop) == 2)


def backfilled(shop: Shop) -> int:
    starts = (run.event_id for run in shop.client.runs.list(function_id="ship") if run.event_id)
    events = [shop.client.events.get(event) for event in starts]
    return len([event for event in events if (event.metadata or {}).get("schedule") == "hourly"])


def test_the_address_holds_the_filter_and_an_empty_list_leads_back(page: Page):
    visit(page, "/schedules")
    page.get_by_label("Status").select_option("paused")
    expect(page.get_by_role("row").filter(has_text="stock-check")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="nightly-settlement")).to_have_count(0)
    expect(page).to_have_url(re.compile("status=paused"))

    visit(page, "/schedules?function=no-such")

    expect(page.get_by_text("No schedule is so.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("row").filter(has_text="nightly-settlement")).to_be_visible()


def test_the_palette_finds_the_page(page: Page):
    visit(page, "/")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search or do anything").fill("sched")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Schedules")).to_be_visible()
