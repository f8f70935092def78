"""Two runs side by side, branches, reasons, searches in parts and charts, in Chromium on a real server and worker."""

import re

from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.dashboard.browser import NARROW
from tests.dashboard.conftest import Shop
from tests.support.waiting import eventually


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("main[data-ready] h1")


def test_two_chosen_runs_are_compared_step_by_step(page: Page, shop: Shop):
    ids = sorted((shop.runs["completed"], shop.runs["failed"]))
    names = {shop.runs["completed"]: "completed", shop.runs["failed"]: "failed"}
    visit(page, "/runs?filter=function:process-order")
    for run_id in ids:
        page.get_by_role("checkbox", name=f"Choose {run_id}").check()
    page.get_by_role("link", name="Compare the two").click()

    expect(page).to_have_url(re.compile(f"/runs/compare\\?a={ids[0]}&b={ids[1]}"))
    a, b = names[ids[0]], names[ids[1]]
    expect(page.get_by_role("status").filter(has_text="steps differ")).to_contain_text(
        f"A is {a}, B is {b}. 3 of 3 steps"
    )
    steps = page.get_by_role("table", name="Steps of both runs")
    charge = steps.get_by_role("row").filter(has=page.get_by_role("rowheader", name="charge-card"))
    expect(charge).to_contain_text("failed")
    expect(charge).to_contain_text("completed")
    ship = steps.get_by_role("row").filter(has=page.get_by_role("rowheader", name="ship"))
    expect(ship).to_contain_text(f"not in {'A' if a == 'failed' else 'B'}")
    expect(steps.get_by_text(re.compile("CardDeclined: insufficient funds"))).to_be_visible()

    page.get_by_role("checkbox", name="Only what differs").check()
    address = page.url
    assert "only=different" in address
    page.goto(address)
    expect(steps.get_by_role("rowheader", name="charge-card")).to_be_visible()
    page.get_by_role("button", name="Swap").click()
    expect(page).to_have_url(re.compile(f"a={ids[1]}&b={ids[0]}"))
    expect(page.get_by_role("status").filter(has_text="differ")).to_contain_text(f"A is {b}, B is {a}.")


def test_a_run_is_compared_with_one_of_the_latest_of_its_function_by_keyboard(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['failed']}")
    page.get_by_role("link", name="Compare with…").press("Enter")
    page.get_by_role("button", name=re.compile("run_.*completed")).first.press("Enter")

    expect(page.get_by_role("status").filter(has_text="A is failed, B is completed")).to_be_visible()
    details = page.locator("summary").filter(has_text="of charge-card")
    expect(page.get_by_text("insufficient funds").last).to_be_visible()
    details.press("Enter")
    expect(page.get_by_role("table", name="Steps of both runs").get_by_text("insufficient funds")).to_be_hidden()


def test_two_runs_fit_on_a_phone(browser: Browser, shop: Shop):
    page = browser.new_page(viewport=NARROW, base_url=shop.url)
    visit(page, f"/runs/compare?a={shop.runs['completed']}&b={shop.runs['failed']}")
    expect(page.get_by_role("table", name="Steps of both runs")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_a_missing_run_is_named_and_the_other_can_be_chosen_anew(page: Page, shop: Shop):
    visit(page, f"/runs/compare?a={shop.runs['failed']}&b=run_none")
    expect(page.get_by_role("alert")).to_contain_text("run_none")
    page.get_by_label("Run B").fill(shop.runs["completed"])
    page.get_by_label("Run B").press("Enter")
    expect(page.get_by_role("table", name="Steps of both runs")).to_be_visible()


def test_the_steps_of_an_ended_run_are_not_loaded_again_while_the_other_goes_on(page: Page, shop: Shop):
    (going,) = shop.client.emit("payment.due", {"id": "inv_compared"}).run_ids
    eventually(lambda: (shop.client.runs.get(going).state or "").startswith("waiting"))
    ended = shop.runs["failed"]
    asked = {going: 0, ended: 0}

    def is_of(request: Request, run_id: str) -> bool:
        return request.url.partition("?")[0].endswith(f"/runs/{run_id}/steps")

    def counted(request: Request) -> None:
        for run_id in asked:
            asked[run_id] += is_of(request, run_id)

    visit(page, f"/runs/compare?a={ended}&b={going}")
    summary = page.get_by_role("status").filter(has_text="A is failed, B is")
    expect(summary).to_contain_text("B is waiting")
    # What it shows from now on came with a message.
    shop.client.runs.pause(going)
    expect(summary).to_contain_text("B is paused")
    page.on("request", counted)

    shop.client.runs.cancel(going)
    expect(summary).to_contain_text("B is cancelled")

    assert asked[going] > 0
    assert asked[ended] == 0
    # An ended run that goes on again is loaded again.
    with page.expect_request(lambda request: is_of(request, ended)):
        shop.client.runs.retry(ended)
    eventually(lambda: shop.status(ended) == "failed")


def test_only_the_branch_of_the_chosen_step_is_shown_and_the_address_has_it(page: Page, shop: Shop):
    visit(page, f"/runs/{shop.runs['ship']}")
    rows = page.get_by_role("region", name="Steps", exact=True).get_by_role("listitem")
    expect(rows).to_have_count(5)
    expect(page.get_by_label(re.compile("Only this branch"))).to_have_count(0)

    page.get_by_role("button", name="quote-courier", exact=True).click()
    page.get_by_label("Only this branch, quotes[1]").check()

    expect(rows).to_have_text([re.compile("queued"), re.compile("quote-courier")])
    expect(page).to_have_url(re.compile(r"branch=quotes%5B1%5D"))
    # The playhead is drawn at an instant only.
    expect(page.locator(".track .head")).to_have_count(0)
    page.goto(page.url)
    expect(rows).to_have_count(2)
    page.get_by_label("Only this branch, quotes[1]").uncheck()
    expect(rows).to_have_count(5)


def test_the_reason_of_a_pause_and_of_its_resume_are_shown(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("payment.due", {"id": "inv_reason"}).run_ids
    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    visit(page, f"/runs/{run_id}")
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("dialog").get_by_label(re.compile("Reason")).fill("the bank is closed")
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("It was paused by hand (the bank is closed).")).to_be_visible()

    page.get_by_role("button", name="Resume…", exact=True).click()
    page.get_by_role("dialog").get_by_label(re.compile("Reason")).fill("it has opened")
    page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("cell", name="Resumed (it has opened)")).to_be_visible()
    expect(page.get_by_role("cell", name="Paused: by hand (the bank is closed)")).to_be_visible()
    shop.client.runs.cancel(run_id)


