"""What is decided of sessions: the delay after wrong passwords, and which requests a cookie counts for."""

import hashlib
import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from ironflow.base.call import Browser
from ironflow.base.errors import Unauthenticated
from ironflow.base.time import Millis
from ironflow.features.sessions.contract import CrossSiteRequest, LogInBlocked

PREFIX = "ifses_"
# The published name, which proxies and scripts know.
COOKIE = "ironflow_dashboard_token"
# Wrong passwords without a delay; each further one doubles it.
FREE_FAILURES = 5
FIRST_DELAY_MS = 1_000
LONGEST_DELAY_MS = 15 * 60_000
# After so long without another, wrong passwords are forgotten: few soon, so that guesses at many users fill no table.
FEW_FORGOTTEN_MS = 15 * 60_000
MANY_FORGOTTEN_MS = 24 * 3_600_000
# With more, the oldest of a user ends.
SESSIONS_OF_USER_MAX = 100


class SessionRow(NamedTuple):
    """epoch: that of the user when it began; sessions of another one are not valid."""

    id: str
    user_id: str
    epoch: int
    secret_hash: str
    created_at: Millis
    expires_at: Millis


class Failures(NamedTuple):
    """Wrong passwords for one user from one address."""

    subject: str
    failures: int
    blocked_until: Millis
    forget_at: Millis


def client_of(address: str) -> str:
    """The address as attempts are counted for it: of IPv6 its first 64 bits, since one client has all of the others."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))


def subject_of(email_key: str, address: str) -> str:
    """What wrong passwords are counted for. By user and client, so that one client cannot lock out another."""
    return hashlib.sha256(f"{email_key}\0{client_of(address)}".encode("utf-8", "surrogatepass")).hexdigest()


def decide_attempt(found: Failures, now: Millis) -> Failures:
    """The row that stands while a password is verified: as if it were wrong, so that attempts at once count too.

    Raises LogInBlocked.
    """
    if found.blocked_until > now:
        raise LogInBlocked(
            "There were too many wrong passwords for this user from this address. Try again later.",
            retry_after_s=(found.blocked_until - now) / 1000,
        )
    failures = (found.failures if found.forget_at > now else 0) + 1
    over = failures - FREE_FAILURES
    delay_ms = min(FIRST_DELAY_MS << min(over, 20), LONGEST_DELAY_MS) if over >= 0 else 0
    forgotten_ms = MANY_FORGOTTEN_MS if over >= 0 else FEW_FORGOTTEN_MS
    return Failures(found.subject, failures, now + delay_ms if delay_ms else 0, now + forgotten_ms)


def is_jwt(credential: str) -> bool:
    """Whether it looks like one: keys are no JSON in base64."""
    return credential.startswith("eyJ") and credential.count(".") == 2


def cookie_in(header: str) -> str:
    """The session's secret in a Cookie header; empty when it has none.

    Raises Unauthenticated for two different ones, because another host of the domain may have set one.
    """
    found = {
        value.strip()
        for name, is_pair, value in (each.partition("=") for each in header.split(";"))
        if is_pair and name.strip() == COOKIE
    }
    if len(found) > 1:
        raise Unauthenticated(f"There are two cookies {COOKIE}. Delete the cookies of this site, and log in again.")
    return found.pop() if found else ""


def check_own_page(browser: Browser, public_url: str) -> None:
    """Whether a request with a cookie comes from a page of the server itself. Raises CrossSiteRequest.

    Browsers send Origin, or Sec-Fetch-Site; where they send neither, the page marks its requests with a header of its
    own, which no other page can send without the server's leave.
    """
    if browser.origin:
        if not _is_same(browser.origin, browser.host, public_url):
            raise CrossSiteRequest(f"The session's cookie does not count for pages of {browser.origin[:100]}.")
    elif browser.fetch_site:
        if browser.fetch_site not in ("same-origin", "none"):
            raise CrossSiteRequest("The session's cookie does not count for pages of other sites.")
    elif not browser.is_marked:
        raise CrossSiteRequest("A request with the session's cookie needs the header X-Ironflow-CSRF, of any value.")


def _is_same(origin: str, host: str, public_url: str) -> bool:
    try:
        scheme, netloc = urlsplit(origin)[:2]
        public = urlsplit(public_url)[:2]
    except ValueError:
        return False
    return bool(netloc) and (netloc.lower() == host.lower() or (scheme, netloc) == public)


def set_cookie(secret: str, max_age_s: int, *, is_secure: bool) -> str:
    """The value of Set-Cookie; max_age_s: 0 has the browser forget it."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={secret}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
