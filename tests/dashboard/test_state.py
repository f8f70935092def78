"""Topics, groups, KV, config and schemas in Chromium, against a real server."""

import json
import re

from playwright.sync_api import Locator, Page, Route, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit
from tests.support.waiting import eventually


def write(page: Page, editor: Locator, text: str) -> None:
    """Replaces the text of an editor."""
    editor.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


def test_a_topic_shows_its_messages_as_they_are_published(page: Page, shop: Shop):
    visit(page, "/topics/mail.orders")
    messages = page.get_by_role("table", name="Messages")
    expect(messages).to_contain_text("customer-0")
    page.get_by_role("button", name="Publish…").click()
    dialog = page.get_by_role("dialog")

    dialog.get_by_label("Data, JSON").fill('{"to": "customer-9"}')
    dialog.get_by_role("button", name="Publish", exact=True).click()

    expect(messages.get_by_role("row").nth(1)).to_contain_text("customer-9")
    expect(dialog).to_have_count(0)


def test_a_state_that_is_not_that_of_the_moment_is_named_as_such(page: Page, shop: Shop):
    def inexact(route: Route) -> None:
        answer = route.fetch()
        found = answer.json()
        as_of = {
            "moment": found["updated_at"],
            "exact": False,
            "last_event_seq": 7,
            "missing": "states were \u202edropped",
        }
        route.fulfill(response=answer, json={**found, "as_of": as_of})

    page.route(re.compile(r"/api/v1/projections/cart-totals\?.*as_of="), inexact)
    visit(page, "/projections/cart-totals")
    state = page.get_by_role("region", name="State")
    expect(state.get_by_text("After event")).to_be_visible()
    expect(state.get_by_role("status")).to_have_count(0)

    visit(page, "/projections/cart-totals?as_of=0s")

    expect(state.get_by_role("status")).to_contain_text("Not the state of that time: the last one kept before it")
    expect(state.get_by_role("status")).to_contain_text("states were ⟨U+202E⟩dropped")
    # The page asks again while it is shown: an answer that is still on its way would be that of the next test.
    page.unroute_all(behavior="wait")


def test_a_group_that_is_behind_without_a_member_is_named(page: Page, shop: Shop):
    visit(page, "/groups")

    row = page.get_by_role("row").filter(has_text="mailers")
    expect(row).to_contain_text("behind and no member")
    expect(row).to_contain_text("2 dead letters")


def test_a_chosen_dead_letter_is_replayed(page: Page, shop: Shop):
    before = list(shop.client.consumer_groups.dead_letters("mailers"))
    visit(page, "/groups/mailers?namespace=default")
    page.get_by_role("checkbox", name=f"Choose {before[0].event_id}").check()

    page.get_by_role("button", name="Replay 1…").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay", exact=True).click()

    expect(page.get_by_role("table", name="Dead letters").get_by_role("row")).to_have_count(len(before))
    assert len(list(shop.client.consumer_groups.dead_letters("mailers"))) == len(before) - 1


def test_a_group_is_paused_and_resumed(page: Page, shop: Shop):
    visit(page, "/groups/billing?namespace=default")

    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("note")).to_contain_text("nothing is handed out")
    page.get_by_role("button", name="Resume", exact=True).click()

    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert shop.client.consumer_groups.get("billing").status == "active"


def test_a_key_is_edited_with_its_history_and_followed(page: Page, shop: Shop):
    visit(page, "/kv/sessions")
    page.get_by_label("Filter keys").fill("user.*")
    page.get_by_label("Filter keys").press("Enter")
    expect(page.get_by_role("row").filter(has_text="motd")).to_have_count(0)
    page.get_by_role("link", name="user.1").click()
    value = page.get_by_role("region", name="value", exact=True)
    expect(value).to_contain_text('page: "/pay"')
    page.get_by_role("button", name="Edit…").click()

    write(page, page.get_by_role("dialog"), '{"cart": "cart-1", "page": "/done"}')
    page.get_by_role("dialog").get_by_role("button", name="Save").click()

    expect(value).to_contain_text('page: "/done"')
    expect(page.get_by_role("heading", name="Changed since revision")).to_be_visible()
    shop.client.kv.bucket("sessions").put("user.1", {"page": "/elsewhere"})
    expect(value).to_contain_text('page: "/elsewhere"')
    page.get_by_role("region", name="History").get_by_role("button").nth(2).click()
    expect(value).to_contain_text('page: "/pay"')
    expect(page).to_have_url(re.compile("revision="))


