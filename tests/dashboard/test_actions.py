"""What people do in the dashboard, in Chromium, against a real server with a real worker."""

import json
import re
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import NARROW
from tests.dashboard.conftest import Shop, settled
from tests.support.rest_chain import a_chain
from tests.support.waiting import eventually


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("main[data-ready] h1")


def shown_number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def failed_run(shop: Shop, order: str) -> str:
    (run_id,) = shop.client.emit("order.placed", {"id": order, "card": "declined"}).run_ids
    eventually(lambda: shop.status(run_id) == "failed")
    return run_id


def test_the_cause_of_a_failed_run_is_found_its_data_patched_and_the_run_resumed(page: Page, shop: Shop):
    run_id = failed_run(shop, "ord_77")
    visit(page, "/errors")

    page.get_by_role("article").filter(has_text="CardDeclined").get_by_role("link", name=re.compile("run_")).click()
    expect(page.get_by_role("note")).to_contain_text("insufficient funds on card")
    page.goto(f"/runs/{run_id}?step=charge-card")
    page.get_by_role("region", name="Step").get_by_role("button", name="Patch output…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New output, JSON").fill("{")
    expect(dialog.get_by_text("The output is no JSON")).to_be_visible()
    expect(dialog.get_by_role("button", name="Patch output", exact=True)).to_be_disabled()
    dialog.get_by_label("New output, JSON").fill(json.dumps({"charge": "by hand"}))
    dialog.get_by_label(re.compile("Reason")).fill("paid in cash")
    dialog.get_by_role("button", name="Patch output", exact=True).click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Resume…", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("From step").select_option("")
    dialog.get_by_role("button", name="Resume", exact=True).click()

    expect(page.get_by_role("banner").or_(page.get_by_role("main")).get_by_text("completed").first).to_be_visible()
    eventually(lambda: shop.status(run_id) == "completed")
    assert shop.client.runs.get(run_id).output["paid"] == {"charge": "by hand"}


def test_what_will_run_again_is_shown_before_it_can_be_pressed(page: Page, shop: Shop):
    run_id = failed_run(shop, "ord_78")
    visit(page, f"/runs/{run_id}")

    page.get_by_role("button", name="Retry…").click()
    dialog = page.get_by_role("dialog")

    expect(dialog.get_by_role("heading", name="Runs again: 2")).to_be_visible()
    dialog.get_by_label("From step").select_option(label="charge-card · failed")
    expect(dialog.get_by_role("heading", name="Runs again: 1")).to_be_visible()
    expect(dialog.get_by_text("Keeps its result: reserve-stock")).to_be_visible()


