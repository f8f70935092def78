"""Webhooks, their deliveries, secrets and limits in Chromium, against a real server."""

import re

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.shop_data import SECRET
from tests.dashboard.test_pages import visit


def test_a_source_is_made_and_its_token_shown_once(page: Page, shop: Shop):
    visit(page, "/webhooks")
    page.get_by_role("button", name="New source…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id", exact=True).fill("billing")
    dialog.get_by_role("combobox").select_option("stripe")
    expect(dialog.get_by_role("button", name="Create")).to_be_disabled()
    dialog.get_by_label("Signing secret").fill("whsec_1")
    dialog.get_by_role("button", name="Create").click()
    url = page.get_by_label("The ingest URL")
    expect(url).to_contain_text("?token=ifwh_")
    token = url.inner_text().split("token=")[1]
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("link", name="billing", exact=True).click()

    expect(page.get_by_role("heading", name="billing")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("signature")
    assert token not in page.content()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("billing")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page).to_have_url(re.compile("/webhooks$"))
    assert [source.id for source in shop.client.webhooks.list()] == ["github"]


def test_a_request_is_tried_without_being_recorded(page: Page, shop: Shop):
    before = len(list(shop.client.webhooks.deliveries()))
    visit(page, "/webhooks/github")
    page.get_by_role("button", name="Try a request…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Headers").fill("nonsense")
    expect(dialog.get_by_text("is no header")).to_be_visible()
    dialog.get_by_label("Headers").fill("X-GitHub-Event: push\nX-Hub-Signature-256: sha256=00")
    dialog.get_by_label("Secret").fill("s3cret")

    dialog.get_by_role("button", name="Try", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("not genuine")
    expect(dialog.get_by_role("status")).to_contain_text("push")
    assert len(list(shop.client.webhooks.deliveries())) == before


def test_a_refused_delivery_is_replayed_once_the_secret_is_right(page: Page, shop: Shop):
    visit(page, "/webhooks/github?status=rejected")
    page.get_by_role("button", name="Rotate the secret…").click()
    page.get_by_role("dialog").get_by_label("New secret").fill("another")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("main")).to_contain_text("or the previous one")

    page.get_by_role("button", name="Replay the rejected ones…").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay up to 100").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Status", exact=True).select_option("accepted")

    expect(page.get_by_role("link", name="github.star")).to_be_visible()
    visit(page, f"/deliveries/{shop.runs['delivery']}")
    expect(page.get_by_text("Replayed as")).to_be_visible()


def test_a_secret_is_stored_replaced_and_deleted_and_never_shown(page: Page, shop: Shop):
    visit(page, "/secrets")
    page.get_by_role("button", name="New secret…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("not a name")
    expect(dialog.get_by_text("A name has")).to_be_visible()
    dialog.get_by_label("Name").fill("SMTP_PASSWORD")
    dialog.get_by_label("Value").fill("hunter2-hunter2")
    dialog.get_by_role("button", name="Store").click()
    row = page.get_by_role("row").filter(has_text="SMTP_PASSWORD")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Replace…").click()
    page.get_by_role("dialog").get_by_label("Value").fill("hunter3-hunter3")
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()

    expect(row).to_contain_text("2")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not [value for value in ("hunter2", "hunter3", SECRET) if value in page.content()]
    row.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("SMTP_PASSWORD")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    assert [secret.name for secret in shop.client.secrets.list()] == ["STRIPE_KEY"]


def test_a_limit_is_set_changed_and_removed(page: Page, shop: Shop):
    visit(page, "/limits")
    page.get_by_role("button", name="New limit…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("For").fill("staging")
    expect(dialog.get_by_text("A limit is for")).to_be_visible()
    dialog.get_by_label("For").fill("env:staging")
    dialog.get_by_label("Requests a second").fill("50")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="environment staging")
    expect(row).to_contain_text("50")
    row.get_by_role("button", name="Change…").click()
    page.get_by_role("dialog").get_by_label("Open sockets").fill("1500")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(row).to_contain_text("1,500")
    row.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()

    expect(row).to_have_count(0)
    assert [limit.subject for limit in shop.client.limits.list()] == ["key:*"]
