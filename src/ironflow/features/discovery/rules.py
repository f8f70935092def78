"""What is decided about the answer of an endpoint that is asked what it serves; pure. Source: docs/guides/push.md."""

from typing import NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.base.spelling import message_to_json, reader
from ironflow.features.discovery.contract import EndpointLocked, Landing, NoEndpoint, ServedFunction
from ironflow.features.functions.contract import RegisterFunction
from ironflow.features.functions.in_tx import Config, FunctionRow, config_of, decide_registration

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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoEndpoint(
            f"{url} answers {status} and lists no functions. Is it the address of ironflow.serve?"
        ) from None
    if len(landing.functions) > FUNCTIONS_MAX:
        raise NoEndpoint(f"{url} lists {len(landing.functions)} functions; {FUNCTIONS_MAX} is the limit.")
    return landing


def registrations_of(landing: Landing, url: str) -> list[RegisterFunction]:
    """The messages that register what is served at `url`. Raises NoEndpoint, EndpointLocked, BadField, InvalidJson."""
    found: dict[str, RegisterFunction] = {}
    for each in landing.functions:
        if isinstance(each.registration, msgspec.UnsetType):
            raise EndpointLocked(f"{url} shows its settings to holders of its signing key only.")
        message = cast(RegisterFunction, reader(RegisterFunction).read(each.registration))
        if message.id in found:
            raise NoEndpoint(f"{url} lists the function {message.id!r} twice.")
        found[message.id] = msgspec.structs.replace(message, endpoint_url=url)
    return list(found.values())


class Checked(NamedTuple):
    """A registration that was checked. body: as it is sent to `functions.register`. config: None with a fault."""

    registration: RegisterFunction
    body: bytes
    triggers: list[str]
    config: Config | None
    fault: str


def checked(landing: Landing, url: str) -> list[Checked]:
    """What is served at `url`. Expressions are compiled. Raises as registrations_of."""
    registrations = registrations_of(landing, url)
    return [_checked(each, of.triggers) for each, of in zip(registrations, landing.functions, strict=True)]


def _checked(registration: RegisterFunction, triggers: list[str]) -> Checked:
    body = message_to_json(registration)
    try:
        return Checked(registration, body, triggers, config_of(registration), "")
    except IronflowError as fault:
        return Checked(registration, body, triggers, None, fault.message)


def served_function(given: Checked, known: FunctionRow | None) -> ServedFunction:
    """What registering a served function would change."""
    before = None if known is None or known.status == "deleted" else msgspec.Raw(msgspec.json.encode(known.config))
    version = known.version if before is not None and known is not None else 0
    served = ServedFunction(
        id=given.registration.id,
        triggers=given.triggers,
        change="refused",
        registration=msgspec.Raw(given.body),
        before=before,
        version=version,
        fault=given.fault,
    )
    if given.config is not None:
        served.change = decide_registration(known, given.config)
        served.config = msgspec.Raw(msgspec.json.encode(given.config))
    return served
