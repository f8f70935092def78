"""What happens: one method for each operation of the room."""

from dataclasses import dataclass, replace
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.base.time import Millis, to_datetime
from ironflow.features.kv import contract, rules, store
from ironflow.features.kv.rules import BucketRow, EntryRow
from ironflow.storage.port import Database, Tx


@dataclass(frozen=True, slots=True)
class _Write:
    """A put, or a delete when `value` is None, waiting for the next commit."""

    environment: str
    bucket: str
    key: str
    value: bytes | None
    condition: rules.Condition
    now: Millis


class KeyValue:
    """Buckets of versioned entries. Writes that arrive together share one commit and few statements."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create_bucket: self.create_bucket,
            contract.list_buckets: self.list_buckets,
            contract.get_bucket: self.get_bucket,
            contract.delete_bucket: self.delete_bucket,
            contract.list_keys: self.list_keys,
            contract.get_history: self.get_history,
            contract.get: self.get,
            contract.put: self.put,
            contract.delete: self.delete,
        }

    async def create_bucket(self, call: Call, request: contract.CreateBucket) -> contract.Bucket:
        rules.check_bucket_name(request.name)
        bucket = BucketRow(
            name=request.name,
            description=request.description or "",
            ttl_ms=request.ttl_seconds * 1000,
            value_bytes_max=request.max_value_size,
            bytes_max=request.max_bytes,
            history=request.history or 1,
            created_at=call.now,
            last_revision=0,
            bytes_stored=0,
        )
        if not await self._db.write(lambda tx: store.create_bucket(tx, call.environment, bucket)):
            raise contract.BucketExists(f"Bucket {request.name!r} exists already in environment {call.environment!r}.")
        return _bucket_message(bucket, values=0)

    async def list_buckets(self, call: Call, request: contract.ListBuckets) -> contract.Buckets:
        def look(tx: Tx) -> list[contract.Bucket]:
            found = store.buckets_after(tx, call.environment, request.cursor, request.limit)
            return [_bucket_message(each, store.count_values(tx, call.environment, each, call.now)) for each in found]

        buckets = await self._db.read(look)
        more = buckets[-1].name if len(buckets) == request.limit else None
        return contract.Buckets(buckets=buckets, count=len(buckets), next_cursor=more)

    async def get_bucket(self, call: Call, request: contract.NamedBucket) -> contract.Bucket:
        def look(tx: Tx) -> contract.Bucket:
            bucket = _bucket(tx, call.environment, request.bucket)
            return _bucket_message(bucket, store.count_values(tx, call.environment, bucket, call.now))

        return await self._db.read(look)

    async def delete_bucket(self, call: Call, request: contract.NamedBucket) -> None:
        if not await self._db.write(lambda tx: store.delete_bucket(tx, call.environment, request.bucket)):
            raise _not_found(request.bucket, call.environment)

    async def list_keys(self, call: Call, request: contract.ListKeys) -> contract.Keys:
        pattern = request.filter or ">"
        wanted = compiled(pattern)
        prefix = literal_prefix(pattern) if is_pattern(pattern) else pattern

        def look(tx: Tx) -> contract.Keys:
            bucket = _bucket(tx, call.environment, request.bucket)
            keys: list[str] = []
            cursor = request.cursor
            while len(keys) <= request.limit:
                found = store.keys_after(tx, call.environment, bucket, prefix, cursor, 1000, call.now)
                keys += [key for key in found if wanted.fullmatch(key)]
                if len(found) < 1000:
                    break
                cursor = found[-1]
            page = keys[: request.limit]
            more = page[-1] if len(keys) > request.limit else None
            return contract.Keys(keys=page, count=len(page), next_cursor=more)

        return await self._db.read(look)

    async def get_history(self, call: Call, request: contract.GetHistory) -> contract.History:
        def look(tx: Tx) -> contract.History:
            bucket = _bucket(tx, call.environment, request.bucket)
            found = store.history(tx, call.environment, bucket, request.key, request.limit, call.now)
            if not found:
                raise contract.KeyNotFound(f"Bucket {request.bucket!r} has no key {request.key!r}.")
            return contract.History(entries=[_entry_message(*each) for each in found], count=len(found))

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.GetKey) -> contract.Entry:
        def look(tx: Tx) -> contract.Entry:
            bucket = _bucket(tx, call.environment, request.bucket)
            found = store.value(tx, call.environment, request.bucket, request.key, request.revision)
            if found is None or not rules.is_seen(found[0], bucket, call.now, at_revision=request.revision is not None):
                raise contract.KeyNotFound(f"Bucket {request.bucket!r} has no key {request.key!r}.")
            return _entry_message(*found)

        return await self._db.peek(look)

    async def put(self, call: Call, request: contract.PutKey) -> contract.Put:
        condition = rules.condition_of(request.if_match, request.if_none_match)
        write = _Write(call.environment, request.bucket, request.key, request.value, condition, call.now)
        return contract.Put(revision=await self._db.write_many(_apply_writes, write))

    async def delete(self, call: Call, request: contract.DeleteKey) -> None:
        if request.purge:
            await self._db.write(lambda tx: _purge(tx, call, request))
            return
        condition = rules.condition_of(request.if_match, None)
        write = _Write(call.environment, request.bucket, request.key, None, condition, call.now)
        await self._db.write_many(_apply_writes, write)


def _apply_writes(tx: Tx, writes: list[_Write]) -> list[int | IronflowError]:
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
                answers[index] = _not_found(name, environment)
            continue
        newest: dict[str, EntryRow] = store.newest_of(tx, environment, name, {writes[index].key for index in indexes})
        for index in indexes:
            try:
                bucket, answers[index] = _apply_write(tx, bucket, newest, writes[index])
            except IronflowError as refusal:
                answers[index] = refusal
        if bucket != before:
            store.save_bucket(tx, environment, bucket)
            tx.ring("kv", f"{environment}/{name}")
    return [0 if answer is None else answer for answer in answers]


def _apply_write(tx: Tx, bucket: BucketRow, newest: dict[str, EntryRow], write: _Write) -> tuple[BucketRow, int]:
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
    grew = store.add_entry(tx, write.environment, bucket, entry, write.value, previous)
    newest[write.key] = entry
    return replace(bucket, last_revision=entry.revision, bytes_stored=bucket.bytes_stored + grew), entry.revision


def _purge(tx: Tx, call: Call, request: contract.DeleteKey) -> None:
    bucket = _bucket(tx, call.environment, request.bucket, to_write=True)
    condition = rules.condition_of(request.if_match, None)
    newest = store.newest_of(tx, call.environment, request.bucket, [request.key]).get(request.key)
    rules.check_condition(newest, bucket, condition, call.now)
    freed = store.purge_key(tx, call.environment, request.bucket, request.key)
    store.save_bucket(tx, call.environment, replace(bucket, bytes_stored=bucket.bytes_stored - freed))
    tx.ring("kv", f"{call.environment}/{request.bucket}")


def _bucket(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> BucketRow:
    bucket = store.bucket(tx, environment, name, to_write=to_write)
    if bucket is None:
        raise _not_found(name, environment)
    return bucket


def _not_found(name: str, environment: str) -> contract.BucketNotFound:
    return contract.BucketNotFound(f"There is no bucket {name!r} in environment {environment!r}. Create it first.")


def _bucket_message(bucket: BucketRow, values: int) -> contract.Bucket:
    return contract.Bucket(
        name=bucket.name,
        description=bucket.description or None,
        ttl_seconds=bucket.ttl_ms // 1000 or None,
        max_value_size=bucket.value_bytes_max or None,
        max_bytes=bucket.bytes_max or None,
        values=values,
        bytes=bucket.bytes_stored,
        history=bucket.history,
        created_at=to_datetime(bucket.created_at),
    )


def _entry_message(entry: EntryRow, value: bytes) -> contract.Entry:
    return contract.Entry(
        key=entry.key,
        value=value,
        revision=entry.revision,
        created_at=to_datetime(entry.created_at),
        operation=entry.operation,
    )
