"""What an endpoint serves, as its landing page lists it for programs."""

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from ironflow.base.errors import IronflowError, Unauthenticated
from ironflow.base.signature import HEADER, sign
from ironflow.features.discovery.contract import EndpointLocked, Landing, NoEndpoint
from ironflow.features.discovery.in_tx import landing_of, registrations_of, slash_after
from ironflow.features.functions import contract as functions
from ironflow.sdk.wire.transport import Urllib3Transport

REQUEST_S = 10.0
# Where `ironflow dev` looks for endpoints: the usual ports of development servers.
LOCAL = tuple(f"http://localhost:{port}/api/ironflow" for port in (3000, 5000, 8000, 8080))
_LOOK_S = 0.5
_EVERY_S = 2.0


def registrations_at(url: str, signing_key: str, timeout_s: float = REQUEST_S) -> list[functions.RegisterFunction]:
    """The messages that register what is served at `url`. Raises NoEndpoint, Unauthenticated, ConnectionLost."""
    try:
        url, landing = landing_at(url, signing_key, timeout_s)
        return registrations_of(landing, url)
    except EndpointLocked as fault:
        raise Unauthenticated(f"{fault.message} Give --signing-key, or set IRONFLOW_SIGNING_KEY.") from None


def landing_at(url: str, signing_key: str, timeout_s: float = REQUEST_S) -> tuple[str, Landing]:
    """The address that a server has to call, and what it serves.

    It has a slash more than `url` where the framework redirects there; a server follows no redirects.
    Raises NoEndpoint, EndpointLocked, ConnectionLost.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoEndpoint(f"{url!r} is no address. Write it like https://shop.example/api/ironflow.")
    headers = {"Accept": "application/json"} | ({HEADER: sign(b"", signing_key)} if signing_key else {})
    transport = Urllib3Transport(f"{parts.scheme}://{parts.netloc}")
    try:
        answer = transport.request("GET", parts.path or "/", headers, None, timeout_s)
    finally:
        transport.close()
    if to := slash_after(url, answer.status, answer.headers.get("Location", "")):
        return landing_at(to, signing_key, timeout_s)
    return url, landing_of(url, answer.status, answer.body)


class Discovery:
    """Registers what local endpoints serve, and again when it changes. `look` is called often and is quick.

    register: registers one function. note: shows a line to the user. clock: monotonic, in seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        signing_key: str,
        register: Callable[[functions.RegisterFunction], object],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls, self._key = urls, signing_key
        self._register, self._note, self._clock = register, note, clock
        self._registered: dict[str, bytes] = {}
        # The last refusal at each address: it is shown once, and tried again.
        self._refused: dict[str, str] = {}
        self._next_at = 0.0

    def look(self) -> None:
        if self._clock() < self._next_at:
            return
        for url in self._urls:
            try:
                found = registrations_at(url, self._key, _LOOK_S)
            except Unauthenticated as fault:
                self._note_once(url, fault.message)
                continue
            except IronflowError:
                # Nothing there, or something else.
                continue
            self._register_changed(url, found)
        self._next_at = self._clock() + _EVERY_S

    def _register_changed(self, url: str, found: list[functions.RegisterFunction]) -> None:
        state = msgspec.json.encode(found)
        if self._registered.get(url) == state:
            return
        try:
            for each in found:
                self._register(each)
        except IronflowError as fault:
            self._note_once(url, fault.message)
            return
        self._registered[url] = state
        self._refused.pop(url, None)
        self._note(f"{url} serves {', '.join(each.id for each in found) or 'no function'}; registered")

    def _note_once(self, url: str, message: str) -> None:
        if self._refused.get(url) != message:
            self._refused[url] = message
            self._note(f"{url}: {message}")
