"""What is remembered of buckets and entries."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.features.kv.rules import AFTER_SYSTEM_BUCKETS, KEY_BYTES_MAX, BucketRow, EntryRow
from ironflow.storage.port import Tx

_BUCKET = "name, description, ttl_ms, value_bytes_max, bytes_max, history, created_at, last_revision, bytes_stored"
_ENTRY = "key, revision, operation, size_bytes, created_at"

INSERT_BUCKET = f"""INSERT INTO kv_buckets (environment, {_BUCKET})
VALUES (:environment, :name, :description, :ttl_ms, :value_bytes_max, :bytes_max, :history, :created_at, 0, 0)
ON CONFLICT (environment, name) DO NOTHING"""
BUCKET = f"SELECT {_BUCKET} FROM kv_buckets WHERE environment = :environment AND name = :bucket"
BUCKET_TO_WRITE = BUCKET + " {for_update}"
BUCKETS_AFTER = f"""SELECT {_BUCKET} FROM kv_buckets
WHERE environment = :environment AND name > :cursor AND name >= :first ORDER BY name LIMIT :limit"""
SAVE_BUCKET = """UPDATE kv_buckets SET last_revision = :last_revision, bytes_stored = :bytes_stored
WHERE environment = :environment AND name = :bucket"""
DELETE_BUCKET = "DELETE FROM kv_buckets WHERE environment = :environment AND name = :bucket"
DELETE_BUCKET_PURGES = "DELETE FROM kv_purges WHERE environment = :environment AND bucket = :bucket"
DELETE_BUCKET_ENTRIES = "DELETE FROM kv_entries WHERE environment = :environment AND bucket = :bucket"
COUNT_VALUES = """SELECT count(*) FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND newest = 1 AND operation = 'put' AND created_at > :oldest"""

NEWEST = f"""SELECT {_ENTRY} FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND key IN {{each:keys}} AND newest = 1"""
VALUE = f"""SELECT {_ENTRY}, value FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND key = :key AND newest = 1"""
# With its bucket, in one statement: a row without an entry where there is a bucket, no row where there is none.
_FOUND = "b.ttl_ms, e.key, e.revision, e.operation, e.size_bytes, e.created_at, e.value"
FIND = f"""SELECT {_FOUND} FROM kv_buckets AS b LEFT JOIN kv_entries AS e
ON e.environment = b.environment AND e.bucket = b.name AND e.key = :key AND e.newest = 1
WHERE b.environment = :environment AND b.name = :bucket"""
FIND_AT = f"""SELECT {_FOUND} FROM kv_buckets AS b LEFT JOIN kv_entries AS e
ON e.environment = b.environment AND e.bucket = b.name AND e.key = :key AND e.revision = :revision
WHERE b.environment = :environment AND b.name = :bucket"""
HISTORY = f"""SELECT {_ENTRY}, written_by, value FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND key = :key AND created_at > :oldest
ORDER BY revision DESC LIMIT :limit"""
KEYS_AFTER = """SELECT key FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND newest = 1 AND operation = 'put' AND created_at > :oldest
  AND key > :cursor AND key >= :first AND key < :last ORDER BY key LIMIT :limit"""

UNMARK_NEWEST = """UPDATE kv_entries SET newest = 0
WHERE environment = :environment AND bucket = :bucket AND key = :key AND revision = :revision"""
DELETE_REVISION = """DELETE FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND key = :key AND revision = :revision"""
INSERT_ENTRY = """INSERT INTO kv_entries
(environment, bucket, key, revision, operation, value, size_bytes, created_at, written_by, newest)
VALUES (:environment, :bucket, :key, :revision, :operation, :value, :size_bytes, :created_at, :written_by, 1)"""
# The revisions of a key beyond the newest `history`.
OLD_REVISIONS = f"""SELECT {_ENTRY} FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND key = :key ORDER BY revision DESC LIMIT 64 OFFSET :history"""
PUSHED_OUT_BYTES = """SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM (
  SELECT size_bytes FROM kv_entries WHERE environment = :environment AND bucket = :bucket AND key = :key
  ORDER BY revision DESC LIMIT 64 OFFSET :kept) AS old"""
PURGE_KEY = """DELETE FROM kv_entries WHERE environment = :environment AND bucket = :bucket AND key = :key
RETURNING size_bytes"""

TTL_BUCKETS = "SELECT environment, name, ttl_ms FROM kv_buckets WHERE ttl_ms > 0 ORDER BY environment, name"
# By revision, which is the order of writing: where the clock was set back, an entry waits for an older one to expire.
EXPIRED = """SELECT key, revision, size_bytes FROM (
  SELECT key, revision, size_bytes, created_at FROM kv_entries
  WHERE environment = :environment AND bucket = :bucket ORDER BY revision LIMIT :limit) AS oldest
