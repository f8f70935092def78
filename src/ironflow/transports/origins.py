"""Which names a server may be called by, and which web pages may call it.

Without authentication, any page that a developer opens could use the server on the same machine: directly, or by a name
of its own that leads to 127.0.0.1. So the Host of a request has to be a loopback name, the address that the request
came to, or one that the operator allowed; and its Origin, which browsers add, has to be allowed. With authentication
the key protects, and only CORS is left: which pages may read answers.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ironflow.base.errors import PermissionDenied
from ironflow.base.loopback import is_loopback
from ironflow.transports.peers import Link

ANY = "*"
KNOWN_MAX = 256
Headers = list[tuple[bytes, bytes]]


class HostNotAllowed(PermissionDenied):
    """The server is not called by this name."""

    code = "HOST_NOT_ALLOWED"


class OriginNotAllowed(PermissionDenied):
    """Web pages of this origin may not use the server."""

    code = "ORIGIN_NOT_ALLOWED"


class Origins:
    """hosts: names allowed besides loopback and the address that a request came to. origins: of pages; empty for those
    of loopback. Both may have `*` for all. checks: whether requests are refused, which is without authentication."""

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = (), *, checks: bool = False) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._checks = checks
        # The hosts that were allowed, with the addresses they came to; clients send few. Saves reading the URL again.
        self._allowed: set[tuple[str, str | None]] = set()

    def check(self, headers: Mapping[str, str], link: Link | None) -> None:
        """Raises HostNotAllowed or OriginNotAllowed."""
        if not self._checks:
            return
        host = headers.get("host")
        if host is not None and not self._is_known(host, link):
            raise HostNotAllowed(
                f"This server has no authentication and is not called {host[:100]!r}. Call it by its address, or add "
                "the name to the setting allowed_hosts."
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(origin) and not _is_same(origin, host):
            raise OriginNotAllowed(
                f"This server has no authentication, and pages of {origin[:100]!r} may not use it. Add the origin to "
                "the setting cors_origins."
            )

    def cors(self, headers: Mapping[str, str]) -> Headers:
        """The headers by which a browser lets a page read the answer; none for a page that may not."""
        origin = headers.get("origin")
        if origin is None:
            return []
        vary = (b"vary", b"origin")
        if not self._is_allowed(origin):
            return [vary]
        allowed = b"*" if ANY in self._origins else origin.encode("latin-1", "replace")
        return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", b"*"), vary]

    def _is_known(self, host: str, link: Link | None) -> bool:
        key = (host, link.local[0] if link is not None and link.local is not None else None)
        if key in self._allowed:
            return True
        if not self._is_host_allowed(host, link):
            return False
        if len(self._allowed) < KNOWN_MAX:
            self._allowed.add(key)
        return True

    def _is_host_allowed(self, host: str, link: Link | None) -> bool:
        name = _name_of(f"//{host}")
        if name is None:
            return False
        if is_loopback(name) or ANY in self._hosts or name in self._hosts:
            return True
        return link is not None and link.local is not None and name == link.local[0].lower()

    def _is_allowed(self, origin: str) -> bool:
        if ANY in self._origins:
            return True
        if self._origins:
            return origin.lower() in self._origins
        name = _name_of(origin)
        return name is not None and is_loopback(name)


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_same(origin: str, host: str | None) -> bool:
    """Whether a page comes from the server itself, such as the dashboard."""
    try:
        return host is not None and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
