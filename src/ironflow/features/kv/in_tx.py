"""Buckets of the server's own: what other features keep in them, inside their own transactions."""

from ironflow.base.time import Millis
from ironflow.features.kv import store
from ironflow.features.kv.rules import SYSTEM_MARK, BucketRow, Condition
from ironflow.features.kv.rules import EntryRow as EntryRow
from ironflow.features.kv.rules import condition_of as condition_of
from ironflow.features.kv.writing import Write, apply_writes
from ironflow.storage.port import Tx


def make_sure_of(tx: Tx, environment: str, name: str, now: Millis) -> BucketRow:
    """The server's own bucket `name`, which begins with `$`; made now if it was not there."""
    if not name.startswith(SYSTEM_MARK):
        raise ValueError(f"{name!r} could be a user's bucket")
    bucket = store.bucket(tx, environment, name)
    if bucket is None:
        store.create_bucket(tx, environment, BucketRow(name, "", 0, 0, 0, 1, now, 0, 0))
        # Perhaps another node was quicker.
        bucket = store.bucket(tx, environment, name)
    if bucket is None:
        raise LookupError(f"bucket {name!r} was made and is not there")
    return bucket


def lock(tx: Tx, environment: str, name: str, now: Millis) -> None:
    """Until this transaction ends no other one writes into the server's own bucket `name`."""
    make_sure_of(tx, environment, name, now)
    store.bucket(tx, environment, name, to_write=True)


def value_of(tx: Tx, environment: str, name: str, key: str) -> tuple[EntryRow, bytes] | None:
    """The newest entry of a key if it is live."""
    found = store.value(tx, environment, name, key)
    return found if found is not None and found[0].operation == "put" else None


def live_after(tx: Tx, environment: str, name: str, cursor: str, limit: int) -> list[tuple[EntryRow, bytes]]:
    """Up to `limit` live entries with keys after `cursor`, by key."""
    bucket = store.bucket(tx, environment, name)
    return store.live_after(tx, environment, bucket, cursor, limit, 0) if bucket else []


def write(tx: Tx, environment: str, name: str, key: str, value: bytes | None, condition: Condition, now: Millis) -> int:
    """Puts, or deletes when `value` is None; the new revision, 0 when there was nothing to delete.

    Raises RevisionConflict, InvalidKey, ValueTooLarge.
    """
    make_sure_of(tx, environment, name, now)
    (answer,) = apply_writes(tx, [Write(environment, name, key, value, condition, now)])
    if isinstance(answer, int):
        return answer
    raise answer
