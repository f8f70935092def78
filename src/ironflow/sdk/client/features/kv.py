"""`client.kv`: buckets of keys and values."""

from builtins import list as list_
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError
from ironflow.features.kv import contract
from ironflow.features.kv.contract import Bucket
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.views import Entry, KeyChange, view
from ironflow.sdk.values.payload import to_bytes
from ironflow.sdk.wire.reconnect import Reconnect


class KvBucket:
    """One bucket. Values are bytes; text is stored as UTF-8 and other values as JSON."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self.name = name

    async def info(self) -> Bucket:
        """The bucket with the number and size of its values. Raises BucketNotFound."""
        return await self._calls.call(contract.get_bucket, contract.NamedBucket(bucket=self.name))

    async def get(self, key: str, *, revision: int | None = None) -> Entry:
        """The newest entry of a key, or that of one revision while history keeps it.

        Raises BucketNotFound, KeyNotFound.
        """
        request = contract.GetKey(bucket=self.name, key=key, revision=revision)
        return view(Entry, await self._calls.call(contract.get, request))

    async def put(self, key: str, value: Any) -> int:
        """Stores `value` whatever the key held; answers the new revision.

        Raises BucketNotFound, InvalidKey, ValueTooLarge, BucketFull.
        """
        return await self._put(key, value)

    async def create(self, key: str, value: Any) -> int:
        """As put, only if the key does not exist. Raises RevisionConflict otherwise."""
        return await self._put(key, value, if_none_match="*")

    async def update(self, key: str, value: Any, revision: int) -> int:
        """As put, only if the key is at `revision`. Raises RevisionConflict otherwise."""
        return await self._put(key, value, if_match=str(revision))

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Deletes a key and leaves a tombstone; deleting nothing is no error.

        revision: only if the key is at it. Raises BucketNotFound, RevisionConflict.
        """
        if_match = None if revision is None else str(revision)
        await self._calls.call(contract.delete, contract.DeleteKey(bucket=self.name, key=key, if_match=if_match))

    async def purge(self, key: str) -> None:
        """Removes a key with its history. Raises BucketNotFound."""
        await self._calls.call(contract.delete, contract.DeleteKey(bucket=self.name, key=key, purge=True))

    def keys(self, filter: str = ">", *, page_size: int = 1000) -> Listing[str]:
        """Live keys in order. filter: `*` is one segment between dots, `>` the rest. Raises BucketNotFound."""
        request = contract.ListKeys(bucket=self.name, filter=filter, limit=page_size)
        return Listing(self._calls, contract.list_keys, request, lambda page: page.keys)

    async def history(self, key: str) -> list_[Entry]:
        """The kept revisions of a key, newest first, tombstones included. Raises BucketNotFound, KeyNotFound."""
        found = await self._calls.call(contract.get_history, contract.GetHistory(bucket=self.name, key=key))
        return [view(Entry, entry) for entry in found.entries]

    async def watch(
        self,
        filter: str = ">",
        *,
        after: int | None = None,
        initial: bool = False,
        on_error: Callable[[IronflowError], object] | None = None,
        reconnect: Reconnect | None = None,
    ) -> AsyncGenerator[KeyChange, None]:
        """Changes of keys as they are committed, for ever; goes on after the last one when the connection breaks.

        filter: `*` is one segment between dots, `>` the rest. after: begin after that revision. initial: the values as
        they are come first. on_error: sees every failure after which it connects again. reconnect: None
        for the client's own. Close it to stop watching.
        Raises BucketNotFound, also when the bucket is deleted.
        """
        request = contract.WatchKeys(bucket=self.name, key=filter, after=after, initial=initial)
        # The newest revision that is certain to have come: initial values do not come in order of revisions.
        begun = not initial

        def moved(request: contract.WatchKeys, frame: contract.KeyFrame) -> contract.WatchKeys:
            nonlocal begun
            begun = begun or frame.type == "kv_ready"
            return replace(request, after=frame.revision, initial=False) if begun else request

        async with aclosing(self._calls.follow(contract.watch, request, moved, on_error, reconnect)) as frames:
            async for frame in frames:
                if frame.key is not None:
                    yield KeyChange(
                        bucket=frame.bucket,
                        key=frame.key,
                        value=frame.value or b"",
                        revision=frame.revision,
                        operation=frame.operation or "put",
                    )

    async def _put(self, key: str, value: Any, *, if_match: str | None = None, if_none_match: str | None = None) -> int:
        stored = to_bytes(value, f"the value of {key!r}")
        request = contract.PutKey(
            bucket=self.name, key=key, value=stored, if_match=if_match, if_none_match=if_none_match
        )
        return (await self._calls.call(contract.put, request)).revision


class Kv:
    """Buckets."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def bucket(self, name: str) -> KvBucket:
        """The bucket of that name; nothing is asked of the server yet."""
        return KvBucket(self._calls, name)

    async def create_bucket(
        self,
        name: str,
        *,
        ttl: Duration | None = None,
        history: int = 1,
        max_value_size: int = 0,
        max_bytes: int = 0,
        description: str | None = None,
    ) -> KvBucket:
        """Creates a bucket. Raises BucketExists, InvalidBucket.

        ttl: age at which entries vanish, in whole seconds; None for never. history: entries kept for each key.
        max_value_size, max_bytes: limits in bytes of a value and of all of them, 0 for none.
        """
        request = contract.CreateBucket(
            name=name,
            description=description,
            ttl_seconds=0 if ttl is None else -(-duration_ms(ttl) // 1000),
            max_value_size=max_value_size,
            max_bytes=max_bytes,
            history=history,
        )
        await self._calls.call(contract.create_bucket, request)
        return KvBucket(self._calls, name)

    def buckets(self, *, page_size: int = 1000) -> Listing[Bucket]:
        """Every bucket by name."""
        return Listing(
            self._calls, contract.list_buckets, contract.ListBuckets(limit=page_size), lambda page: page.buckets
        )

    async def delete_bucket(self, name: str) -> None:
        """Deletes a bucket with all its keys. Raises BucketNotFound."""
        await self._calls.call(contract.delete_bucket, contract.NamedBucket(bucket=name))
