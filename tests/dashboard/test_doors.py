"""Keys, roles, policies, environments and the audit trail in Chromium, against a real server."""

import re

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit


def test_a_key_is_made_shown_once_rotated_and_revoked(page: Page, shop: Shop):
    visit(page, "/keys")
    page.get_by_role("button", name="New key…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("browser")
    dialog.get_by_label("Lifetime").fill("soon")
    expect(dialog.get_by_role("button", name="Create")).to_be_disabled()
    dialog.get_by_label("Lifetime").fill("3d")
    dialog.get_by_label("developer").uncheck()
    dialog.get_by_label("viewer").check()
    dialog.get_by_role("button", name="Create").click()
    secret = page.get_by_label("The new key", exact=True).last
    expect(secret).to_contain_text("ifkey_")
    first = secret.inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()

    row = page.get_by_role("row").filter(has_text="browser")
    expect(row).to_contain_text("viewer expires in 2 d 23 h")
    assert first not in page.content()
    row.get_by_role("button", name="Rotate…").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.get_by_label("The new key", exact=True).last).to_contain_text("ifkey_")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(row).to_contain_text("the key before the rotation works for")
    row.get_by_role("button", name="Revoke…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("browser")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert "browser" not in [key.name for key in shop.client.api_keys.list()]


def test_the_roles_of_a_key_are_changed(page: Page, shop: Shop):
    visit(page, "/keys")
    row = page.get_by_role("row").filter(has_text="worker")
    row.get_by_role("button", name="Roles…").click()

    page.get_by_role("dialog").get_by_label("viewer").check()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()

    expect(row).to_contain_text("developer, viewer")


def test_a_role_gets_a_policy_that_was_tried(page: Page, shop: Shop):
    visit(page, "/policies")
    page.get_by_role("button", name="New policy…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("carts-only")
    dialog.get_by_label("Actions").fill("events:emit")
    dialog.get_by_label("Condition").fill('request.event.startsWith("cart.")')
    dialog.get_by_role("button", name="Try").click()
    expect(dialog.get_by_role("status")).to_contain_text("does not hold")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="carts-only")).to_be_visible()

    visit(page, "/roles")
    page.get_by_role("button", name="New role…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("carts")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    row = page.get_by_role("row").filter(has_text=re.compile("^carts"))
    expect(row).to_contain_text("nothing: it has no policy")
    row.get_by_role("button", name="Policies…").click()
    page.get_by_role("dialog").get_by_label(re.compile("carts-only")).check()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()

    expect(row).to_contain_text("allows events:emit on * where its condition holds")


def test_it_is_explained_whether_a_key_may_do_something(page: Page, shop: Shop):
    key = next(key for key in shop.client.api_keys.list() if key.name == "worker")
    visit(page, "/policies")
    page.get_by_role("button", name="May a key…?").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id of the key").fill(key.id)

    dialog.get_by_role("button", name="Explain").click()

    expect(dialog.get_by_role("status")).to_contain_text("Yes")


def test_an_environment_is_made_entered_and_cannot_be_missed(page: Page, shop: Shop):
    visit(page, "/environments")
    page.get_by_role("button", name="New environment…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("production")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="production")
    expect(row).to_contain_text("red")
    row.get_by_role("button", name="Go there").click()

    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_label("Environment")).to_have_value("production")
    expect(page.locator("header.red")).to_be_visible()
    expect(page.get_by_text("Nothing has run here yet")).to_be_visible()


def test_the_audit_trail_is_filtered_and_leads_to_its_run(page: Page, shop: Shop):
    visit(page, "/audit")
    page.get_by_label("Filter the audit trail").fill(f"run:{shop.runs['failed']} type:run.status_changed")
    page.get_by_label("Filter the audit trail").press("Enter")
    rows = page.get_by_role("table", name="Audit trail").get_by_role("row")
    expect(rows.filter(has_text="Failed: insufficient funds").first).to_be_visible()

    rows.nth(1).get_by_role("link", name=re.compile("run_")).click()

    expect(page).to_have_url(re.compile(shop.runs["failed"]))


def test_the_published_address_shows_an_entity_with_the_runs_that_it_started(page: Page, shop: Shop):
    shop.client.streams.append("order-77", "order.placed", {"id": "ord_s", "items": []}, entity_type="order")

    visit(page, "/compliance-audit?entity_id=order-77")

    entity = page.get_by_role("region", name="Entity")
    expect(entity).to_contain_text("order.placed")
    expect(entity).to_contain_text("process-order")


def test_a_setting_is_found_with_where_its_value_came_from(page: Page, shop: Shop):
    visit(page, "/settings")
    page.get_by_label("Find a setting").fill("lease_ms")

    expect(page.get_by_role("listitem").filter(has_text="lease_ms")).to_contain_text("default")
