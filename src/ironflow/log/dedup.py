"""What was answered to the first append with an idempotency key, so that a repetition gets the same answer.

A key is unique within its environment and scope (`emit`, `publish:<topic>`, `invoke:<function>`, `append:<entity>`) for
seven days.
Source: DESIGN.md 4, "idempotency".
"""

from typing import NamedTuple

import msgspec

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

WINDOW_MS = 7 * 24 * 3600 * 1000

# (environment, scope, key)
Place = tuple[str, str, str]


class FirstAnswer(NamedTuple):
    """What the first emit with a key was answered. entity_version: of an append to an entity's stream only."""

    event_id: str
    run_ids: list[str]
    created_at: Millis
    entity_version: int | None = None


# A few more than wanted where environments and scopes are mixed, but each found by the primary key.
KEYS = """SELECT environment, scope, key, event_id, run_ids, created_at, entity_version FROM idempotency_keys
WHERE environment IN {each:environments} AND scope IN {each:scopes} AND key IN {each:keys}"""
KEY = """SELECT created_at FROM idempotency_keys
WHERE environment = :environment AND scope = :scope AND key = :key"""
SAVE_KEY = """INSERT INTO idempotency_keys (environment, scope, key, event_id, run_ids, created_at, entity_version)
VALUES (:environment, :scope, :key, :event_id, :run_ids, :created_at, :entity_version)
ON CONFLICT (environment, scope, key) DO UPDATE SET event_id = excluded.event_id, run_ids = excluded.run_ids,
 created_at = excluded.created_at, entity_version = excluded.entity_version"""
# Two emits with one new key at the same moment on PostgreSQL: the second waits here for the first to commit.
HOLD_KEY = """INSERT INTO idempotency_keys (environment, scope, key, event_id, run_ids, created_at)
VALUES (:environment, :scope, :key, '', '[]', 0) ON CONFLICT (environment, scope, key) DO NOTHING"""
RELEASE_KEY = """DELETE FROM idempotency_keys
WHERE environment = :environment AND scope = :scope AND key = :key AND created_at = 0"""
DELETE_OLD_KEYS = """DELETE FROM idempotency_keys
WHERE created_at > 0 AND created_at <= :oldest AND (environment, scope, key) IN
(SELECT environment, scope, key FROM idempotency_keys WHERE created_at > 0 AND created_at <= :oldest
 ORDER BY created_at LIMIT :limit)"""


def is_repeat(first_at: Millis, now: Millis) -> bool:
    """Whether an append with a key seen at `first_at` is answered with the first one's ids."""
    return now - first_at < WINDOW_MS


def first_answers(tx: Tx, keys: list[Place]) -> dict[Place, FirstAnswer]:
    """What earlier emits with these (environment, scope, key) were answered; holds the keys against other nodes."""
    wanted = set(keys)
    if not wanted:
        return {}
    if not tx.alone:
        # In one order everywhere, so that no two nodes wait for each other. One writer waits for no other: saves a
        # statement that writes each key twice.
        tx.many(HOLD_KEY, [{"environment": each[0], "scope": each[1], "key": each[2]} for each in sorted(wanted)])
    environments, scopes, texts = (list(dict.fromkeys(column)) for column in zip(*wanted, strict=True))
    rows = tx.rows(KEYS, {"environments": environments, "scopes": scopes, "keys": texts})
    return {
        (row[0], row[1], row[2]): FirstAnswer(row[3], msgspec.json.decode(row[4], type=list[str]), row[5], row[6])
        for row in rows
        if (row[0], row[1], row[2]) in wanted and row[5] > 0
    }


def is_used(tx: Tx, place: Place, now: Millis) -> bool:
    """Whether an append was answered under this key. It is not held: hold another key of the same request first."""
    environment, scope, key = place
    row = tx.row(KEY, {"environment": environment, "scope": scope, "key": key})
    return row is not None and row[0] > 0 and is_repeat(row[0], now)


def save_answers(tx: Tx, answers: dict[Place, FirstAnswer]) -> None:
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
                "entity_version": answer.entity_version,
            }
            for (environment, scope, key), answer in answers.items()
        ],
    )


def release_keys(tx: Tx, keys: list[Place]) -> None:
    """Releases keys that `first_answers` held and no emit was answered under."""
    if not tx.alone:
        tx.many(RELEASE_KEY, [{"environment": each[0], "scope": each[1], "key": each[2]} for each in keys])


def delete_old_keys(tx: Tx, oldest: Millis, limit: int) -> int:
    """Deletes up to `limit` keys first seen at `oldest` or before; how many."""
    return tx.run(DELETE_OLD_KEYS, {"oldest": oldest, "limit": limit})
