"""What is decided about keys and buckets; pure. Source: docs/reference/kv.md, protocol/rest.md 7."""

import re

from msgspec import Struct

from ironflow.base.time import Millis
from ironflow.features.kv.contract import BucketFull, InvalidBucket, InvalidKey, RevisionConflict, ValueTooLarge

KEY_BYTES_MAX = 1024
# A bucket without max_value_size takes values up to this.
VALUE_BYTES_MAX = 8 * 1024 * 1024

# Buckets of the server's own features: their names are no names for users, and listings begin after them.
SYSTEM_MARK = "$"
AFTER_SYSTEM_BUCKETS = "%"
# For so long a watcher that comes back learns that a key was purged.
PURGES_KEPT_MS = 7 * 24 * 3600 * 1000

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FORBIDDEN_IN_KEY = re.compile(r"[\x00-\x1f\x7f*>]")


class BucketRow(Struct, frozen=True):
    """A bucket as it is stored. ttl_ms, value_bytes_max, bytes_max: 0 means no limit."""

    name: str
    description: str
    ttl_ms: int
    value_bytes_max: int
    bytes_max: int
    history: int
    created_at: Millis
    last_revision: int
    bytes_stored: int


class EntryRow(Struct, frozen=True):
    """One revision of a key. operation: `put` or `delete`. written_by: read with the history only."""

    key: str
    revision: int
    operation: str
    size_bytes: int
    created_at: Millis
    written_by: str = ""


class Condition(Struct, frozen=True):
    """revision: the key must be at it. exists: the key must exist (True) or not (False). None: no matter."""

    revision: int | None = None
    exists: bool | None = None


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucket."""
    if not _NAME.fullmatch(name):
        raise InvalidBucket(f"{name!r} is no bucket name: write 1 to 128 letters, digits, `_`, `-` or `.`.")


def check_key(key: str) -> None:
    """Raises InvalidKey."""
    if not key or len(key.encode()) > KEY_BYTES_MAX or _FORBIDDEN_IN_KEY.search(key):
        raise InvalidKey(
            f"{key[:60]!r} is no key: write 1 to {KEY_BYTES_MAX} bytes without control characters, `*` or `>`."
        )


def condition_of(if_match: str | None, if_none_match: str | None) -> Condition:
    """The condition that the headers state; revisions may be bare or quoted. Raises InvalidKey for others."""
    if if_none_match is not None:
        if if_none_match.strip().strip('"') != "*":
            raise InvalidKey(f"If-None-Match: {if_none_match!r} is not understood; only `*` is.")
        return Condition(exists=False)
    if if_match is None:
        return Condition()
    text = if_match.strip().removeprefix("W/").strip('"')
    if text == "*":
        return Condition(exists=True)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidKey(f"If-Match: {if_match!r} is not a revision number.")
    # Several clients send revision 0 for "must not exist".
    return Condition(revision=int(text)) if int(text) else Condition(exists=False)


def is_live(entry: EntryRow | None, bucket: BucketRow, now: Millis) -> bool:
    """Whether a reader sees the entry: it is a put and has not expired."""
    return entry is not None and is_seen(entry, bucket.ttl_ms, now, at_revision=False)


def is_seen(entry: EntryRow, ttl_ms: Millis, now: Millis, *, at_revision: bool) -> bool:
    """Whether a reader sees the entry, who asks for the newest or for a certain revision, which may be a tombstone."""
    if ttl_ms and entry.created_at + ttl_ms <= now:
        return False
    return at_revision or entry.operation == "put"


def check_condition(newest: EntryRow | None, bucket: BucketRow, condition: Condition, now: Millis) -> None:
    """Raises RevisionConflict naming the revision that the key is at."""
    live = newest if newest is not None and is_live(newest, bucket, now) else None
    if condition.exists is False and live is not None:
        raise RevisionConflict(f"Key {live.key!r} exists already, at revision {live.revision}.")
    if condition.exists is True and live is None:
        raise RevisionConflict("The key does not exist.")
    if condition.revision is not None and (live is None or live.revision != condition.revision):
        at = f"is at revision {live.revision}" if live else "does not exist"
        raise RevisionConflict(f"The key {at}, the request expects {condition.revision}. Read it again and retry.")


def decide_put(
    bucket: BucketRow,
    newest: EntryRow | None,
    key: str,
    size_bytes: int,
    condition: Condition,
    now: Millis,
    *,
    freed_bytes: int = 0,
) -> EntryRow:
    """The entry to store, at the bucket's next revision.

    newest: the key's last entry, tombstone or not. freed_bytes: of the revisions that this one pushes out of the
    history. Raises RevisionConflict, InvalidKey, ValueTooLarge, BucketFull.
    Source: docs/reference/kv.md, "Compare and set" and "Limits".
    """
    check_key(key)
    check_condition(newest, bucket, condition, now)
    value_bytes_max = bucket.value_bytes_max or VALUE_BYTES_MAX
    if size_bytes > value_bytes_max:
        raise ValueTooLarge(f"The value is {size_bytes} bytes; bucket {bucket.name!r} takes up to {value_bytes_max}.")
    if bucket.bytes_max and bucket.bytes_stored - freed_bytes + size_bytes > bucket.bytes_max:
        raise BucketFull(
            f"Bucket {bucket.name!r} holds {bucket.bytes_stored} of {bucket.bytes_max} bytes; "
            f"{size_bytes} more do not fit. Delete or purge keys, or make a larger bucket."
        )
    return EntryRow(key, bucket.last_revision + 1, "put", size_bytes, now)


def decide_delete(
    bucket: BucketRow, newest: EntryRow | None, key: str, condition: Condition, now: Millis
) -> EntryRow | None:
    """The tombstone to store; None when there is nothing live to delete. Raises RevisionConflict."""
    check_condition(newest, bucket, condition, now)
    if not is_live(newest, bucket, now):
        return None
    return EntryRow(key, bucket.last_revision + 1, "delete", 0, now)