def test_a_waiting_run_is_paused_injected_resumed_and_cancelled(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("payment.due", {"id": "inv_2"}).run_ids
    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    visit(page, f"/runs/{run_id}")
    expect(page.get_by_text("It waits in step 'payment' for event 'payment.confirmed'")).to_be_visible()

    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Inject output…").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("select").select_option(label="send-invoice · completed")
    dialog.get_by_label("New output, JSON").fill('{"invoice": "corrected"}')
    dialog.get_by_role("button", name="Inject output", exact=True).click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Resume…", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("Reason")).fill("the customer left")
    expect(dialog.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    dialog.get_by_label("to go on").fill("settle")
    dialog.get_by_role("button", name="Cancel", exact=True).click()

    # The text of the dialog has `cancelled`, too.
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("main").get_by_text("cancelled").first).to_be_visible()
    assert shop.client.runs.get(run_id).status == "cancelled"


def test_a_resume_after_a_patch_keeps_what_was_patched(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("payment.due", {"id": "inv_patched"}).run_ids
    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    shop.client.runs.pause(run_id)
    visit(page, f"/runs/{run_id}")
    page.get_by_role("button", name="send-invoice").click()
    page.get_by_role("button", name="Patch output…").last.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New output, JSON").fill('{"invoice": "patched"}')
    dialog.get_by_role("button", name="Patch output", exact=True).click()
    expect(dialog).to_be_hidden()

    page.get_by_role("button", name="Resume…", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("From step")).to_have_value("")
    dialog.get_by_role("button", name="Resume", exact=True).click()

    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    assert shop.client.runs.steps(run_id)[0].output == {"invoice": "patched"}


def test_the_playhead_shows_the_run_as_it_was(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['failed']}")
    page.get_by_role("button", name="Back one change").click()

    page.get_by_label("Instant").press("Home")

    expect(page).to_have_url(re.compile(r"[?&]at=\d+"))
    expect(page.get_by_text("As it was then.")).to_be_visible()
    expect(page.locator(".row.later").first).to_be_visible()
    address = page.url
    page.goto(address)
    expect(page.get_by_text("As it was then.")).to_be_visible()
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page).not_to_have_url(re.compile("at="))


def test_two_instants_are_compared(page: Page, shop: Shop):
    run = shop.client.runs.get(shop.runs["failed"])
    at = [int(moment.timestamp() * 1000) for moment in (run.created_at, run.ended_at) if moment]

    visit(page, f"/runs/{run.id}?at={at[0]}&with={at[1] + 1}")

    comparison = page.get_by_role("region", name="Comparison")
    expect(comparison).to_contain_text("charge-card")
    expect(comparison).to_contain_text("not begun → failed")


def test_a_child_run_opens_inline(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['completed']}")

    page.get_by_role("button", name="Steps of the child run").click()

    expect(page.get_by_role("group", name=re.compile("Child run"))).to_contain_text("quote-courier")


def test_an_emitted_event_starts_a_run_that_waits_behind_a_button(page: Page, shop: Shop):
    visit(page, "/runs")
    # The run of the first row; its status may change meanwhile, its row may not.
    first = page.locator('tbody tr a[href^="/runs/run_"]').first
    expect(first).to_be_visible()
    before = first.get_attribute("href")

    (run_id,) = shop.client.emit("order.placed", {"id": "ord_90"}).run_ids

    newer = page.get_by_role("button", name=re.compile(r"\d+ new"))
    expect(newer).to_be_visible()
    assert first.get_attribute("href") == before
    newer.click()
    expect(page.locator(f'a[href="/runs/{run_id}"]')).to_be_visible()


def test_the_emit_form_keeps_what_is_typed_until_it_is_right(page: Page, shop: Shop):
    visit(page, "/events")
    page.get_by_role("button", name="Emit…").click()
    dialog = page.get_by_role("dialog")

    dialog.get_by_label("Name").fill("order.placed")
    dialog.get_by_label("Data, JSON").fill('{"id": ')
    expect(dialog.get_by_text("The data is no JSON")).to_be_visible()
    dialog.get_by_label("Data, JSON").fill('{"id": "ord_91"}')
    dialog.get_by_role("button", name="Emit", exact=True).click()

    expect(dialog.get_by_role("status")).to_contain_text("started")
    dialog.get_by_role("link", name=re.compile("run_")).click()
    expect(page.get_by_role("heading", name="process-order")).to_be_visible()


def test_an_event_leads_to_what_it_started(page: Page, shop: Shop):
    run = shop.client.runs.get(shop.runs["completed"])
    visit(page, f"/events/{run.event_id}")

    causation = page.get_by_role("region", name="Causation", exact=True)

    expect(causation).to_contain_text("process-order")


def test_a_function_is_invoked_from_its_page(page: Page, shop: Shop):
    visit(page, "/functions/ship")
    page.get_by_role("button", name="Invoke…").click()

    page.get_by_role("dialog").get_by_label("Data, JSON").fill('{"order": "ord_92"}')
    page.get_by_role("dialog").get_by_role("button", name="Invoke", exact=True).click()

    expect(page).to_have_url(re.compile("/runs/run_"))
    settled(shop.client)
    expect(page.get_by_role("main").get_by_text("completed").first).to_be_visible()


def test_all_of_a_group_is_resumed_after_it_was_counted(page: Page, shop: Shop):
    visit(page, "/errors")
    page.get_by_role("article").filter(has_text="CardDeclined").get_by_role("button", name="Resume all…").click()
    dialog = page.get_by_role("dialog")

    expect(dialog.get_by_text("runs match")).to_be_visible()
    dialog.get_by_role("button", name=re.compile(r"Resume \d+")).click()

    expect(dialog.get_by_role("status")).to_contain_text("done")
    settled(shop.client)


def test_what_was_typed_for_a_retry_stays_while_further_runs_fail(page: Page, shop: Shop):
    failed_run(shop, "ord_93")
    visit(page, "/errors")
    group = page.locator("article").filter(has_text="CardDeclined")
    group.get_by_role("button", name="Retry all…").click()
    dialog = page.get_by_role("dialog")
    button = dialog.get_by_role("button", name=re.compile(r"Retry \d+"))
    typed = f"retry {shown_number(button.inner_text())}"
    dialog.get_by_label(re.compile("Type")).fill(typed)
    expect(button).to_be_enabled()
    shown = shown_number(group.locator("strong").last.inner_text())

    failed_run(shop, "ord_94")

    expect(group.locator("strong").last).not_to_have_text(str(shown))
    expect(dialog.get_by_text(f"Type {typed} to go on")).to_be_visible()
    expect(button).to_be_enabled()


def test_the_palette_jumps_to_a_run_by_its_id(page: Page, shop: Shop):
    visit(page, "/")
    page.keyboard.press("Control+k")

    page.get_by_role("dialog").get_by_role("combobox").fill(shop.runs["failed"])
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(shop.runs["failed"]))


