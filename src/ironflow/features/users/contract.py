"""What can be asked of users. Source of the shapes: protocol/rest.md 10."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList
from ironflow.features.api_keys import contract as api_keys
from ironflow.features.api_keys.contract import KeyExceedsMaker
from ironflow.features.roles.contract import RoleNotFound


class UserNotFound(NotFound):
    """There is no user of that id."""

    code = "USER_NOT_FOUND"


class UserExists(AlreadyExists):
    """There is a user with that e-mail address already."""

    code = "USER_EXISTS"


class InvalidUser(InvalidArgument):
    """A user has an e-mail address, and a password of 8 to 1000 characters."""

    code = "INVALID_USER"


class WrongPassword(Unauthenticated):
    """The e-mail address or the password is wrong."""

    code = "WRONG_PASSWORD"


class LastAdministrator(FailedPrecondition):
    """Without this user no administrator could log in."""

    code = "LAST_ADMINISTRATOR"


class User(Message, kw_only=True):
    """roles: ids. last_login_at: absent before the first log-in.

    disabled: whether log-ins are refused; disabled_at and disabled_reason are absent where they are not.
    """

    id: str
    org_id: str
    email: str
    name: str
    roles: list[str]
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None = None
    disabled: bool = False
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


class CreateUser(Message, kw_only=True):
    """roles: ids, or `admin`, `developer`, `viewer`; absent for role_developer, or for the roles of a caller who is no
    administrator."""

    email: Annotated[str, field(max_length=320)]
    password: Annotated[str, field(max_length=1000)]
    name: Annotated[str, field(max_length=200)] = ""
    roles: Annotated[list[str], field(None, also=("role_ids",))] | None = None


class NamedUser(Message, kw_only=True):
    id: Annotated[str, field(None, also=("user_id",))]


class DisableUser(Message, kw_only=True):
    """reason: kept with the user and in the audit trail. revoke_keys: also the API keys that the user has created."""

    id: Annotated[str, field(None, also=("user_id",))]
    reason: Annotated[str, field(max_length=500)] = ""
    revoke_keys: bool = False


class UpdateUser(Message, kw_only=True):
    """What is absent stays. password: a new one, which ends the user's sessions."""

    id: Annotated[str, field(None, also=("user_id",))]
    email: Annotated[str, field(max_length=320)] | None = None
    name: Annotated[str, field(max_length=200)] | None = None
    roles: Annotated[list[str], field(None, also=("role_ids",))] | None = None
    password: Annotated[str, field(max_length=1000)] | None = None


class ChangePassword(Message, kw_only=True):
    id: Annotated[str, field(None, also=("user_id",))]
    current_password: Annotated[str, field(max_length=1000)]
    new_password: Annotated[str, field(max_length=1000)]


class ListUsers(PagedList, kw_only=True):
    """Asks for a page of the users."""


class Users(Message, kw_only=True):
    users: list[User]
    next_cursor: str | None = None


_PATH = "/api/v1/users"

create = operation(
    "users.create", CreateUser, User,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="users:write",
    errors=(InvalidUser, UserExists, RoleNotFound, KeyExceedsMaker),
    doc="Creates a user who logs in with an e-mail address and a password.",
)  # fmt: skip
list_ = operation(
    "users.list", ListUsers, Users,
    rest=f"GET {_PATH}", spelling="both", scope="users:read", alone=("users", "paged"),
    doc="The users by id.",
)  # fmt: skip
get = operation(
    "users.get", NamedUser, User,
    rest=f"GET {_PATH}/{{id}}", spelling="both", scope="users:read", errors=(UserNotFound,),
    doc="One user.",
)  # fmt: skip
update = operation(
    "users.update", UpdateUser, User,
    rest=f"PATCH {_PATH}/{{id}}", spelling="both", scope="users:write",
    errors=(UserNotFound, InvalidUser, UserExists, RoleNotFound, KeyExceedsMaker, LastAdministrator),
    doc="Changes a user. New roles count at once, also for open connections; a new password ends the sessions.",
)  # fmt: skip
delete = operation(
    "users.delete", NamedUser, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="users:write",
    errors=(UserNotFound, KeyExceedsMaker, LastAdministrator),
    doc="Deletes a user, ends the user's sessions and closes their connections.",
)  # fmt: skip
disable = operation(
    "users.disable", DisableUser, User,
    rest=f"POST {_PATH}/{{id}}/disable", spelling="both", scope="users:write", asks=(api_keys.delete.scope,),
    errors=(UserNotFound, KeyExceedsMaker, LastAdministrator),
    doc="Refuses the log-ins of a user until `enable`, and ends the user's sessions and connections on every node.",
)  # fmt: skip
enable = operation(
    "users.enable", NamedUser, User,
    rest=f"POST {_PATH}/{{id}}/enable", spelling="both", scope="users:write", errors=(UserNotFound, KeyExceedsMaker),
    doc="Accepts the log-ins of a disabled user again. Sessions and keys that were ended stay so.",
)  # fmt: skip
change_password = operation(
    "users.change_password", ChangePassword, None,
    rest=f"PATCH {_PATH}/{{id}}/password", scope="account:write", errors=(UserNotFound, InvalidUser, WrongPassword),
    doc="Changes the caller's own password, and ends all of the caller's sessions, this one too.",
)  # fmt: skip
end_sessions = operation(
    "users.end_sessions", NamedUser, None,
    rest=f"DELETE {_PATH}/{{id}}/sessions", scope="users:write", errors=(UserNotFound, KeyExceedsMaker),
    doc="Ends every session of a user, on every node, and closes the connections that were opened with them.",
)  # fmt: skip
