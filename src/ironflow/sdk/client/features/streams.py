"""`client.streams`: one append-only stream of events for each entity."""

from builtins import list as list_
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from ironflow.base.errors import NotFound
from ironflow.features.streams import contract
from ironflow.features.streams.contract import Appended, DeletedStream, StreamInfo
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.entity_events import EntityEvent, entity_event
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.connection.paging import ByVersion
from ironflow.sdk.client.connection.subscription import Backpressure, OnError, Subscription, SubscriptionRequest
from ironflow.sdk.client.views import HistoryEntry, Snapshot, StreamEvent, view
from ironflow.sdk.values.payload import to_payload
from ironflow.sdk.wire.reconnect import Reconnect

Direction = Literal["forward", "backward"]


class Append(msgspec.Struct, frozen=True):
    """One event of `append_many`. entity_type: needed for the first event of its stream only.

    expected_version: -1 any, 0 the stream must be new, n it must be at n, counting the earlier events of the request.
    """

    entity_id: str
    name: str
    data: Any = None
    entity_type: str = ""
    expected_version: int = -1
    version: int = 1
    metadata: Mapping[str, Any] | None = None


class Streams:
    """Appends to, reads and deletes the streams of entities."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def append(
        self,
        entity_id: str,
        name: str,
        data: Any = None,
        *,
        entity_type: str = "",
        expected_version: int = -1,
        idempotency_key: str = "",
        version: int = 1,
        metadata: Mapping[str, Any] | None = None,
    ) -> Appended:
        """Appends an event to the entity's stream and starts the runs that it triggers. Returns its version there.

        entity_type: needed for the first event only. expected_version: -1 any, 0 the stream must be new, n it must be
        at n. idempotency_key: an append to this stream with the same key within 7 days returns what the first one did.
        Raises VersionConflict, EntityTypeConflict, InvalidEntity, StreamDeleted, InvalidEvent, EventTooLarge,
        SchemaViolation, IdempotencyKeyReused, SerializationError.
        """
        request = contract.AppendEvent(
            entity_id=entity_id,
            entity_type=entity_type,
            event_name=name,
            data=to_payload(data, f"the data of event {name!r}"),
            expected_version=expected_version,
            idempotency_key=idempotency_key,
            version=version,
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
        )
        return await self._calls.call(contract.append, request)

    async def append_many(self, appends: Sequence[Append], *, idempotency_key: str = "") -> list_[Appended]:
        """Appends events to several streams in one commit, all or none. Returns the version and the position of each.

        idempotency_key: a request with the same key within 7 days returns what the first one did. At most 1000 events.
        A refused event raises the error that `append` raises, with its `index` and `entity_id` in the details.
        Raises InvalidAppends, VersionConflict, EntityTypeConflict, InvalidEntity, StreamDeleted, InvalidEvent,
        EventTooLarge, SchemaViolation, IdempotencyKeyReused, SerializationError.
        """
        request = contract.AppendMany(
            appends=[_append_message(each) for each in appends], idempotency_key=idempotency_key
        )
        return (await self._calls.call(contract.append_many, request)).appended

    def read(
        self, entity_id: str, *, from_version: int = 0, direction: Direction = "forward", page_size: int = 100
    ) -> Listing[StreamEvent]:
        """The entity's events in order; none for an entity without events. Pages are read as they are needed.

        from_version: the first version to read; 0 for the oldest, or the newest when backward.
        """
        request = contract.ReadStream(
            entity_id=entity_id, from_version=from_version, limit=page_size, direction=direction
        )
        return Listing(
            self._calls,
            contract.read,
            request,
            lambda page: [view(StreamEvent, event) for event in page.events],
            ByVersion("next_version"),
        )

    async def info(self, entity_id: str) -> StreamInfo | None:
        """The type, version and size of the entity's stream. None for an entity without events."""
        try:
            with expecting(NotFound):
                return await self._calls.call(contract.info, contract.GetStreamInfo(entity_id=entity_id))
        except NotFound:
            return None

    def list(
        self, *, entity_type: str = "", search: str = "", deleted: bool = False, page_size: int = 1000
    ) -> Listing[StreamInfo]:
        """All streams, ordered by entity id. search: a part of the id. deleted: includes streams that were deleted."""
        request = contract.ListStreams(entity_type=entity_type, search=search, deleted=deleted, limit=page_size)
        return Listing(self._calls, contract.list_, request, lambda page: page.streams)

    def history(
        self,
        entity_id: str,
        *,
        from_version: int = 0,
        direction: Direction = "forward",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 50,
    ) -> Listing[HistoryEntry]:
        """The entity's events, each with the runs that it started and the first 100 steps of each run.

        since, until: bounds of the events' timestamps; until is exclusive.
        """
        request = contract.GetEntityHistory(
            entity_id=entity_id,
            from_version=from_version,
            limit=page_size,
            direction=direction,
            from_timestamp=since,
            to_timestamp=until,
        )
        return Listing(
            self._calls,
            contract.history,
            request,
            lambda page: [view(HistoryEntry, entry) for entry in page.entries],
            ByVersion("next_cursor"),
        )

    async def subscribe(
        self,
        entity_type: str,
        entity_id: str = "*",
        *,
        replay: int = 0,
        after: int | None = None,
        filter: str = "",
        backpressure: Backpressure | None = None,
        on_error: OnError | None = None,
        reconnect: Reconnect | None = None,
    ) -> AsyncGenerator[EntityEvent, None]:
        """The entity's events as they are appended, for ever. After a lost connection it connects again and resumes.

        entity_id: "*" for every entity of the type. replay: begins with the last n events. after: begins with all
        events after this sequence; 0 is before the first. filter: CEL over data, topic, name and timestamp.
        on_error, reconnect and the errors raised are those of `client.subscribe`. Close the iterator to end it.
        """
        request = SubscriptionRequest(
            f"entity:{entity_type}.{entity_id}.>", replay, after, filter, backpressure=backpressure
        )
        async with Subscription(
            self._calls.endpoint, request, on_error, self._calls, reconnect, codec=self._calls.codec
        ) as events:
            async for received in events:
                event = entity_event(received, entity_type)
                # Ids may contain dots: the pattern for the entity `a` also matches the events of `a.b`.
                if entity_id in ("*", event.entity_id):
                    yield event

    async def create_snapshot(self, entity_id: str, entity_version: int, state: Any, *, entity_type: str = "") -> str:
        """Stores a snapshot: the state of the entity after its event `entity_version`. Returns the snapshot's id.

        Raises StreamNotFound, StreamDeleted, InvalidSnapshot, SnapshotExists, SnapshotTooLarge, EntityTypeConflict,
        SerializationError.
        """
        request = contract.CreateSnapshot(
            entity_id=entity_id,
            entity_type=entity_type,
            entity_version=entity_version,
            state=to_payload(state, f"the state of {entity_id!r}"),
        )
        return (await self._calls.call(contract.create_snapshot, request)).snapshot_id

    async def snapshot(self, entity_id: str, *, before_version: int = 0) -> Snapshot:
        """The newest snapshot at or below `before_version`; 0 for the newest of all. Raises SnapshotNotFound."""
        request = contract.GetSnapshot(entity_id=entity_id, before_version=before_version)
        return view(Snapshot, await self._calls.call(contract.get_snapshot, request))

    async def delete(self, entity_id: str, *, purge: bool = False, reason: str = "") -> DeletedStream:
        """Ends the entity's stream with a tombstone, `$stream.deleted`: nothing is appended to it any more.

        Its snapshots are removed. purge: its events too, except those that runs or readers of the log still need;
        `kept` counts them, and another call removes them once they are not needed any more. Safe to repeat.
        Raises StreamNotFound.
        """
        request = contract.DeleteStream(entity_id=entity_id, purge=purge, reason=reason)
        return await self._calls.call(contract.delete, request)

    async def of_run(self, run_id: str) -> list_[str]:
        """The ids, in order, of the entities to whose streams the run appended. Raises RunNotFound."""
        found: list_[str] = []
        async for page in self._calls.pages(contract.of_run, contract.GetRunStreams(run_id=run_id)):
            found += page.entity_ids
        return found


def _append_message(append: Append) -> contract.StreamAppend:
    return contract.StreamAppend(
        entity_id=append.entity_id,
        entity_type=append.entity_type,
        event_name=append.name,
        data=to_payload(append.data, f"the data of event {append.name!r}"),
        expected_version=append.expected_version,
        version=append.version,
        metadata=None if append.metadata is None else to_payload(append.metadata, "the metadata"),
    )
