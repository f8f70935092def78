"""Log-in with an API key, in Chromium, against a real server with authentication."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.browser import WIDE
from tests.dashboard.conftest import PATIENCE_MS, check_built

ADMIN = "ifkey_" + "a1" * 20
EMIT = "**/api/v1/events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    check_built()
    process = ServerProcess(tmp_path_factory.mktemp("locked"), admin_key=ADMIN)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, api_key=ADMIN) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, base_url=server.url)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def log_in(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="Log in")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Log in").click()


def before_the_emit(page: Page, act: Callable[[], object]) -> None:
    """Acts once, when the page's next emit is on its way to the server."""

    left = [act]

    def on_route(route: Route) -> None:
        if route.request.method == "POST" and left:
            left.pop()()
        route.continue_()

    page.route(EMIT, on_route)


def a_key(client: Client, name: str, *roles: str) -> tuple[str, str]:
    """Id and secret of a new key."""
    made = client.api_keys.create(name, roles=list(roles))
    return made.id, made.key


def test_a_key_opens_the_page_that_asked_for_it(page: Page, client: Client):
    client.emit("order.placed", {"id": "ord_1"})
    page.goto("/events")

    log_in(page, "ifkey_" + "0" * 40)
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    log_in(page, ADMIN)

    expect(page.get_by_role("table", name="Events")).to_contain_text("order.placed")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    page.reload()
    expect(page.get_by_role("table", name="Events")).to_contain_text("order.placed")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("dialog", name="Log in")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_key_that_ends_while_a_form_is_filled_in_loses_nothing(page: Page, client: Client):
    key_id, key = a_key(client, "short-lived")
    page.goto("/events")
    log_in(page, key)
    page.get_by_role("button", name="Emit…").click()
    form = page.get_by_role("dialog", name="Emit an event")
    form.get_by_label("Name").fill("order.typed")
    form.get_by_label("Data, JSON").fill('{"id": "kept"}')

    # Not before the click: what the page asks for by itself would be refused first, and the log-in would cover the
    # form.
    before_the_emit(page, lambda: client.api_keys.delete(key_id))
    form.get_by_role("button", name="Emit", exact=True).click()
    expect(page.get_by_role("dialog", name="Log in")).to_contain_text("no longer accepts the key")
    log_in(page, ADMIN)

    expect(form.get_by_label("Data, JSON")).to_have_value('{"id": "kept"}')
    expect(form.get_by_role("status")).to_contain_text("Recorded as")
    assert [event.data for event in client.events.list(name="order.typed")] == [{"id": "kept"}]


def test_a_form_from_a_schema_outlives_the_session(page: Page, client: Client):
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    client.schemas.register("order.drawn", 1, schema=schema)
    key_id, key = a_key(client, "short-lived-too", "role_developer")
    page.goto("/events?do=emit&emit-name=order.drawn")
    log_in(page, key)
    form = page.get_by_role("dialog", name="Emit an event")
    form.get_by_label("id", exact=True).fill("kept")

    before_the_emit(page, lambda: client.api_keys.delete(key_id))
    form.get_by_role("button", name="Emit", exact=True).click()
    log_in(page, ADMIN)

    expect(form.get_by_role("status")).to_contain_text("Recorded as")
    assert [event.data for event in client.events.list(name="order.drawn")] == [{"id": "kept"}]


def test_a_key_with_little_permission_sees_what_it_may_and_the_name_of_the_rest(page: Page, client: Client):
    role = client.roles.create("workers-only")
    policy = client.policies.create("workers", effect="allow", actions="workers:read,server:read", resources="*")
    client.roles.assign_policy(role.id, policy.id)
    _, key = a_key(client, "narrow", role.id)

    page.goto("/")
    log_in(page, key)

    expect(page.get_by_role("complementary", name="Not shown")).to_contain_text("This needs runs:read")
    expect(page.get_by_role("link", name=re.compile("Workers$")).last).to_be_visible()
    page.goto("/runs")
    expect(page.get_by_role("alert")).to_contain_text("This needs runs:read")
    expect(page.get_by_role("alert")).to_contain_text("Ask an administrator")


def test_the_page_can_be_left_without_a_key(page: Page):
    page.goto("/runs")

    page.get_by_role("dialog", name="Log in").get_by_role("button", name="Not now").click()

    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("alert").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("dialog", name="Log in")).to_be_visible()


def test_a_user_logs_in_with_a_password_and_the_session_is_a_cookie_that_scripts_cannot_read(
    page: Page, client: Client
):
    client.emit("order.placed", {"id": "ord_2"})
    user = client.users.create("ada@example.com", "correct horse battery", roles=["viewer"])
    page.goto("/events")
    dialog = page.get_by_role("dialog", name="Log in")
    dialog.get_by_role("button", name="Use a password").click()
    dialog.get_by_label("E-mail address").fill("ada@example.com")
    dialog.get_by_label("Password").fill("wrong password")
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("password is wrong")
    dialog.get_by_label("Password").fill("correct horse battery")
    dialog.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("table", name="Events")).to_contain_text("order.placed")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    expect(page.get_by_role("table", name="Events")).to_contain_text("order.placed")

    client.users.end_sessions(user.id)
    expect(page.get_by_role("dialog", name="Log in")).to_be_visible()
