"""What other features do with users inside their own transactions."""

from ironflow.base.time import Millis
from ironflow.features.users import store
from ironflow.features.users.rules import UserRow as UserRow
from ironflow.features.users.rules import email_key as email_key
from ironflow.features.users.store import user as user
from ironflow.features.users.store import user_by_email as user_by_email
from ironflow.features.users.store import users as users
from ironflow.storage.port import Tx

# Notified when users have changed, with `ended:ID` (the sessions are no longer valid) or `changed:ID` as the key.
USERS = "users"


def logged_in(tx: Tx, user: UserRow, new_hash: str, now: Millis) -> None:
    """new_hash: of the password where it was hashed in an older way; empty to keep it."""
    store.save(tx, user._replace(last_login_at=now, password_hash=new_hash or user.password_hash))


def end_sessions(tx: Tx, user: UserRow) -> None:
    """Every session that the user has is no longer valid. The row of the user has been read to be written."""
    store.save(tx, user._replace(epoch=user.epoch + 1))
    tx.notify(USERS, f"ended:{user.id}")
