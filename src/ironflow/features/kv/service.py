"""What happens: one method for each operation of the feature."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ironflow.base.call import Call
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.base.time import to_datetime
from ironflow.features.kv import contract, rules, store
from ironflow.features.kv.rules import BucketRow, EntryRow
from ironflow.features.kv.watching import Watcher as Watcher
from ironflow.features.kv.writing import Write, apply_writes, bucket_not_found, bucket_of, check_users_bucket, purge
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx


class KeyValue:
    """Buckets of versioned entries. Writes that arrive together share one commit and few statements."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._notifier = notifier

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
            contract.watch: self.watch,
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
            bucket = bucket_of(tx, call.environment, request.bucket)
            return _bucket_message(bucket, store.count_values(tx, call.environment, bucket, call.now))

        return await self._db.read(look)

    async def delete_bucket(self, call: Call, request: contract.NamedBucket) -> None:
        check_users_bucket(call.environment, request.bucket)

        def delete(tx: Tx) -> bool:
            # Watchers learn that there is nothing to watch any more.
            tx.notify("kv", f"{call.environment}/{request.bucket}")
            return store.delete_bucket(tx, call.environment, request.bucket)

        if not await self._db.write(delete):
            raise bucket_not_found(request.bucket, call.environment)

    async def list_keys(self, call: Call, request: contract.ListKeys) -> contract.Keys:
        pattern = request.filter or ">"
        wanted = compiled(pattern)
        prefix = literal_prefix(pattern) if is_pattern(pattern) else pattern

        def look(tx: Tx) -> contract.Keys:
            bucket = bucket_of(tx, call.environment, request.bucket)
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
            bucket = bucket_of(tx, call.environment, request.bucket)
            found = store.history(tx, call.environment, bucket, request.key, request.limit, call.now)
            if not found:
                raise contract.KeyNotFound(f"Bucket {request.bucket!r} has no key {request.key!r}.")
            return contract.History(entries=[_entry_message(*each) for each in found], count=len(found))

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.GetKey) -> contract.Entry:
        def look(tx: Tx) -> contract.Entry:
            found = store.find(tx, call.environment, request.bucket, request.key, request.revision)
            if found is None:
                raise bucket_not_found(request.bucket, call.environment)
            ttl_ms, entry, value = found
            if entry is None or not rules.is_seen(entry, ttl_ms, call.now, at_revision=request.revision is not None):
                raise contract.KeyNotFound(f"Bucket {request.bucket!r} has no key {request.key!r}.")
            return _entry_message(entry, value)

        check_users_bucket(call.environment, request.bucket)
        return await self._db.peek_once(look)

    async def put(self, call: Call, request: contract.PutKey) -> contract.Put:
        condition = rules.condition_of(request.if_match, request.if_none_match)
        check_users_bucket(call.environment, request.bucket)
        write = Write(
            call.environment, request.bucket, request.key, request.value, condition, call.now, call.principal.name
        )
        return contract.Put(revision=await self._db.write_many(apply_writes, write))

    async def delete(self, call: Call, request: contract.DeleteKey) -> None:
        condition = rules.condition_of(request.if_match, None)
        if request.purge:
            await self._db.write(
                lambda tx: purge(tx, call.environment, request.bucket, request.key, condition, call.now)
            )
            return
        check_users_bucket(call.environment, request.bucket)
        write = Write(call.environment, request.bucket, request.key, None, condition, call.now, call.principal.name)
        await self._db.write_many(apply_writes, write)

    async def watch(self, call: Call, request: contract.WatchKeys) -> AsyncGenerator[contract.KeyFrame | None, None]:
        wanted = compiled(request.key or ">")

        def frame(entry: EntryRow, value: bytes) -> contract.KeyFrame:
            return contract.KeyFrame(
                type="kv_update",
                bucket=request.bucket,
                key=entry.key,
                value=value,
                revision=entry.revision,
                operation=entry.operation,
            )

        check_users_bucket(call.environment, request.bucket)
        watcher = Watcher(self._db, self._notifier, call.environment, request.bucket)
        start = await watcher.start(request.after)
        yield None
        if request.after is None if request.initial is None else request.initial:
            async for entry, value in watcher.live(call.now):
                if wanted.fullmatch(entry.key):
                    yield frame(entry, value)
            yield contract.KeyFrame(type="kv_ready", bucket=request.bucket, revision=start)
        async with aclosing(watcher.changes(start)) as changes:
            async for entry, value in changes:
                if wanted.fullmatch(entry.key):
                    yield frame(entry, value)


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
        written_by=entry.written_by or None,
    )
