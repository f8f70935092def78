"""What can be asked of API keys. Source: protocol/rest.md 10, protocol/errors-and-defaults.md 3 and 5."""

from datetime import datetime
from typing import Annotated, Any

from ironflow.base.errors import InvalidArgument, NotFound, PermissionDenied
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.environments.contract import EnvironmentNotFound
from ironflow.features.roles.contract import RoleNotFound


class ApiKeyNotFound(NotFound):
    """There is no API key of that id."""

    code = "API_KEY_NOT_FOUND"


class InvalidApiKey(InvalidArgument):
    """A key has a name of 1 to 200 characters and expires, if at all, in the future."""

    code = "INVALID_API_KEY"


class KeyExceedsMaker(PermissionDenied):
    """A key cannot be given more than the key that makes it has."""

    code = "KEY_EXCEEDS_MAKER"


class ApiKey(Message, kw_only=True):
    """key_prefix: the visible start. environment_id: the only environment it may use, absent for all.

    last_used_at: to about a minute. previous_valid_until: until when the key from before a rotation is accepted.
    """

    id: str
    org_id: str
    name: str
    key_prefix: str
    role_ids: list[str]
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    environment_id: str | None = None
    previous_valid_until: datetime | None = None


class NewApiKey(ApiKey, kw_only=True):
    """key, secret: the plain text, in this answer only."""

    key: str
    secret: str


class CreateApiKey(Message, kw_only=True):
    """env_id: id or name of the only environment; absent for that of the maker's key. expires_in: such as `90d`.

    role_ids: absent for role_developer, or for the maker's own roles where it is no administrator.
    """

    name: Annotated[str, field(min_length=1, max_length=200)]
    env_id: Annotated[str, field(None, also=("environment_id", "environment"))] = ""
    # Unread, `roles` would leave the default role, which may be mightier than what was asked for.
    role_ids: Annotated[list[str] | None, field(None, also=("roles",))] = None
    expires_in: str = ""


class NamedApiKey(Message, kw_only=True):
    id: Annotated[str, field(None, also=("api_key_id",))]


class RotateApiKey(Message, kw_only=True):
    """grace: for so long the old key is accepted beside the new one, such as `1h`; empty for not at all."""

    id: Annotated[str, field(None, also=("api_key_id",))]
    grace: str = ""


class SetRoles(Message, kw_only=True):
    id: Annotated[str, field(None, also=("api_key_id",))]
    role_ids: Annotated[list[str], field(None, also=("roles",))]


class ListApiKeys(PagedList, kw_only=True):
    """Asks for a page of the API keys."""


class ApiKeys(Message, kw_only=True):
    api_keys: list[ApiKey]
    next_cursor: str | None = None


class Explain(Message, kw_only=True):
    """May that key do this? subject: an API key's id; empty for a caller with the roles of `roles`.

    action: a scope, such as `events:emit`. resource: such as `events/order.placed`. request: the fields of the
    operation, for conditions.
    """

    action: str
    resource: str = ""
    environment: str = ""
    subject: Annotated[str, field(None, also=("api_key_id",))] = ""
    roles: list[str] = []
    request: dict[str, Any] = {}


class Explanation(Message, kw_only=True):
    """rule: the policy or built-in role that decided; empty when none allows it."""

    allowed: bool
    rule: str
    reason: str


_PATH = "/api/v1/apikeys"

create = operation(
    "api_keys.create", CreateApiKey, NewApiKey,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="apikeys:write",
    errors=(InvalidApiKey, RoleNotFound, EnvironmentNotFound, KeyExceedsMaker),
    doc="Creates a key and answers its plain text, once.",
)  # fmt: skip
list_ = operation(
    "api_keys.list", ListApiKeys, ApiKeys,
    rest=f"GET {_PATH}", spelling="both", scope="apikeys:read", alone=("api_keys", "paged"),
    doc="The keys by id; for a key of one environment, those of that environment.",
)  # fmt: skip
get = operation(
    "api_keys.get", NamedApiKey, ApiKey,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="apikeys:read", errors=(ApiKeyNotFound,),
    doc="One key.",
)  # fmt: skip
delete = operation(
    "api_keys.delete", NamedApiKey, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="apikeys:write", errors=(ApiKeyNotFound,),
    doc="Revokes a key at once, on every node, and closes the connections that were opened with it.",
)  # fmt: skip
rotate = operation(
    "api_keys.rotate", RotateApiKey, NewApiKey,
    rest=f"POST {_PATH}/{{id}}/rotate", spelling="both", scope="apikeys:write",
    errors=(ApiKeyNotFound, InvalidApiKey, KeyExceedsMaker),
    doc="Replaces the secret of a key. The old one is revoked at once, or after `grace`.",
)  # fmt: skip
set_roles = operation(
    "api_keys.set_roles", SetRoles, ApiKey,
    rest=f"PUT {_PATH}/{{id}}/roles", spelling="both", scope="apikeys:write",
    errors=(ApiKeyNotFound, RoleNotFound, KeyExceedsMaker),
    doc="Replaces the roles of a key.",
)  # fmt: skip
explain = operation(
    "api_keys.explain", Explain, Explanation,
    rest="POST /api/v1/authz/explain", spelling="both", scope="policies:read",
    errors=(ApiKeyNotFound, RoleNotFound),
    doc="Whether a key or a set of roles may do something, and the rule that decides it.",
)  # fmt: skip