WHERE created_at <= :oldest ORDER BY revision"""

CHANGES = f"""SELECT {_ENTRY}, value FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND revision > :after AND newest = 1
ORDER BY revision LIMIT :limit"""
LIVE = f"""SELECT {_ENTRY}, value FROM kv_entries
WHERE environment = :environment AND bucket = :bucket AND newest = 1 AND operation = 'put' AND created_at > :oldest
  AND key > :cursor ORDER BY key LIMIT :limit"""
INSERT_PURGE = """INSERT INTO kv_purges (environment, bucket, revision, key, purged_at)
VALUES (:environment, :bucket, :revision, :key, :now)"""
PURGES = """SELECT key, revision, 'delete', 0, purged_at FROM kv_purges
WHERE environment = :environment AND bucket = :bucket AND revision > :after ORDER BY revision LIMIT :limit"""
FORGET_PURGES = """DELETE FROM kv_purges WHERE (environment, bucket, revision) IN
(SELECT environment, bucket, revision FROM kv_purges WHERE purged_at <= :oldest ORDER BY purged_at LIMIT :limit)"""


def create_bucket(tx: Tx, environment: str, bucket: BucketRow) -> bool:
    """Whether it was created; False when one of that name exists."""
    params = {
        "environment": environment,
        "name": bucket.name,
        "description": bucket.description,
        "ttl_ms": bucket.ttl_ms,
        "value_bytes_max": bucket.value_bytes_max,
        "bytes_max": bucket.bytes_max,
        "history": bucket.history,
        "created_at": bucket.created_at,
    }
    return tx.run(INSERT_BUCKET, params) == 1


def bucket(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> BucketRow | None:
    row = tx.row(BUCKET_TO_WRITE if to_write else BUCKET, {"environment": environment, "bucket": name})
    return BucketRow(*row) if row else None


def buckets_after(tx: Tx, environment: str, cursor: str, limit: int) -> list[BucketRow]:
    params = {"environment": environment, "cursor": cursor, "limit": limit, "first": AFTER_SYSTEM_BUCKETS}
    return [BucketRow(*row) for row in tx.rows(BUCKETS_AFTER, params)]


def count_values(tx: Tx, environment: str, bucket: BucketRow, now: Millis) -> int:
    row = tx.row(COUNT_VALUES, _place(environment, bucket.name, oldest=_oldest(bucket, now)))
    return int(row[0]) if row else 0


def delete_bucket(tx: Tx, environment: str, name: str) -> bool:
    # The bucket first: who is writing into it is waited for, and what he wrote is there to be deleted.
    deleted = tx.run(DELETE_BUCKET, _place(environment, name)) == 1
    tx.run(DELETE_BUCKET_ENTRIES, _place(environment, name))
    tx.run(DELETE_BUCKET_PURGES, _place(environment, name))
    return deleted


def save_bucket(tx: Tx, environment: str, bucket: BucketRow) -> None:
    place = _place(environment, bucket.name, last_revision=bucket.last_revision, bytes_stored=bucket.bytes_stored)
    tx.run(SAVE_BUCKET, place)


def newest_of(tx: Tx, environment: str, bucket: str, keys: Iterable[str]) -> dict[str, EntryRow]:
    """The last entry of each key that has one, tombstones included."""
    rows = tx.rows(NEWEST, _place(environment, bucket, keys=list(keys)))
    return {row[0]: EntryRow(*row) for row in rows}


def value(tx: Tx, environment: str, bucket: str, key: str) -> tuple[EntryRow, bytes] | None:
    row = tx.row(VALUE, _place(environment, bucket, key=key))
    return (EntryRow(*row[:5]), row[5] or b"") if row else None


def find(
    tx: Tx, environment: str, bucket: str, key: str, revision: int | None
) -> tuple[Millis, EntryRow | None, bytes] | None:
    """The bucket's ttl_ms, the newest entry of the key or the one at `revision`, and its value; in one statement.

    None when there is no such bucket.
    """
    params = {"environment": environment, "bucket": bucket, "key": key}
    row = tx.row(FIND, params) if revision is None else tx.row(FIND_AT, params | {"revision": revision})
    if row is None:
        return None
    return row[0], None if row[1] is None else EntryRow(*row[1:6]), row[6] or b""


def history(
    tx: Tx, environment: str, bucket: BucketRow, key: str, limit: int, now: Millis
) -> list[tuple[EntryRow, bytes]]:
    """The revisions of a key that have not expired, newest first."""
    rows = tx.rows(HISTORY, _place(environment, bucket.name, key=key, limit=limit, oldest=_oldest(bucket, now)))
    return [(EntryRow(*row[:6]), row[6] or b"") for row in rows]


def keys_after(
    tx: Tx, environment: str, bucket: BucketRow, prefix: str, cursor: str, limit: int, now: Millis
) -> list[str]:
    """Live keys that begin with `prefix`, after `cursor`, in order of their bytes."""
    # After every key with the prefix, for none is so long.
    last = prefix + "\U0010ffff" * KEY_BYTES_MAX
    bounds = {"first": prefix, "last": last, "cursor": cursor, "limit": limit}
    rows = tx.rows(KEYS_AFTER, _place(environment, bucket.name, oldest=_oldest(bucket, now), **bounds))
    return [row[0] for row in rows]


def replace_entries(
    tx: Tx, environment: str, bucket: str, replaced: dict[str, int], entries: Iterable[tuple[EntryRow, bytes | None]]
) -> None:
    """Stores entries as the newest of their keys in a bucket without history. replaced: the former revisions."""
    deleted = [(environment, bucket, key, revision) for key, revision in replaced.items()]
    if deleted:
        tx.many(DELETE_REVISION, deleted)
    # The order is that of the statement's parameters.
    rows = [
        (
            environment,
            bucket,
            each.key,
            each.revision,
            each.operation,
            value,
            each.size_bytes,
            each.created_at,
            each.written_by,
        )
        for each, value in entries
    ]
    tx.many(INSERT_ENTRY, rows)


def add_entry(
    tx: Tx, environment: str, bucket: BucketRow, entry: EntryRow, value: bytes | None, previous: EntryRow | None
) -> int:
    """Stores `entry` as the newest of its key in a bucket with history and drops revisions beyond that.

    Returns by how many bytes the bucket grew.
    """
    if previous is not None:
        tx.run(UNMARK_NEWEST, _place(environment, bucket.name, key=entry.key, revision=previous.revision))
    tx.run(INSERT_ENTRY, _entry_params(environment, bucket.name, entry, value))
    return entry.size_bytes - (_drop_old(tx, environment, bucket, entry.key) if previous is not None else 0)


def _entry_params(environment: str, bucket: str, entry: EntryRow, value: bytes | None) -> dict[str, Any]:
    return _place(
        environment,
        bucket,
        key=entry.key,
        revision=entry.revision,
        operation=entry.operation,
        value=value,
        size_bytes=entry.size_bytes,
        created_at=entry.created_at,
        written_by=entry.written_by,
    )


def _drop_old(tx: Tx, environment: str, bucket: BucketRow, key: str) -> int:
    old = [
        EntryRow(*row)
        for row in tx.rows(OLD_REVISIONS, _place(environment, bucket.name, key=key, history=bucket.history))
    ]
    for entry in old:
        tx.run(DELETE_REVISION, _place(environment, bucket.name, key=key, revision=entry.revision))
    return sum(entry.size_bytes for entry in old)


def pushed_out_bytes(tx: Tx, environment: str, bucket: BucketRow, previous: EntryRow | None) -> int:
    """The size of the revisions that the next one of this key pushes out of the history."""
    if previous is None or bucket.history == 1:
        return previous.size_bytes if previous is not None else 0
    place = _place(environment, bucket.name, key=previous.key, kept=bucket.history - 1)
    row = tx.row(PUSHED_OUT_BYTES, place)
    return row[0] if row else 0


def purge_key(tx: Tx, environment: str, bucket: str, key: str) -> int:
    """Removes a key with its history; how many bytes that freed."""
    return sum(row[0] for row in tx.rows(PURGE_KEY, _place(environment, bucket, key=key)))


def add_purge(tx: Tx, environment: str, bucket: str, key: str, revision: int, now: Millis) -> None:
    """Remembers for watchers that a key was purged."""
    tx.run(INSERT_PURGE, _place(environment, bucket, key=key, revision=revision, now=now))


def forget_purges(tx: Tx, oldest: Millis, limit: int) -> int:
    """Deletes up to `limit` purges made at `oldest` or before; how many."""
    return tx.run(FORGET_PURGES, {"oldest": oldest, "limit": limit})


def changes_after(tx: Tx, environment: str, bucket: str, revision: int, limit: int) -> list[tuple[EntryRow, bytes]]:
    """Up to `limit` changes after `revision`, in order: the newest of each key, purges as deletes."""
    place = _place(environment, bucket, after=revision, limit=limit)
    entries = [(EntryRow(*row[:5]), row[5] or b"") for row in tx.rows(CHANGES, place)]
    purges = [(EntryRow(*row), b"") for row in tx.rows(PURGES, place)]
    return sorted(entries + purges, key=lambda change: change[0].revision)[:limit]


def live_after(
    tx: Tx, environment: str, bucket: BucketRow, cursor: str, limit: int, now: Millis
) -> list[tuple[EntryRow, bytes]]:
    """Up to `limit` live entries with keys after `cursor`, in order of their keys' bytes."""
    bounds = {"cursor": cursor, "limit": limit, "oldest": _oldest(bucket, now)}
    return [(EntryRow(*row[:5]), row[5] or b"") for row in tx.rows(LIVE, _place(environment, bucket.name, **bounds))]


def ttl_buckets(tx: Tx) -> list[tuple[str, str, int]]:
    """(environment, name, ttl_ms) of every bucket whose entries expire."""
    return [(row[0], row[1], row[2]) for row in tx.rows(TTL_BUCKETS)]


def remove_expired(tx: Tx, environment: str, bucket: BucketRow, now: Millis, limit: int) -> int:
    """Removes up to `limit` expired entries; how many."""
    expired = tx.rows(EXPIRED, _place(environment, bucket.name, oldest=now - bucket.ttl_ms, limit=limit))
    for key, revision, _ in expired:
        tx.run(DELETE_REVISION, _place(environment, bucket.name, key=key, revision=revision))
    if expired:
        freed = sum(row[2] for row in expired)
        save_bucket(tx, environment, replace(bucket, bytes_stored=bucket.bytes_stored - freed))
    return len(expired)


def _oldest(bucket: BucketRow, now: Millis) -> int:
    """Entries made at or before this are expired; -1 when entries of the bucket never expire."""
    return now - bucket.ttl_ms if bucket.ttl_ms else -1


def _place(environment: str, bucket: str, **more: Any) -> dict[str, Any]:
    return {"environment": environment, "bucket": bucket, **more}
