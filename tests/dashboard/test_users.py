"""Users in Chromium: made, changed, given a password, logged out and deleted, against a real server."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import NARROW, WIDE
from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit


def test_a_user_is_made_changed_and_deleted(page: Page, shop: Shop):
    visit(page, "/users")
    page.get_by_role("button", name="New user…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail address").fill("eve")
    expect(dialog.get_by_text("has a name, an @")).to_be_visible()
    dialog.get_by_label("E-mail address").fill("eve@shop.example")
    dialog.get_by_label(re.compile("Password")).fill("short")
    expect(dialog.get_by_role("button", name="Create")).to_be_disabled()
    dialog.get_by_label(re.compile("Password")).fill("long enough")
    dialog.get_by_label("developer").uncheck()
    dialog.get_by_label("viewer").check()
    dialog.get_by_role("button", name="Create").click()
    row = page.get_by_role("row").filter(has_text="eve@shop.example")
    expect(row).to_contain_text("viewer")
    expect(row).to_contain_text("never")
    assert "long enough" not in page.content()

    row.get_by_role("button", name="Change…").click()
    expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
    dialog.get_by_label("Name").fill("Eve")
    dialog.get_by_label("developer").check()
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text(re.compile("viewer, developer|developer, viewer"))
    expect(row).to_contain_text("Eve")

    row.get_by_role("button", name="Delete…").click()
    dialog.get_by_role("textbox").fill("eve@shop.example")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    assert "eve@shop.example" not in [user.email for user in shop.client.users.list()]


def test_a_new_password_takes_the_place_of_the_old_one(page: Page, shop: Shop):
    visit(page, "/users")
    page.get_by_role("row").filter(has_text="bob@shop.example").get_by_role("button", name="Password…").click()
    page.get_by_role("dialog").get_by_label(re.compile("Password")).fill("another password")
    page.get_by_role("dialog").get_by_role("button", name="Set").click()
    expect(page.get_by_role("dialog")).to_have_count(0)

    answer = page.request.post("/api/v1/auth/login", data={"email": "bob@shop.example", "password": "another password"})
    refused = page.request.post(
        "/api/v1/auth/login", data={"email": "bob@shop.example", "password": "correct horse battery"}
    )

    assert (answer.status, refused.status) == (200, 401)


def test_a_user_is_disabled_with_a_reason_and_enabled_again(page: Page, shop: Shop):
    visit(page, "/users")
    row = page.get_by_role("row").filter(has_text="ada@shop.example")
    row.get_by_role("button", name="Disable…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("Reason")).fill("left the shop")
    dialog.get_by_role("button", name="Disable", exact=True).click()

    expect(row).to_contain_text("left the shop")
    login = {"email": "ada@shop.example", "password": "correct horse battery"}
    assert page.request.post("/api/v1/auth/login", data=login).status == 401
    visit(page, "/users")
    row.get_by_role("button", name="Enable…").click()
    dialog.get_by_role("button", name="Enable", exact=True).click()
    expect(row.get_by_role("button", name="Disable…")).to_be_visible()
    expect(row).not_to_contain_text("left the shop")
    assert page.request.post("/api/v1/auth/login", data=login).status == 200


def test_a_user_is_logged_out_everywhere(page: Page, shop: Shop):
    visit(page, "/users")
    page.get_by_role("row").filter(has_text="ada@shop.example").get_by_role("button", name="Log out…").click()

    page.get_by_role("dialog").get_by_role("button", name="End all sessions").click()

    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_action_on_a_user_is_in_sight(browser: Browser, shop: Shop, size: Any):
    context = browser.new_context(base_url=shop.url, viewport=size)
    page = context.new_page()
    visit(page, "/users")
    row = page.get_by_role("row").filter(has_text="bob@shop.example")
    expect(row.get_by_role("button")).to_have_count(5)

    for button in row.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        # Within its row's box and the window: not cut off by the cell.
        within = button.evaluate(
            "(each) => { const box = each.getBoundingClientRect(); const at = document.elementFromPoint("
            "box.right - 3, box.top + box.height / 2); return at === each || each.contains(at); }"
        )
        assert within, button.inner_text()
    context.close()
