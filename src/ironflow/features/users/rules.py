"""What is decided of users: which addresses and passwords are valid, and what a role is called."""

import re
import unicodedata
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.roles.in_tx import BUILT_IN
from ironflow.features.users.contract import InvalidUser

PASSWORD_CHARS_MIN = 8
# Whether an address exists is found out by writing to it; this keeps out what is none.
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


class UserRow(NamedTuple):
    """role_ids: separated by commas. email_key: the address as it is compared. 0 is no time.

    epoch: of the sessions that count; it rises when they are ended.
    """

    id: str
    org_id: str
    email: str
    email_key: str
    name: str
    role_ids: str
    password_hash: str
    epoch: int
    created_at: Millis
    created_by: str
    updated_at: Millis
    last_login_at: Millis

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.role_ids.split(",")) if self.role_ids else ()


def email_key(email: str) -> str:
    """The address as it is compared: people write their own in several ways."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def check_email(email: str) -> None:
    """Raises InvalidUser."""
    if not _EMAIL.fullmatch(email_key(email)):
        raise InvalidUser(f"{email[:80]!r} is no e-mail address; it should be like name@example.com.")


def check_password(password: str) -> None:
    """Raises InvalidUser, which does not have the password in it."""
    if len(password) < PASSWORD_CHARS_MIN:
        raise InvalidUser(f"The password has {len(password)} characters; {PASSWORD_CHARS_MIN} is the least.")


def role_named(role: str) -> str:
    """The id of a role that is given by its id, or a built-in one by its name."""
    return f"role_{role}" if f"role_{role}" in BUILT_IN else role
