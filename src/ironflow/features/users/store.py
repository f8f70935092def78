"""What is remembered of users."""

from collections.abc import Iterable

from ironflow.base.time import Millis
from ironflow.features.users.rules import UserRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(UserRow._fields)
_VALUES = ", ".join(f":{name}" for name in UserRow._fields)
INSERT = f"INSERT INTO users ({_COLUMNS}) VALUES ({_VALUES}) ON CONFLICT (email_key) DO NOTHING"
ONE = f"SELECT {_COLUMNS} FROM users WHERE id = :id"
SOME = f"SELECT {_COLUMNS} FROM users WHERE id IN {{each:ids}}"
BY_EMAIL = f"SELECT {_COLUMNS} FROM users WHERE email_key = :email_key"
AFTER = f"SELECT {_COLUMNS} FROM users WHERE id > :cursor ORDER BY id LIMIT :limit"
SAVE = """UPDATE users SET email = :email, email_key = :email_key, name = :name, role_ids = :role_ids,
password_hash = :password_hash, epoch = :epoch, updated_at = :updated_at, last_login_at = :last_login_at,
disabled_at = :disabled_at, disabled_reason = :disabled_reason WHERE id = :id"""
# Locked in one order, before the user who changes: two administrators may disable each other at once.
WITH_ROLE = f"""SELECT {_COLUMNS} FROM users WHERE disabled_at = 0 AND ',' || role_ids || ',' LIKE :role
ORDER BY id {{for_update}}"""
DELETE = "DELETE FROM users WHERE id = :id"
BOOTSTRAP = "INSERT INTO user_bootstraps (id, made_at) VALUES ('first', :now) ON CONFLICT (id) DO NOTHING"


def add(tx: Tx, user: UserRow) -> bool:
    """False when another user has the e-mail address."""
    return tx.run(INSERT, user._asdict()) > 0


def user(tx: Tx, user_id: str, *, to_write: bool = False) -> UserRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": user_id})
    return UserRow(*row) if row else None


def users(tx: Tx, ids: Iterable[str]) -> dict[str, UserRow]:
    """Those of these users that exist, by id."""
    return {row[0]: UserRow(*row) for row in tx.rows(SOME, {"ids": list(ids)})}


def user_by_email(tx: Tx, email_key: str) -> UserRow | None:
    row = tx.row(BY_EMAIL, {"email_key": email_key})
    return UserRow(*row) if row else None


def users_after(tx: Tx, cursor: str, limit: int) -> list[UserRow]:
    """By id, after `cursor`."""
    return [UserRow(*row) for row in tx.rows(AFTER, {"cursor": cursor, "limit": limit})]


def with_role(tx: Tx, role: str) -> list[UserRow]:
    """The users who have this role and are not disabled; locked until the commit."""
    return [UserRow(*row) for row in tx.rows(WITH_ROLE, {"role": f"%,{role},%"})]


def save(tx: Tx, user: UserRow) -> None:
    tx.run(SAVE, user._asdict())


def delete(tx: Tx, user_id: str) -> None:
    tx.run(DELETE, {"id": user_id})


def add_bootstrap(tx: Tx, now: Millis) -> bool:
    """Whether no first user was made yet; another node that starts now waits for the answer."""
    return tx.run(BOOTSTRAP, {"now": now}) > 0
