"""What is decided about the answer of an endpoint that is asked what it serves; pure. Source: docs/guides/push.md."""

from typing import cast
from urllib.parse import urlsplit

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.base.spelling import reader
from ironflow.features.discovery.contract import EndpointLocked, Landing, NoEndpoint, ServedFunction
from ironflow.features.functions.contract import RegisterFunction
from ironflow.features.functions.in_tx import FunctionRow, config_of, decide_registration

FUNCTIONS_MAX = 1_000
_REDIRECTS = (301, 302, 307, 308)


def slash_after(url: str, status: int, location: str) -> str:
    """The address to ask instead where a framework redirects to the one with a slash; else empty.

    Other redirects are not followed, neither here nor when functions are executed.
    """
    wanted = f"{url}/"
    if status in _REDIRECTS and not url.endswith("/") and location in (wanted, f"{urlsplit(url).path}/"):
        return wanted
    return ""


def landing_of(url: str, status: int, body: bytes) -> Landing:
    """What the endpoint serves. Raises NoEndpoint, EndpointLocked."""
    if status == 401:
        raise EndpointLocked(f"{url} did not accept the signing key.")
    try:
        landing = msgspec.json.decode(body, type=Landing)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoEndpoint(
            f"{url} answers {status} and lists no functions. Is it the address of ironflow.serve?"
        ) from None
    if len(landing.functions) > FUNCTIONS_MAX:
        raise NoEndpoint(f"{url} lists {len(landing.functions)} functions; {FUNCTIONS_MAX} is the limit.")
    return landing


def registrations_of(landing: Landing, url: str) -> list[RegisterFunction]:
    """The messages that register what is served at `url`. Raises EndpointLocked, BadField, InvalidJson."""
    found: list[RegisterFunction] = []
    for each in landing.functions:
        if isinstance(each.registration, msgspec.UnsetType):
            raise EndpointLocked(f"{url} shows its settings to holders of its signing key only.")
        message = cast(RegisterFunction, reader(RegisterFunction).read(each.registration))
        found.append(msgspec.structs.replace(message, endpoint_url=url))
    return found


def served_function(
    registration: RegisterFunction, body: bytes, triggers: list[str], known: FunctionRow | None
) -> ServedFunction:
    """What registering a served function would change. body: the registration as it is sent to `functions.register`."""
    before = None if known is None or known.status == "deleted" else msgspec.Raw(msgspec.json.encode(known.config))
    version = known.version if before is not None and known is not None else 0
    served = ServedFunction(
        id=registration.id,
        triggers=triggers,
        change="refused",
        registration=msgspec.Raw(body),
        before=before,
        version=version,
    )
    try:
        config = config_of(registration)
    except IronflowError as fault:
        served.fault = fault.message
        return served
    served.change = decide_registration(known, config)
    served.config = msgspec.Raw(msgspec.json.encode(config))
    return served
