"""The page of a function in Chromium: versions, next times, lanes and schedules, against a real server."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from playwright.sync_api import Page, expect

from ironflow import Retry, function
from ironflow.serve import serve
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


@function("mail-bill", on="bill.made", retry=Retry(max_attempts=4))
async def mail_bill(ctx: Any) -> None: ...


@function("file-bill", on="bill.paid")
async def file_bill(ctx: Any) -> None: ...


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""


@contextmanager
def endpoint(*functions: Any) -> Iterator[str]:
    """The address of an application that serves these."""
    application: Any = serve(list(functions), skip_verification=True).wsgi()
    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/api/ironflow"
        finally:
            http.shutdown()
            thread.join()


def test_an_endpoint_is_discovered_and_what_is_chosen_is_registered(page: Page, shop: Shop):
    shop.client.functions.register(id="mail-bill", triggers=[{"event": "bill.made"}])
    with endpoint(mail_bill, file_bill) as url:
        visit(page, "/functions")
        page.get_by_role("button", name="Discover an endpoint…").click()
        dialog = page.get_by_role("dialog", name="Discover an endpoint")
        dialog.get_by_label("Endpoint").fill(url)
        dialog.get_by_role("button", name="Ask it").click()

        rows = dialog.get_by_role("region", name="Served functions").get_by_role("listitem")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("bill.made")
        expect(rows.first).to_contain_text("changes version 1")
        rows.first.get_by_text("What changes").click()
        expect(rows.first.get_by_role("row").filter(has_text="endpoint_url")).to_contain_text(url)
        expect(rows.last).to_contain_text("new")
        dialog.get_by_label("file-bill").uncheck()
        dialog.get_by_role("button", name="Register 1").click()

        expect(rows.first).to_contain_text("registered as version 2")
        assert shop.client.functions.get("mail-bill").endpoint_url == url
        assert list(shop.client.functions.list(name="file-bill")) == []
        dialog.get_by_role("button", name="Ask it").click()
        expect(rows.first).to_contain_text("registered as it is, version 2")


def test_an_address_that_serves_nothing_is_named(page: Page):
    visit(page, "/functions?do=discover&endpoint=http://127.0.0.1:9/ironflow")
    page.get_by_role("button", name="Ask it").click()

    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("was not asked")


def test_a_function_leads_to_a_new_schedule_of_its_own(page: Page):
    visit(page, "/functions/long")
    page.get_by_role("link", name="New schedule…").click()

    expect(page.get_by_role("dialog").get_by_label("Function")).to_have_value("long")


def test_a_function_lists_its_schedules(page: Page):
    visit(page, "/functions/settle")
    page.get_by_role("list", name="Schedules").get_by_role("link", name="nightly-settlement").click()

    expect(page.get_by_role("heading", name="nightly-settlement")).to_be_visible()
