"""What can be asked of an endpoint, and what its landing page answers to programs. Ours."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from ironflow.base.errors import FailedPrecondition, InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.functions.contract import InvalidFunction

URL_CHARS_MAX = 2_000


class NoEndpoint(InvalidArgument):
    """The address does not list functions. It has to be served by ironflow.serve."""

    code = "NO_ENDPOINT"


class EndpointLocked(FailedPrecondition):
    """The endpoint shows its settings to holders of its signing key only, and this server has no key that it takes."""

    code = "ENDPOINT_LOCKED"


class EndpointNotReached(FailedPrecondition):
    """The endpoint could not be asked what it serves."""

    code = "ENDPOINT_NOT_REACHED"


class LandingFunction(msgspec.Struct, omit_defaults=True):
    """registration: the body that registers the function, where the request may see it."""

    id: str
    triggers: list[str]
    registration: msgspec.Raw | UnsetType = UNSET


class Landing(msgspec.Struct):
    """The landing page for programs. checkpoints: the endpoint records its steps by a call back."""

    ironflow: str
    functions: list[LandingFunction]
    projections: list[str]
    webhooks: list[str]
    checkpoints: bool = True


class DiscoverEndpoint(Message, kw_only=True):
    url: Annotated[str, field(None, max_length=URL_CHARS_MAX)]


class ServedFunction(Message, kw_only=True):
    """A function that an endpoint serves. registration: the body of `functions.register`.

    change: what registering it would do: `created`, `updated`, `same`, or `refused`, then `fault` says why. config: as
    it would be registered; before: as it is, in version `version`; absent where there is none.
    """

    id: str
    triggers: list[str]
    change: str
    registration: Json
    config: Json | None = None
    before: Json | None = None
    version: int = 0
    fault: str = ""


class EndpointServes(Message, kw_only=True):
    """url: the address to register, with a slash more where the endpoint redirects there. ironflow: its release.

    functions: at most 1,000. unserved: functions that are registered at this address and that it serves no more.
    """

    url: str
    ironflow: str
    functions: list[ServedFunction]
    unserved: list[str]
    projections: list[str]
    webhooks: list[str]


discover = operation(
    "discovery.discover", DiscoverEndpoint, EndpointServes,
    rest="POST /api/v1/endpoints/discover", scope="functions:write", asks=("functions:read",),
    errors=(NoEndpoint, EndpointLocked, EndpointNotReached, InvalidFunction),
    doc="Asks an endpoint which functions it serves, and compares them with what is registered. It registers nothing.",
)  # fmt: skip
