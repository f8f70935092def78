"""The page of a function in Chromium: versions, next times, lanes and schedules, against a real server."""

import re

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit


def test_versions_have_their_difference_and_the_address_holds_the_choice(page: Page, shop: Shop):
    visit(page, "/functions/archive")
    versions = page.get_by_role("list", name="Versions", exact=True).get_by_role("listitem")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text("more attempts")
    difference = page.get_by_role("region", name="Difference")
    expect(difference.get_by_role("row").filter(has_text="retry.max_attempts")).to_contain_text("15")

    page.get_by_role("button", name="version 1").click()

    expect(page).to_have_url(re.compile("version=1"))
    expect(difference).to_have_count(0)


def test_the_next_times_of_a_cron_are_listed(page: Page):
    visit(page, "/functions/archive")

    times = page.get_by_role("list", name="Next times").get_by_role("listitem")
    expect(times).to_have_count(5)
    expect(times.first).to_contain_text("-02-29T02:00:00.000Z")
    expect(times.first).to_contain_text("Europe/Berlin")


def test_lanes_show_holders_and_the_queue(page: Page, shop: Shop):
    visit(page, "/functions/payout")

    acme = page.get_by_role("list", name="Concurrency lanes").get_by_role("listitem").filter(has_text="acme")
    expect(acme).to_contain_text("1 of 1 held, 2 wait")
    holder, waiting = shop.runs["payout-0"], shop.runs["payout-1"]
    expect(acme.get_by_role("link")).to_have_count(3)
    assert [link.get_attribute("href") for link in acme.get_by_role("link").all()[:2]] == [
        f"/runs/{holder}",
        f"/runs/{waiting}",
    ]


def test_a_function_leads_to_a_new_schedule_of_its_own(page: Page):
    visit(page, "/functions/long")
    page.get_by_role("link", name="New schedule…").click()

    expect(page.get_by_role("dialog").get_by_label("Function")).to_have_value("long")


def test_a_function_lists_its_schedules(page: Page):
    visit(page, "/functions/settle")
    page.get_by_role("list", name="Schedules").get_by_role("link", name="nightly-settlement").click()

    expect(page.get_by_role("heading", name="nightly-settlement")).to_be_visible()