def test_a_conflict_keeps_both_values(page: Page, shop: Shop):
    bucket = shop.client.kv.bucket("sessions")
    visit(page, "/kv/sessions/user.2")
    page.get_by_role("button", name="Edit…").click()
    dialog = page.get_by_role("dialog")
    write(page, dialog, '{"mine": true}')
    bucket.put("user.2", {"theirs": True})

    dialog.get_by_role("button", name="Save").click()

    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog).to_contain_text('"theirs": true')
    expect(dialog.locator(".cm-content")).to_contain_text("mine")
    dialog.get_by_role("button", name=re.compile("Replace revision")).click()
    expect(dialog).to_have_count(0)
    assert json.loads(bucket.get("user.2").value) == {"mine": True}


def test_a_bucket_and_a_key_are_made_and_deleted(page: Page, shop: Shop):
    visit(page, "/kv")
    page.get_by_role("button", name="New bucket…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("spare")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    page.get_by_role("link", name="spare").click()
    page.get_by_role("button", name="New key…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill("a")
    write(page, dialog, "plain")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="a", exact=True).click()
    expect(page.get_by_text("plain", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()

    expect(page.get_by_text("The key was deleted at this revision.")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="spare").first.click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("spare")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page).to_have_url(re.compile("/kv$"))
    assert [bucket.name for bucket in shop.client.kv.buckets()] == ["sessions"]


def test_a_document_is_saved_after_its_changes_were_shown(page: Page, shop: Shop):
    visit(page, "/config/prices")
    page.get_by_role("button", name="Edit…").click()
    dialog = page.get_by_role("dialog")
    write(page, dialog, "[1]")
    expect(dialog.get_by_text("A document is a JSON object")).to_be_visible()
    write(page, dialog, '{"vat": 0.25, "currency": "EUR"}')

    expect(dialog.get_by_role("table")).to_contain_text("0.19")
    dialog.get_by_role("button", name="Save").click()

    expect(page.get_by_role("region", name="document")).to_contain_text("vat: 0.25")
    assert shop.client.config.get("prices").data == {"vat": 0.25, "currency": "EUR"}
    shop.client.config.patch("prices", {"vat": 0.3})
    expect(page.get_by_role("region", name="document")).to_contain_text("vat: 0.3")
    expect(page.get_by_role("heading", name="Changed since revision")).to_be_visible()


def test_two_versions_of_a_schema_are_compared_and_a_third_registered(page: Page, shop: Shop):
    visit(page, "/schemas/cart.paid")
    expect(page.get_by_role("region", name="Difference")).to_contain_text("properties")
    page.get_by_role("button", name="Register a version…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Version")).to_have_value("3")
    write(page, dialog, '{"type": "object", "required": ["customer", "currency"]}')

    dialog.get_by_role("button", name="Register", exact=True).click()

    eventually(lambda: shop.client.schemas.get("cart.paid").version == 3)
    expect(page.get_by_role("region", name="Difference")).to_contain_text('"currency"')


def test_a_schema_is_checked_against_past_events_before_it_is_registered(page: Page, shop: Shop):
    visit(page, "/schemas")
    page.get_by_role("button", name=re.compile("^Register")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Event", exact=True).fill("cart.opened")

    dialog.get_by_role("button", name="Check against past events").click()

    expect(dialog.get_by_role("status")).to_contain_text("All of 3 events fit.")
    shop.client.streams.append("cart-9", "cart.opened", [], entity_type="cart")
    dialog.get_by_role("button", name="Check against past events").click()
    expect(dialog.get_by_role("status")).to_contain_text("1 of 4 events do not fit.")
    expect(dialog.get_by_role("status").get_by_role("link")).to_have_count(1)


def test_a_registered_version_is_checked_against_its_events(page: Page, shop: Shop):
    shop.client.schemas.register("bill.sent", 1, schema={"type": "object", "required": ["to"]})
    shop.client.emit("bill.sent", {"to": "ada"})
    bad = shop.client.emit("bill.sent", {"for": "ada"})
    visit(page, "/schemas/bill.sent")

    page.get_by_role("button", name="Check against past events").click()

    result = page.get_by_role("main").get_by_role("status")
    expect(result).to_contain_text("1 of 2 events do not fit.")
    expect(result.get_by_role("link", name=bad.event_id)).to_be_visible()
    expect(result).to_contain_text('"to" is a required property')
