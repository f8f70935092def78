"""What an endpoint serves, as its landing page lists it for programs."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ironflow.base.errors import InvalidArgument, IronflowError, Unauthenticated
from ironflow.base.signature import HEADER, sign
from ironflow.base.spelling import reader
from ironflow.features.functions import contract as functions
from ironflow.sdk.serve.landing import Landing
from ironflow.sdk.wire.transport import Urllib3Transport

REQUEST_S = 10.0
# Where `ironflow dev` looks for endpoints: the usual ports of development servers.
LOCAL = tuple(f"http://localhost:{port}/api/ironflow" for port in (3000, 5000, 8000, 8080))
_LOOK_S = 0.5
_EVERY_S = 2.0


class NoEndpoint(InvalidArgument):
    """The address does not list functions. It has to be served by ironflow.serve."""

    code = "NO_ENDPOINT"


def registrations_at(url: str, signing_key: str, timeout_s: float = REQUEST_S) -> list[functions.RegisterFunction]:
    """The messages that register what is served at `url`. Raises NoEndpoint, Unauthenticated, ConnectionLost."""
    url, landing = landing_at(url, signing_key, timeout_s)
    found: list[functions.RegisterFunction] = []
    for each in landing.functions:
        if isinstance(each.registration, msgspec.UnsetType):
            raise Unauthenticated(
                f"{url} shows its settings to holders of its signing key only. Give --signing-key, or set "
                "IRONFLOW_SIGNING_KEY."
            )
        message: Any = reader(functions.RegisterFunction).read(each.registration)
        found.append(msgspec.structs.replace(message, endpoint_url=url))
    return found


def landing_at(url: str, signing_key: str, timeout_s: float = REQUEST_S) -> tuple[str, Landing]:
    """The address that a server has to call, and what it serves.

    It has a slash more than `url` where the framework redirects there; a server follows no redirects.
    Raises NoEndpoint, Unauthenticated, ConnectionLost.
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
    if answer.status in (301, 302, 307, 308) and not url.endswith("/"):
        to = answer.headers.get("Location", "")
        if to in (f"{url}/", f"{parts.path}/"):
            return landing_at(f"{url}/", signing_key, timeout_s)
    if answer.status == 401:
        raise Unauthenticated(f"{url} did not accept the signing key.")
    try:
        return url, msgspec.json.decode(answer.body, type=Landing)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoEndpoint(
            f"{url} answers {answer.status} and lists no functions. Is it the address of ironflow.serve?"
        ) from None


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
