"""What is remembered of emits: idempotency keys, and the log read by its users' filters."""

from typing import Any, NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.log.read import COLUMNS
from ironflow.log.record import Record
from ironflow.storage.port import Tx


class FirstAnswer(NamedTuple):
    """What the first emit with a key was answered."""

    event_id: str
    run_ids: list[str]
    created_at: Millis


KEYS = """SELECT environment, scope, key, event_id, run_ids, created_at FROM idempotency_keys
WHERE key IN {each:keys}"""
SAVE_KEY = """INSERT INTO idempotency_keys (environment, scope, key, event_id, run_ids, created_at)
VALUES (:environment, :scope, :key, :event_id, :run_ids, :created_at)
ON CONFLICT (environment, scope, key) DO UPDATE SET event_id = excluded.event_id, run_ids = excluded.run_ids,
 created_at = excluded.created_at"""
# Two emits with one new key at the same moment on PostgreSQL: the second waits here for the first to commit.
HOLD_KEY = """INSERT INTO idempotency_keys (environment, scope, key, event_id, run_ids, created_at)
VALUES (:environment, :scope, :key, '', '[]', 0) ON CONFLICT (environment, scope, key) DO NOTHING"""
RELEASE_KEY = """DELETE FROM idempotency_keys
WHERE environment = :environment AND scope = :scope AND key = :key AND created_at = 0"""
DELETE_OLD_KEYS = """DELETE FROM idempotency_keys
WHERE created_at > 0 AND created_at <= :oldest AND (environment, scope, key) IN
(SELECT environment, scope, key FROM idempotency_keys WHERE created_at > 0 AND created_at <= :oldest
 ORDER BY created_at LIMIT :limit)"""

_FILTER = """FROM events WHERE environment = :environment AND kind = 'event'
 AND position < :before AND position > :after
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until)
 AND (:source = '' OR source = :source) AND (:search = '' OR data {ilike} :like OR id = :search)"""
NEWEST = f"SELECT {COLUMNS} {_FILTER} AND (:any_name = 1 OR name IN {{each:names}}) ORDER BY position DESC LIMIT :limit"
OLDEST = f"SELECT {COLUMNS} {_FILTER} AND (:any_name = 1 OR name IN {{each:names}}) ORDER BY position LIMIT :limit"
RECENT_NAMES = """SELECT name FROM events WHERE environment = :environment AND kind = 'event'
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until) AND (:source = '' OR source = :source)
ORDER BY position DESC LIMIT :limit"""
DISTINCT_NAMES = """SELECT DISTINCT name FROM events WHERE environment = :environment"""


def first_answers(tx: Tx, keys: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], FirstAnswer]:
    """What earlier emits with these (environment, scope, key) were answered; holds the keys against other nodes."""
    tx.many(HOLD_KEY, [{"environment": each[0], "scope": each[1], "key": each[2]} for each in keys])
    rows = tx.rows(KEYS, {"keys": sorted({key for _, _, key in keys})})
    wanted = set(keys)
    return {
        (row[0], row[1], row[2]): FirstAnswer(row[3], msgspec.json.decode(row[4], type=list[str]), row[5])
        for row in rows
        if (row[0], row[1], row[2]) in wanted and row[5] > 0
    }


def save_answers(tx: Tx, answers: dict[tuple[str, str, str], FirstAnswer]) -> None:
    tx.many(
        SAVE_KEY,
        [
            {
                "environment": environment,
                "scope": scope,
                "key": key,
                "event_id": answer.event_id,
                "run_ids": msgspec.json.encode(answer.run_ids).decode(),
                "created_at": answer.created_at,
            }
            for (environment, scope, key), answer in answers.items()
        ],
    )


def release_keys(tx: Tx, keys: list[tuple[str, str, str]]) -> None:
    """Lets go of keys that `first_answers` held and no emit was answered under."""
    tx.many(RELEASE_KEY, [{"environment": each[0], "scope": each[1], "key": each[2]} for each in keys])


def delete_old_keys(tx: Tx, oldest: Millis, limit: int) -> int:
    """Forgets up to `limit` keys first seen at `oldest` or before; how many."""
    return tx.run(DELETE_OLD_KEYS, {"oldest": oldest, "limit": limit})


def page(tx: Tx, newest_first: bool, names: list[str] | None, **filters: Any) -> list[Record]:
    """Events that pass the filters. names: exact names, None for any. See `_FILTER` for the others."""
    params = {"any_name": 1 if names is None else 0, "names": names or [], **filters}
    return [Record(*row) for row in tx.rows(NEWEST if newest_first else OLDEST, params)]


def distinct_names(tx: Tx, environment: str) -> list[str]:
    return [row[0] for row in tx.rows(DISTINCT_NAMES, {"environment": environment})]


def recent_names(tx: Tx, **filters: Any) -> list[str]:
    """The names of the newest events, one for each event."""
    return [row[0] for row in tx.rows(RECENT_NAMES, filters)]