def test_the_list_shows_why_a_run_is_queued(page: Page, shop: Shop):
    shop.client.functions.register(id="unserved", triggers=[{"event": "item.unserved"}], mode="pull")
    (run_id,) = shop.client.emit("item.unserved").run_ids
    visit(page, "/runs?filter=function:unserved")

    expect(page.get_by_role("row").filter(has_text="unserved")).to_contain_text(
        "No live worker serves function 'unserved'"
    )
    shop.client.runs.cancel(run_id)


def test_the_list_is_shown_without_reasons_where_these_are_refused(page: Page, shop: Shop):
    shop.client.functions.register(id="unserved", triggers=[{"event": "item.unserved"}], mode="pull")
    (run_id,) = shop.client.emit("item.unserved").run_ids
    page.route("**/api/v1/runs/why", lambda route: route.fulfill(status=403, json={"message": "This needs runs:read."}))
    visit(page, "/runs?filter=function:unserved")

    row = page.get_by_role("row").filter(has=page.locator(f'a[href="/runs/{run_id}"]'))
    expect(row).to_contain_text("queued")
    shop.client.runs.cancel(run_id)


def test_a_search_that_has_not_read_all_runs_is_shown_so_and_goes_on(page: Page, shop: Shop):
    def fewer(route: Route) -> None:
        route.continue_(url=route.request.url.replace("scan_max=100000", "scan_max=5"))

    page.route("**/api/v1/runs?*", fewer)
    # The first run of all: it is found last.
    oldest = min(run.id for run in shop.client.runs.list(count=False))
    visit(page, f"/runs?filter={oldest}")
    expect(
        page.get_by_text(re.compile("No run back to .* passes this filter. Older ones were not searched"))
    ).to_be_visible()
    page.get_by_role("button", name="Search further").click()
    expect(page.get_by_role("table", name="Runs").get_by_role("checkbox", name=f"Choose {oldest}")).to_be_visible()

    visit(page, "/runs?filter=nowhere-at-all")
    expect(page.get_by_text("Searched back to")).to_be_visible()
    page.get_by_role("button", name="Search further").click()
    expect(page.get_by_text("No run passes this filter.")).to_be_visible()
    expect(page.get_by_text("Searched back to")).to_have_count(0)


def test_an_action_on_a_group_is_about_the_runs_that_failed_at_its_step(page: Page, shop: Shop):
    visit(page, "/errors")
    group = page.get_by_role("article").filter(has_text="CardDeclined")
    group.get_by_role("button", name="Resume all…").click()
    expect(page.get_by_role("dialog").get_by_role("heading", level=1)).to_contain_text("at step charge-card")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()

    group.get_by_role("button", name="Cancel what retries…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", level=1)).to_contain_text("that wait for their next attempt after this error")
    expect(dialog.get_by_text("0 runs match.")).to_be_visible()
    expect(dialog.get_by_role("button", name=re.compile("Cancel 0"))).to_be_disabled()
    dialog.get_by_role("button", name="Close").click()

    group.get_by_role("link", name="Its runs").click()
    expect(page.get_by_label("Filter runs")).to_have_value(re.compile('step:"charge-card"'))
    expect(page.get_by_role("table", name="Runs").get_by_role("row").nth(1)).to_contain_text("insufficient funds")


def test_a_chart_has_its_numbers_as_a_table(page: Page, shop: Shop):
    for address, label in (("/", "Runs over time"), ("/errors", "Failed runs over time")):
        visit(page, address)
        expect(page.get_by_role("img", name=re.compile(f"{label}: .*failed"))).to_be_visible()
        expect(page.locator(".u-over")).to_be_visible()
        page.get_by_text("As a table").press("Enter")
        expect(page.get_by_role("table", name=label).get_by_role("row").nth(1)).to_contain_text(re.compile(r"20\d\d-"))


def test_a_bulk_action_has_the_reason_for_each_run(page: Page, shop: Shop):
    (run_id,) = shop.client.emit("payment.due", {"id": "inv_bulk_reason"}).run_ids
    eventually(lambda: (shop.client.runs.get(run_id).state or "").startswith("waiting"))
    visit(page, f"/runs?filter={run_id}")
    page.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("Reason")).fill("a holiday")
    dialog.get_by_role("button", name="Pause 1").click()
    expect(dialog.get_by_role("status")).to_contain_text("done: 1 changed")
    assert shop.client.runs.get(run_id).pause_note == "a holiday"
    shop.client.runs.cancel(run_id)