def test_a_filter_survives_going_back(page: Page, shop: Shop):
    visit(page, "/runs?filter=status%3Afailed")
    page.get_by_role("link", name=re.compile("run_")).first.click()
    expect(page.get_by_role("heading", name="process-order")).to_be_visible()

    page.go_back()

    expect(page.get_by_label("Filter runs")).to_have_value("status:failed")
    expect(page.get_by_role("row").filter(has_text="completed")).to_have_count(0)


def test_chosen_runs_are_cancelled_with_a_count_before_and_progress_after(page: Page, shop: Shop):
    runs = [shop.client.emit("payment.due", {"id": f"inv_c{number}"}).run_ids[0] for number in range(3)]
    eventually(lambda: all((shop.client.runs.get(run).state or "").startswith("waiting") for run in runs))
    visit(page, "/runs?filter=function%3Asettle")
    for run in runs[:2]:
        page.get_by_role("checkbox", name=f"Choose {run}").check()

    page.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("2 runs match")).to_be_visible()
    button = dialog.get_by_role("button", name="Cancel 2")
    expect(button).to_be_disabled()
    expect(dialog.get_by_text("This cannot be undone.")).to_be_visible()
    dialog.get_by_label("to go on").fill("cancel 2")
    button.click()

    expect(dialog.get_by_role("status")).to_contain_text("done: 2 changed, 0 refused of 2")
    assert [shop.status(run) for run in runs] == ["cancelled", "cancelled", "paused"]


def test_all_runs_that_pass_the_filter_are_cancelled(page: Page, shop: Shop):
    runs = [shop.client.emit("payment.due", {"id": f"inv_all{number}"}).run_ids[0] for number in range(3)]
    eventually(lambda: all((shop.client.runs.get(run).state or "").startswith("waiting") for run in runs))
    visit(page, "/runs?filter=function%3Asettle%20status%3Awaiting")

    page.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("runs match")).to_be_visible()
    button = dialog.get_by_role("button", name=re.compile(r"Cancel \d+"))
    expect(button).to_be_disabled()
    dialog.get_by_label("to go on").fill(button.inner_text().lower())
    button.click()

    expect(dialog.get_by_role("status")).to_contain_text("done")
    eventually(lambda: all(shop.status(run) == "cancelled" for run in runs))


def test_a_view_is_saved_chosen_and_forgotten(page: Page, shop: Shop):
    visit(page, "/runs?filter=function%3Aship")
    page.get_by_role("button", name="Save view…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Parcels")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    visit(page, "/runs")

    page.get_by_label("Saved views").select_option("Parcels")

    expect(page.get_by_label("Filter runs")).to_have_value("function:ship")
    page.get_by_role("button", name="Forget view").click()
    expect(page.get_by_label("Saved views").get_by_role("option", name="Parcels")).to_have_count(0)


def test_what_an_event_led_to_is_a_graph(page: Page, shop: Shop):
    visit(page, f"/events/{shop.runs['campaign_event']}")

    graph = page.get_by_role("region", name="Causation graph")

    expect(graph.get_by_role("link", name=re.compile("announce"))).to_be_visible()
    expect(graph.get_by_role("link", name=re.compile("campaigns.north"))).to_be_visible()
    graph.get_by_role("link", name=re.compile("ship")).click()
    expect(page.get_by_role("heading", name="ship")).to_be_visible()


def test_a_push_function_is_registered_and_its_event_emitted(page: Page, shop: Shop):
    visit(page, "/functions")
    page.get_by_role("button", name="Register a push function…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id", exact=True).fill("charge-elsewhere")
    dialog.get_by_label("Endpoint").fill("shop.example")
    expect(dialog.get_by_text("http or https address")).to_be_visible()
    dialog.get_by_label("Endpoint").fill("http://127.0.0.1:9/ironflow")
    dialog.get_by_label("Event that starts it").fill("charge.wanted")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(page).to_have_url(re.compile("/functions/charge-elsewhere$"))
    page.get_by_role("button", name="Emit charge.wanted…").click()
    page.get_by_role("dialog").get_by_label("Data").fill('{"id": 7}')
    page.get_by_role("dialog").get_by_role("button", name="Emit", exact=True).click()

    eventually(lambda: list(shop.client.runs.list(function_id="charge-elsewhere")) != [])
    assert shop.client.functions.get("charge-elsewhere").endpoint_url == "http://127.0.0.1:9/ironflow"


def test_the_overview_names_groups_that_need_a_look(page: Page, shop: Shop):
    visit(page, "/")

    page.get_by_role("region", name="Groups").get_by_role("link", name="mailers").click()

    expect(page).to_have_url(re.compile("/groups/mailers"))


