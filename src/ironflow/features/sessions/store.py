"""What is remembered of sessions, and of wrong passwords."""

from collections.abc import Iterable

from ironflow.base.time import Millis
from ironflow.features.sessions.rules import Failures, SessionRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(SessionRow._fields)
_VALUES = ", ".join(f":{name}" for name in SessionRow._fields)
INSERT = f"INSERT INTO sessions ({_COLUMNS}) VALUES ({_VALUES})"
BY_HASH = f"SELECT {_COLUMNS} FROM sessions WHERE secret_hash = :hash"
SOME = f"SELECT {_COLUMNS} FROM sessions WHERE id IN {{each:ids}}"
DELETE = "DELETE FROM sessions WHERE id = :id"
DELETE_OLDEST = """DELETE FROM sessions WHERE user_id = :user_id AND id <= (
  SELECT id FROM sessions WHERE user_id = :user_id ORDER BY id DESC LIMIT 1 OFFSET :kept)"""
DELETE_EXPIRED = """DELETE FROM sessions WHERE id IN (
  SELECT id FROM sessions WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)"""
ADD_KEY = "INSERT INTO session_keys (id, secret, made_at) VALUES ('jwt', :secret, :now) ON CONFLICT (id) DO NOTHING"
KEY = "SELECT secret FROM session_keys WHERE id = 'jwt'"
ADD_FAILURES = """INSERT INTO login_failures (subject, failures, blocked_until, forget_at)
VALUES (:subject, 0, 0, :now) ON CONFLICT (subject) DO NOTHING"""
FAILURES = "SELECT subject, failures, blocked_until, forget_at FROM login_failures WHERE subject = :subject"
SAVE_FAILURES = """UPDATE login_failures SET failures = :failures, blocked_until = :blocked_until,
forget_at = :forget_at WHERE subject = :subject"""
CLEAR_FAILURES = "DELETE FROM login_failures WHERE subject = :subject"
FORGET_FAILURES = """DELETE FROM login_failures WHERE subject IN (
  SELECT subject FROM login_failures WHERE forget_at <= :now ORDER BY forget_at LIMIT :limit)"""


def add(tx: Tx, session: SessionRow, kept: int) -> None:
    """Adds a session. kept: sessions of its user that stay, the newest."""
    tx.run(INSERT, session._asdict())
    tx.run(DELETE_OLDEST, {"user_id": session.user_id, "kept": kept})


def session_by_hash(tx: Tx, secret_hash: str) -> SessionRow | None:
    row = tx.row(BY_HASH, {"hash": secret_hash})
    return SessionRow(*row) if row else None


def sessions(tx: Tx, ids: Iterable[str]) -> list[SessionRow]:
    """Those of these sessions that exist."""
    return [SessionRow(*row) for row in tx.rows(SOME, {"ids": list(ids)})]


def delete(tx: Tx, session_id: str) -> None:
    tx.run(DELETE, {"id": session_id})


def delete_expired(tx: Tx, now: Millis, limit: int) -> int:
    return tx.run(DELETE_EXPIRED, {"now": now, "limit": limit})


def signing_key(tx: Tx, new_secret: str, now: Millis) -> str:
    """What JWTs are signed with, the same on every node. new_secret: used where there is none yet."""
    tx.run(ADD_KEY, {"secret": new_secret, "now": now})
    row = tx.row(KEY)
    assert row is not None
    return row[0]


def failures(tx: Tx, subject: str, now: Millis) -> Failures:
    """Added where there are none, so that others who try at the same time wait for this transaction."""
    tx.run(ADD_FAILURES, {"subject": subject, "now": now})
    row = tx.row(FAILURES + " {for_update}", {"subject": subject})
    assert row is not None
    return Failures(*row)


def save_failures(tx: Tx, row: Failures) -> None:
    tx.run(SAVE_FAILURES, row._asdict())


def clear_failures(tx: Tx, subject: str) -> None:
    tx.run(CLEAR_FAILURES, {"subject": subject})


def forget_failures(tx: Tx, now: Millis, limit: int) -> int:
    return tx.run(FORGET_FAILURES, {"now": now, "limit": limit})
