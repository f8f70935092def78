"""Puts and deletes inside a transaction: few statements for all that wait for the same commit."""

from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.time import Millis
from ironflow.features.kv import contract, rules, store
from ironflow.features.kv.rules import BucketRow, EntryRow
from ironflow.storage.port import Tx


class Write(NamedTuple):
    """A put, or a delete when `value` is None, waiting for the next commit. written_by: its principal."""

    environment: str
    bucket: str
    key: str
    value: bytes | None
    condition: rules.Condition
    now: Millis
    written_by: str = ""


@dataclass(slots=True)
class _Replaced:
    """What the writes to a bucket without history come to. revisions: for each key, the one that is replaced."""

    revisions: dict[str, int] = field(default_factory=dict)
    entries: dict[str, tuple[EntryRow, bytes | None]] = field(default_factory=dict)

    def put(self, entry: EntryRow, value: bytes | None, previous: EntryRow | None) -> int:
        """By how many bytes the bucket grew."""
        if previous is None:
            grew = entry.size_bytes
        else:
            grew = entry.size_bytes - previous.size_bytes
            # What was written by another of the same commit is not there yet, and never will be.
            if entry.key not in self.entries:
                self.revisions[entry.key] = previous.revision
        self.entries[entry.key] = (entry, value)
        return grew


def apply_writes(tx: Tx, writes: list[Write]) -> list[int | IronflowError]:
    """Puts and deletes of one commit, in order; the new revision of each (0 when nothing was there to delete)."""
    answers: list[int | IronflowError | None] = [None] * len(writes)
    places: dict[tuple[str, str], list[int]] = {}
    for index, write in enumerate(writes):
        places.setdefault((write.environment, write.bucket), []).append(index)
    # In one order on all nodes, so that no two wait for each other's bucket.
    for (environment, name), indexes in sorted(places.items()):
        before = bucket = store.bucket(tx, environment, name, to_write=True)
        if bucket is None:
            for index in indexes:
                answers[index] = bucket_not_found(name, environment)
            continue
        newest: dict[str, EntryRow] = store.newest_of(tx, environment, name, {writes[index].key for index in indexes})
        replaced = _Replaced()
        for index in indexes:
            try:
                bucket, answers[index] = _apply_write(tx, bucket, newest, replaced, writes[index])
            except IronflowError as refusal:
                answers[index] = refusal
        if replaced.entries:
            store.replace_entries(tx, environment, name, replaced.revisions, replaced.entries.values())
        if bucket is not before:
            store.save_bucket(tx, environment, bucket)
            tx.notify("kv", f"{environment}/{name}")
    return [0 if answer is None else answer for answer in answers]


def _apply_write(
    tx: Tx, bucket: BucketRow, newest: dict[str, EntryRow], replaced: _Replaced, write: Write
) -> tuple[BucketRow, int]:
    previous = newest.get(write.key)
    if write.value is None:
        entry = rules.decide_delete(bucket, previous, write.key, write.condition, write.now)
        if entry is None:
            return bucket, 0
    else:
        freed = store.pushed_out_bytes(tx, write.environment, bucket, previous) if bucket.bytes_max else 0
        entry = rules.decide_put(
            bucket, previous, write.key, len(write.value), write.condition, write.now, freed_bytes=freed
        )
    if write.written_by:
        entry = replace(entry, written_by=write.written_by)
    if bucket.history == 1:
        grew = replaced.put(entry, write.value, previous)
    else:
        grew = store.add_entry(tx, write.environment, bucket, entry, write.value, previous)
    newest[write.key] = entry
    return replace(bucket, last_revision=entry.revision, bytes_stored=bucket.bytes_stored + grew), entry.revision


def purge(tx: Tx, environment: str, name: str, key: str, condition: rules.Condition, now: Millis) -> None:
    """Removes a key with its history. Raises BucketNotFound, RevisionConflict.

    An entry or a tombstone leaves a revision, so that a watcher that missed the purge still receives it.
    """
    bucket = bucket_of(tx, environment, name, to_write=True)
    newest = store.newest_of(tx, environment, name, [key]).get(key)
    rules.check_condition(newest, bucket, condition, now)
    freed = store.purge_key(tx, environment, name, key)
    revision = bucket.last_revision
    if newest is not None:
        revision += 1
        store.add_purge(tx, environment, name, key, revision, now)
    store.save_bucket(
        tx, environment, replace(bucket, last_revision=revision, bytes_stored=bucket.bytes_stored - freed)
    )
    tx.notify("kv", f"{environment}/{name}")


def bucket_of(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> BucketRow:
    """A user's bucket. Raises BucketNotFound."""
    check_users_bucket(environment, name)
    bucket = store.bucket(tx, environment, name, to_write=to_write)
    if bucket is None:
        raise bucket_not_found(name, environment)
    return bucket


def check_users_bucket(environment: str, name: str) -> None:
    """Raises BucketNotFound for a bucket of the server's own."""
    if name.startswith(rules.SYSTEM_MARK):
        raise bucket_not_found(name, environment)


def bucket_not_found(name: str, environment: str) -> contract.BucketNotFound:
    return contract.BucketNotFound(
        f"bucket not found: there is no {name!r} in environment {environment!r}. Create it first."
    )
