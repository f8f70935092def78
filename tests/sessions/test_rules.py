"""The delay after wrong passwords, which requests a cookie counts for, and the cookie."""

import pytest

from ironflow.base.call import Browser
from ironflow.base.errors import Unauthenticated
from ironflow.features.sessions import rules
from ironflow.features.sessions.contract import CrossSiteRequest, LogInBlocked
from ironflow.features.sessions.rules import COOKIE, Failures


def test_a_few_wrong_passwords_are_free_and_then_the_delay_doubles_to_a_quarter_of_an_hour():
    row, now, delays = Failures("s", 0, 0, 0), 1_000, list[int]()
    for _ in range(20):
        row = rules.decide_attempt(row, now)
        delays.append(max(row.blocked_until - now, 0))
        now = max(now, row.blocked_until)
    assert delays[:4] == [0, 0, 0, 0]
    assert delays[4:9] == [1_000, 2_000, 4_000, 8_000, 16_000]
    assert delays[-1] == rules.LONGEST_DELAY_MS


def test_an_attempt_before_the_delay_is_over_is_refused_and_not_counted():
    row = Failures("s", 7, 5_000, 100_000)
    with pytest.raises(LogInBlocked) as refused:
        rules.decide_attempt(row, 4_000)
    assert refused.value.retry_after_s == 1
    assert rules.decide_attempt(row, 5_000).failures == 8


def test_wrong_passwords_from_long_ago_do_not_count():
    assert rules.decide_attempt(Failures("s", 7, 0, 5_000), 5_000).failures == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_addresses_of_one_client_count_as_one(one: str, other: str, same: bool):
    """A client of IPv6 has 2^64 addresses, and each would have free attempts."""
    assert (rules.subject_of("ada@example.com", one) == rules.subject_of("ada@example.com", other)) == same


def test_wrong_passwords_are_counted_for_one_user_and_one_address():
    subjects = {rules.subject_of(user, address) for user in ("a@b", "b@b") for address in ("10.0.0.1", "10.0.0.2")}
    assert len(subjects) == 4


@pytest.mark.parametrize(
    "browser",
    [
        Browser("http://flow.example", "flow.example", "", False),
        Browser("https://flow.example:8443", "FLOW.example:8443", "same-origin", False),
        # A proxy that changes Host.
        Browser("https://public.example", "127.0.0.1:9123", "", False),
        Browser("", "flow.example", "same-origin", False),
        # Typed into the address bar.
        Browser("", "flow.example", "none", False),
        Browser("", "flow.example", "", True),
    ],
)
def test_a_cookie_counts_for_the_own_pages(browser: Browser):
    rules.check_own_page(browser, "https://public.example/")


@pytest.mark.parametrize(
    "browser",
    [
        Browser("http://evil.example", "flow.example", "", True),
        Browser("null", "flow.example", "", True),
        Browser("http://flow.example:81", "flow.example", "same-site", True),
        Browser("http://flow.example.evil", "flow.example", "", True),
        Browser("http://[", "flow.example", "", True),
        Browser("http://public.example", "127.0.0.1:9123", "", True),
        Browser("", "flow.example", "cross-site", True),
        Browser("", "flow.example", "same-site", True),
        Browser("", "flow.example", "", False),
    ],
)
def test_a_cookie_does_not_count_for_other_pages(browser: Browser):
    with pytest.raises(CrossSiteRequest):
        rules.check_own_page(browser, "https://public.example/")


@pytest.mark.parametrize(
    ("header", "secret"),
    [("", ""), ("a=b", ""), (f"a=b; {COOKIE}=x", "x"), (f"{COOKIE}=x;{COOKIE}=x", "x"), (f"x{COOKIE}=y", "")],
)
def test_the_cookie_is_found_by_its_name(header: str, secret: str):
    assert rules.cookie_in(header) == secret


def test_two_different_cookies_are_refused():
    with pytest.raises(Unauthenticated):
        rules.cookie_in(f"{COOKIE}=x; {COOKIE}=y")


def test_scripts_cannot_read_the_cookie_and_other_sites_do_not_send_it():
    shown = rules.set_cookie("s", 60, is_secure=True)
    assert shown == f"{COOKIE}=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
