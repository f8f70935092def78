"""The emit form in Chromium: from the schema of an event, as JSON, and back; against a real server."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import Shop
from tests.dashboard.test_pages import visit


def form(page: Page, address: str = "/events?do=emit&emit-name=parcel.wanted") -> Locator:
    visit(page, address)
    dialog = page.get_by_role("dialog", name="Emit an event")
    expect(dialog.get_by_role("tab", name="Form")).to_be_visible()
    return dialog


def data(shop: Shop, name: str) -> list[Any]:
    """Data and version of the recorded events of a name, the newest first."""
    return [(event.data, event.version) for event in shop.client.events.list(name=name)]


def test_the_fields_of_a_schema_make_the_event(page: Page, shop: Shop):
    visit(page, "/events")
    page.get_by_role("button", name="Emit…").click()
    dialog = page.get_by_role("dialog", name="Emit an event")
    dialog.get_by_label("Name").fill("parcel.wanted")
    expect(dialog).to_contain_text("A parcel to send")
    expect(dialog.get_by_label("Schema")).to_have_value("2")
    expect(dialog.get_by_label("insured")).to_have_value("false")

    dialog.get_by_label("id", exact=True).fill("par_1")
    dialog.get_by_label("city").fill("Jena")
    dialog.get_by_label("weight").fill("x")
    expect(dialog.get_by_text("This is no number.", exact=True)).to_be_visible()
    dialog.get_by_label("weight").fill("12")
    dialog.get_by_label("speed").select_option("fast")
    dialog.get_by_label("due").fill("2026-12-24")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.get_by_label("sku").fill("a-1")
    dialog.get_by_label("way").fill('{"by": "sea"}')
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("Recorded as")
    parcel = {"id": "par_1", "to": {"city": "Jena"}, "weight": 12, "insured": False, "speed": "fast"}
    more = {"due": "2026-12-24", "items": [{"sku": "a-1"}], "way": {"by": "sea"}}
    assert data(shop, "parcel.wanted")[0] == (parcel | more, 2)


def test_nothing_typed_is_lost_between_form_and_json_and_over_a_reload(page: Page):
    dialog = form(page)
    dialog.get_by_label("id", exact=True).fill("par_2")
    dialog.get_by_label("way").fill('{"by": ')
    dialog.get_by_role("tab", name="JSON").click()
    text = dialog.get_by_label("Data, JSON")
    expect(text).to_have_value(re.compile(r'"id": "par_2"[\s\S]*"way": \{"by": '))
    expect(dialog.get_by_role("button", name="Emit", exact=True)).to_be_disabled()
    expect(page).to_have_url(re.compile("emit-name=parcel.wanted.*emit-view=json"))

    text.fill('{"id": "par_3", "to": {}, "weight": "heavy", "unknown": [1]}')
    page.reload()

    expect(text).to_have_value('{"id": "par_3", "to": {}, "weight": "heavy", "unknown": [1]}')
    dialog.get_by_role("tab", name="Form").click()
    expect(dialog.get_by_label("id", exact=True)).to_have_value("par_3")
    expect(dialog.get_by_label("weight")).to_have_value("heavy")
    expect(dialog.get_by_label("other members")).to_have_value(re.compile("unknown"))
    expect(dialog.get_by_label("city")).to_have_value("")
    dialog.get_by_role("button", name="Start over").click()
    expect(dialog.get_by_label("id", exact=True)).to_have_value("")


def test_an_older_version_is_chosen(page: Page, shop: Shop):
    dialog = form(page)
    dialog.get_by_label("Schema").select_option("1")
    dialog.get_by_label("old").fill("as it was")
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("Recorded as")
    assert data(shop, "parcel.wanted")[0][1] == 1
    expect(page).to_have_url(re.compile("emit-version=1"))


def test_what_the_server_finds_stands_at_the_field(page: Page, shop: Shop):
    dialog = form(page)
    dialog.get_by_label("id", exact=True).fill("p")
    dialog.get_by_label("weight").fill("31")
    refusal = {
        "error": "SCHEMA_VIOLATION",
        "message": "The data does not fit its schema.",
        "details": {
            "violations": [
                {"path": "/to", "reason": '"city" is a required property'},
                {"path": "/weight", "reason": "the value is greater than the maximum of 30"},
            ]
        },
    }
    page.route("**/api/v1/events", lambda route: route.fulfill(status=400, json=refusal))
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_label("city")).to_have_accessible_description("This is required.")
    expect(dialog.get_by_label("weight")).to_have_accessible_description(re.compile("greater than the maximum of 30"))
    expect(dialog.get_by_label("weight")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("weight").fill("30")
    expect(dialog.get_by_label("weight")).to_have_attribute("aria-invalid", "false")


def test_an_event_is_emitted_again_by_its_form(page: Page, shop: Shop):
    event = shop.client.emit("parcel.wanted", {"id": "par_9", "to": {"city": "Gera"}}, version=2)
    visit(page, f"/events/{event.event_id}")
    page.get_by_role("button", name="Emit again…").click()
    dialog = page.get_by_role("dialog", name="Emit an event")
    expect(dialog.get_by_label("city")).to_have_value("Gera")

    dialog.get_by_label("city").fill("Ulm")
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("Recorded as")
    assert data(shop, "parcel.wanted")[0] == ({"id": "par_9", "to": {"city": "Ulm"}}, 2)


def test_a_test_event_of_a_function_begins_as_the_last_one(page: Page, shop: Shop):
    shop.client.emit("payment.due", {"id": "inv_last"})
    visit(page, "/functions/settle")
    page.get_by_role("button", name="Emit payment.due…").click()

    text = page.get_by_role("dialog", name="Emit an event").get_by_label("Data, JSON")
    expect(text).to_have_value(re.compile("inv_last"))


def test_copying_an_emit_does_not_send_it(page: Page, shop: Shop):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = form(page)
    dialog.get_by_label("id", exact=True).fill("par_copied")
    dialog.get_by_role("button", name="CLI").click()

    expect(dialog.get_by_role("button", name="copied")).to_be_visible()
    assert "ironflow emit parcel.wanted" in page.evaluate("navigator.clipboard.readText()")
    assert "par_copied" not in str(data(shop, "parcel.wanted"))


CRATE = {
    "type": "object",
    "properties": {
        "marks": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "array", "items": {"type": "integer"}},
        "constructor": {"type": "string"},
    },
}


def test_what_is_emptied_or_half_typed_stays_under_the_fingers(page: Page, shop: Shop):
    shop.client.schemas.register("crate.wanted", 1, schema=CRATE)
    dialog = form(page, "/events?do=emit&emit-name=crate.wanted")
    expect(dialog.get_by_label("constructor")).to_have_attribute("type", "text")
    for name in ("marks", "counts"):
        dialog.get_by_role("group", name=name).get_by_role("button", name="Add", exact=True).click()
        element = dialog.get_by_label(f"{name} 1", exact=True)
        element.fill("7")
        element.press("Backspace")
        # The same field: it has the focus, and takes what is typed next.
        expect(element).to_be_focused()
        element.press("8")
        expect(element).to_have_value("8")
    dialog.get_by_label("counts 1", exact=True).fill("8x")
    expect(dialog.get_by_role("button", name="Emit", exact=True)).to_be_disabled()
    expect(dialog).to_contain_text("/counts/0: This is no number.")
    dialog.get_by_label("counts 1", exact=True).fill("8")

    dialog.get_by_role("tab", name="JSON").click()
    text = dialog.get_by_label("Data, JSON")
    text.fill('{"marks": ["8"], "counts": [8], "more": 12345678901234567890}')
    expect(dialog).to_contain_text("A browser cannot hold a number of this data exactly")
    expect(dialog.get_by_role("button", name="Emit", exact=True)).to_be_disabled()
    text.fill('{"marks": ["8"], "counts": [8], "more": 1}')
    dialog.get_by_role("tab", name="Form").click()
    others = dialog.get_by_label("other members")
    others.fill('{"more":2, ')
    expect(dialog.get_by_role("button", name="Emit", exact=True)).to_be_disabled()
    expect(others).to_have_accessible_description("This is no JSON yet.")
    others.press_sequentially('"most":3}')
    expect(others).to_have_value('{"more":2, "most":3}')
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("Recorded as")
    assert data(shop, "crate.wanted")[0] == ({"marks": ["8"], "counts": [8], "more": 2, "most": 3}, 1)


# Of the text of an element and its ground (WCAG 2).
CONTRAST = """element => {
  const light = colour => {
    const drawn = new OffscreenCanvas(1, 1).getContext("2d");
    drawn.fillStyle = colour;
    drawn.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...drawn.getImageData(0, 0, 1, 1).data].map(each => each / 255).map(
      each => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const style = getComputedStyle(element);
  const [a, b] = [light(style.color), light(style.backgroundColor)];
  return Math.max(a, b) / Math.min(a, b);
}"""


def test_what_came_of_an_emit_is_in_sight_of_a_long_form(page: Page, shop: Shop):
    members = {f"member-{number}": {"type": "string"} for number in range(40)}
    shop.client.schemas.register("list.wanted", 1, schema={"type": "object", "properties": members})
    dialog = form(page, "/events?do=emit&emit-name=list.wanted")
    dialog.get_by_label(re.compile("^member-0")).fill("x")
    emit = dialog.get_by_role("button", name="Emit", exact=True)
    emit.hover()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert emit.evaluate(CONTRAST) >= 4.5
    emit.click()

    status = dialog.get_by_role("status")
    expect(status).to_contain_text("Recorded as")
    expect(status).to_be_in_viewport(ratio=1)
    assert dialog.evaluate("each => each.scrollTop") == 0
