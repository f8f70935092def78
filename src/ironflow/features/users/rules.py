"""What is decided of users: which addresses and passwords are valid, and what a role is called."""

import re
import unicodedata
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.roles.in_tx import BUILT_IN, gives_all
from ironflow.features.users.contract import InvalidUser, LastAdministrator

PASSWORD_CHARS_MIN = 8
# Whether an address exists is found out by writing to it; this keeps out what is none.
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


class UserRow(NamedTuple):
    """role_ids: separated by commas. email_key: the address as it is compared. 0 is no time.

    epoch: of the sessions that count; it rises when they are ended. disabled_at: 0 for one who may log in.
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
    disabled_at: Millis = 0
    disabled_reason: str = ""

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.role_ids.split(",")) if self.role_ids else ()


def email_key(email: str) -> str:
    """The address as it is compared: people write their own in several ways."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def check_email(email: str) -> None:
    """Raises InvalidUser, also for characters that are not seen: two users would look alike."""
    unseen = any(unicodedata.category(each) in ("Cc", "Cf", "Cn", "Co", "Cs") for each in email)
    if unseen or not _EMAIL.fullmatch(email_key(email)):
        raise InvalidUser(f"{email[:80]!r} is no e-mail address; it should be like name@example.com.")


def check_password(password: str) -> None:
    """Raises InvalidUser, which does not have the password in it."""
    if len(password) < PASSWORD_CHARS_MIN:
        raise InvalidUser(f"The password has {len(password)} characters; {PASSWORD_CHARS_MIN} is the least.")


def check_administrator_stays(old: UserRow, new: UserRow | None, *, others: bool) -> None:
    """Whether a user may be changed so, or deleted where `new` is None.

    others: whether another user who is not disabled, or a valid key of all environments, is an administrator. One with
    the role admin and an added role is none: a policy of that role may deny everything.
    Raises LastAdministrator. Source: docs/guides/security.md, "Users".
    """
    if others or not _is_administrator(old) or (new is not None and _is_administrator(new)):
        return
    raise LastAdministrator(
        f"{old.email[:80]!r} is the last user with the role admin, and without an added one, who may log in; "
        "no API key of all environments is like that. Give another user or key the role admin alone first."
    )


def _is_administrator(user: UserRow) -> bool:
    return gives_all(user.roles) and not user.disabled_at


def role_named(role: str) -> str:
    """The id of a role that is given by its id, or a built-in one by its name."""
    return f"role_{role}" if f"role_{role}" in BUILT_IN else role