def test_lines_of_a_run_are_shown_when_they_are_opened(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['completed']}")

    page.get_by_text("Logs", exact=True).click()

    expect(page.get_by_role("log", name="Logs")).to_contain_text("reserving")


def test_a_run_that_restarted_leads_to_the_next_one_and_back(page: Page, shop: Shop):
    first, second = a_chain(shop.url, "chain-of-runs")
    visit(page, f"/runs/{first}")
    expect(page.get_by_text("link 0 of its chain")).to_be_visible()

    page.locator(f"a[href$='/runs/{second}']").click()

    expect(page.get_by_text("link 1 of its chain")).to_be_visible()
    expect(page.locator(f"a[href$='/runs/{first}']")).to_be_visible()


def test_resuming_chosen_runs_is_taken_back(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("payment.due", {"id": "inv_3"}).run_ids
    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    shop.client.runs.pause(run_id)
    visit(page, "/runs?filter=" + quote("status:paused function:settle"))
    page.get_by_label(f"Choose {run_id}").check()
    page.get_by_role("button", name="Resume…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Resume 1").click()
    expect(dialog.get_by_role("status")).to_contain_text("done: 1 changed")
    assert (shop.client.runs.get(run_id).state or "").startswith("waiting")

    dialog.get_by_role("button", name="Undo: pause them again").click()

    expect(dialog.get_by_text("Undo done: 1 changed, 0 refused of 1.")).to_be_visible()
    assert (shop.client.runs.get(run_id).state or "").startswith("paused")


def test_resuming_all_runs_of_a_filter_is_taken_back(page: Page, shop: Shop):
    runs = [shop.client.emit("payment.due", {"id": f"inv_back{number}"}).run_ids[0] for number in range(3)]
    eventually(lambda: all((shop.client.runs.get(run).state or "").startswith("waiting") for run in runs))
    for run_id in runs:
        shop.client.runs.pause(run_id)
    visit(page, "/runs?filter=" + quote("status:paused function:settle since:1h"))
    page.get_by_role("button", name="Resume…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("This can be undone for a day")).to_be_visible()
    dialog.get_by_role("button", name=re.compile(r"Resume \d+")).click()
    expect(dialog.get_by_role("status")).to_contain_text("done: ")
    assert all((shop.client.runs.get(run).state or "").startswith("waiting") for run in runs)

    dialog.get_by_role("button", name="Undo: pause them again").click()

    expect(dialog.get_by_text("Undo done: ")).to_be_visible()
    assert all((shop.client.runs.get(run).state or "").startswith("paused") for run in runs)


def test_runs_are_found_by_the_text_of_their_error(page: Page, shop: Shop):
    visit(page, "/runs")
    page.get_by_label("Filter runs").fill('error:"insufficient … on card"')
    page.get_by_label("Filter runs").press("Enter")

    expect(page.locator("tbody tr").filter(has_not_text="insufficient funds on card")).to_have_count(0)
    expect(page.locator("tbody tr").filter(has_text="insufficient funds on card").first).to_be_visible()


def test_runs_can_be_chosen_on_a_phone(browser: Browser, shop: Shop):
    context = browser.new_context(base_url=shop.url, viewport=NARROW)
    page = context.new_page()
    visit(page, "/runs")

    page.get_by_label(re.compile("Choose run_")).first.check()

    expect(page.get_by_role("button", name="Cancel…")).to_be_visible()
    context.close()


def test_a_long_run_has_a_map_of_its_steps_that_leads_there(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("import.started", {"rows": 250}).run_ids
    eventually(lambda: shop.status(run_id) == "completed")
    visit(page, f"/runs/{run_id}")
    expect(page.get_by_text("250 steps")).to_be_visible()
    steps = page.get_by_role("region", name="Steps")
    assert steps.evaluate("each => each.scrollTop") == 0

    page.locator("canvas").click(position={"x": 20, "y": 54})

    eventually(lambda: steps.evaluate("each => each.scrollTop") > 3000)


def test_a_step_that_scrolls_away_takes_no_focus_along(page: Page, shop: Shop):
    """Elements of rows draw other rows: Enter must not choose the step that came to stand there."""
    (run_id,) = shop.client.emit("import.started", {"rows": 251}).run_ids
    eventually(lambda: shop.status(run_id) == "completed")
    visit(page, f"/runs/{run_id}")
    expect(page.get_by_text("251 steps")).to_be_visible()
    steps = page.get_by_role("region", name="Steps")
    steps.get_by_role("button", name="row").first.focus()

    steps.evaluate("each => each.scrollTo({ top: 4000 })")

    expect(steps).to_be_focused()
    page.keyboard.press("Enter")
    assert "step=" not in page.url
