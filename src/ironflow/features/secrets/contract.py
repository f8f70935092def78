"""What can be asked of secrets. Source: protocol/rest.md 9. No answer carries a value."""

from datetime import datetime

from ironflow.base.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message
from ironflow.base.operation import operation
from ironflow.base.paging import PagedList


class SecretNotFound(NotFound):
    """There is no secret of that name in this environment."""

    code = "SECRET_NOT_FOUND"


class SecretExists(AlreadyExists):
    """There is a secret of that name already."""

    code = "SECRET_EXISTS"


class InvalidSecret(InvalidArgument):
    """A name is 1 to 128 letters, digits, `_`, `-` or `.`; a value is a text of 1 byte to 64 KiB without NUL."""

    code = "INVALID_SECRET"


class MasterKeyMissing(FailedPrecondition):
    """The server has no master key, or not the one with which the secrets of this environment are encrypted."""

    code = "MASTER_KEY_MISSING"


class Secret(Message, kw_only=True):
    """A secret without its value. revision: 1 when it is created, one more with each change."""

    name: str
    revision: int
    description: str | None = None
    created_at: datetime
    updated_at: datetime


class CreateSecret(Message, kw_only=True):
    name: str
    value: str
    description: str = ""


class SetSecret(Message, kw_only=True):
    """description: None leaves the one that is there."""

    name: str
    value: str
    description: str | None = None


class ChangeSecret(Message, kw_only=True):
    """secret: its name now. name: a new one."""

    secret: str
    name: str | None = None
    description: str | None = None


class NamedSecret(Message, kw_only=True):
    name: str


class ListSecrets(PagedList, kw_only=True):
    """Asks for a page of the secrets."""


class Secrets(Message, kw_only=True):
    secrets: list[Secret]
    next_cursor: str | None = None


class Rekey(Message, kw_only=True):
    """No fields."""


class Rekeyed(Message, kw_only=True):
    """master_key: the fingerprint of the master key in use. environments: those with secrets.

    secrets: encrypted anew. data_keys_dropped: data keys that no secret needs any more.
    """

    master_key: str
    environments: int
    secrets: int
    data_keys_dropped: int


_PATH = "/api/v1/secrets"

create = operation(
    "secrets.create", CreateSecret, Secret,
    rest=f"POST {_PATH}", success=201, spelling="both", scope="secrets:write",
    errors=(SecretExists, InvalidSecret, MasterKeyMissing),
    doc="Stores a new secret.",
)  # fmt: skip
list_ = operation(
    "secrets.list", ListSecrets, Secrets,
    rest=f"GET {_PATH}", spelling="both", scope="secrets:read", alone=("secrets", "paged"),
    doc="The secrets of this environment by name, without their values.",
)  # fmt: skip
get = operation(
    "secrets.get", NamedSecret, Secret,
    rest=f"GET {_PATH}/{{name}}", spelling="both", scope="secrets:read", errors=(SecretNotFound,),
    doc="One secret, without its value.",
)  # fmt: skip
set_ = operation(
    "secrets.set", SetSecret, Secret,
    rest=f"PUT {_PATH}/{{name}}", spelling="both", scope="secrets:write", errors=(InvalidSecret, MasterKeyMissing),
    doc="Replaces the value of a secret; creates it when there is none.",
)  # fmt: skip
change = operation(
    "secrets.change", ChangeSecret, Secret,
    rest=f"PATCH {_PATH}/{{secret}}", spelling="both", scope="secrets:write",
    errors=(SecretNotFound, SecretExists, InvalidSecret, MasterKeyMissing),
    doc="Renames or describes a secret. Its value stays.",
)  # fmt: skip
delete = operation(
    "secrets.delete", NamedSecret, None,
    rest=f"DELETE {_PATH}/{{name}}", scope="secrets:write", errors=(SecretNotFound,),
    doc="Deletes a secret.",
)  # fmt: skip
rekey = operation(
    "secrets.rekey", Rekey, Rekeyed,
    rest="POST /api/v1/secret-keys/rekey", spelling="both", scope="secrets:rekey", errors=(MasterKeyMissing,),
    doc="""Reads the master keys again, gives each environment a new data key under the first of them, and encrypts
    every secret with it. It can be repeated after an interruption.""",
)  # fmt: skip
