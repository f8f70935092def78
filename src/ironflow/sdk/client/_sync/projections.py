# Generated from ironflow/sdk/client/features/projections.py by generate_sync; edit that file.
"""`client.projections`: states of read models, their progress and their control."""

from time import sleep
from builtins import list as list_
from collections.abc import Generator, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import DeadlineExceeded, NotFound, PermissionDenied
from ironflow.features.events import contract as events_contract
from ironflow.features.projections import contract
from ironflow.features.projections.contract import ProjectionInfo, RebuildJob, Registered, Status, Waited
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.connection.paging import ByOffset
from ironflow.sdk.client.connection.received import SubscriptionEventFields
from ironflow.sdk.client.connection.blocking_subscription import (
    OnError,
    Subscription,
    SubscriptionRequest,
    SubscriptionTransport,
)
from ironflow.sdk.client.views import ProjectionState, ProjectionUpdate
from ironflow.sdk.client.views.run_results import next_look_s
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.values.payload import from_payload
from ironflow.sdk.wire.reconnect import Reconnect


class Projections:
    """Projections, by name."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(
        self, name: str, *, partition: str = "", as_of: datetime | None = None, nearest: bool = False
    ) -> ProjectionState:
        """The state as readers see it; `state` is None before the first save.

        partition: of a partitioned projection. as_of: as it was then. nearest: the last state kept before is as good,
        which `state_event_time` dates; else NotRecorded is raised when that of the moment was not recorded.
        Raises ProjectionNotFound, NotRecorded.
        """
        request = contract.GetProjection(name=name, partition=partition, as_of=as_of)
        found = self._calls.call(contract.envelope, request)
        row = found.state
        if found.as_of is not None and not found.as_of.exact and not nearest:
            raise contract.NotRecorded(
                f"The state of {name!r} as of {found.as_of.moment.isoformat()} was not recorded: the last state kept "
                f"before is of {found.as_of.last_event_time}, and {found.as_of.missing}. Fold from there with "
                "ironflow.projection.state_as_of, or ask with nearest=True.",
                details={"last_event_seq": found.as_of.last_event_seq},
            )
        return ProjectionState(
            name=found.name,
            partition=row.partition_key if row is not None else partition or contract.GLOBAL,
            mode=found.mode,
            type=found.type or "sdk",
            status=found.status,
            last_event_seq=found.last_event_seq,
            error_message=found.error_message,
            state=None if row is None else from_payload(row.state),
            state_seq=0 if row is None else row.last_event_seq,
            state_event_id="" if row is None else row.last_event_id,
            state_event_time=None if row is None else row.last_event_time,
            version=0 if row is None else row.version,
        )

    def list(self, *, status: str = "", mode: str = "", page_size: int = 100) -> Listing[ProjectionInfo]:
        """Projections by name, those of SQL after the others. status: active, rebuilding, paused or error."""
        request = contract.ListProjections(status=status, mode=mode, limit=page_size)
        return Listing(self._calls, contract.list_, request, lambda page: page.projections, ByOffset("projections"))

    def subscribe(
        self,
        name: str,
        *,
        partition: str = "",
        initial: bool = True,
        on_error: OnError | None = None,
        reconnect: Reconnect | None = None,
        transport: SubscriptionTransport = "websocket",
    ) -> Generator[ProjectionUpdate, None]:
        """The state whenever readers see another one, for ever; after a break with the one that there is then.

        partition: of a partitioned projection. initial: begins with the state as it is, if there is one. States between
        two breaks come in order, and none of those that are saved while it is connected is left out.
        on_error, reconnect, transport, and what is raised: as of `client.subscribe`; ProjectionNotFound. Close it to
        end it.
        """
        key = partition or contract.GLOBAL
        request = SubscriptionRequest(f"system.projection.{name}.>", transport=transport, marks=True)
        topic = f"system.projection.{name}.{key}.updated"
        # The event and the time of the newest state.
        newest: tuple[str, datetime | None] = ("", None)
        with Subscription(
            self._calls.endpoint, request, on_error, self._calls, reconnect, codec=self._calls.codec
        ) as events:
            for event in events:
                if not event.topic:
                    # A connection has begun: what was saved before it is asked for.
                    asked = contract.GetProjection(name=name, partition=key)
                    found = self._calls.call_reconnecting(contract.envelope, asked, on_error, reconnect)
                    row = found.state
                    if row is not None and newest != (row.last_event_id, row.updated_at):
                        newest = (row.last_event_id, row.updated_at)
                        if initial:
                            yield self._update(name, key, row, on_error, reconnect)
                    initial = True
                elif event.topic == topic and not _is_known(event, newest):
                    newest = (event.data["last_event_id"], event.timestamp)
                    yield ProjectionUpdate(
                        name=name,
                        partition=key,
                        state=event.data["state"],
                        event_id=event.data["last_event_id"],
                        event_name=event.data["last_event_name"],
                        timestamp=event.timestamp,
                    )

    def _update(
        self, name: str, partition: str, row: Any, on_error: OnError | None, reconnect: Reconnect | None
    ) -> ProjectionUpdate:
        """A state that was asked for, with the name of its event, where that is kept and may be read."""
        event_name = ""
        asked = events_contract.GetEvent(id=row.last_event_id)
        try:
            with expecting(NotFound, PermissionDenied):
                found = self._calls.call_reconnecting(events_contract.get, asked, on_error, reconnect)
                event_name = found.name
        except (NotFound, PermissionDenied):
            pass
        return ProjectionUpdate(
            name=name,
            partition=partition,
            state=from_payload(row.state),
            event_id=row.last_event_id,
            event_name=event_name,
            timestamp=row.updated_at,
        )

    def status(self, name: str) -> Status:
        """The progress of a projection: cursor, lag, error, rebuild. Raises ProjectionNotFound."""
        return self._calls.call(contract.status, contract.Named(name=name))

    def partitions(self, name: str, *, prefix: str = "", page_size: int = 1000) -> Listing[str]:
        """The partitions that have a state, in order. Raises ProjectionNotFound."""
        request = contract.ListPartitions(name=name, q=prefix, limit=page_size)
        return Listing(self._calls, contract.partitions, request, lambda page: page.partitions)

    def register(self, definition: ProjectionDefinition) -> Registered:
        """Registers a projection or updates its definition; runners do this by themselves. Raises InvalidProjection."""
        return self._calls.call(contract.register, definition.registration())

    def pause(self, name: str) -> str:
        """Feeds no more events; answers the status. Raises ProjectionNotFound."""
        return (self._calls.call(contract.pause, contract.Named(name=name))).status

    def resume(self, name: str) -> str:
        """Feeds events again and clears an error; answers the status. Raises ProjectionNotFound."""
        return (self._calls.call(contract.resume, contract.Named(name=name))).status

    def delete(self, name: str) -> None:
        """Deletes a projection with its states and its cursor; the events stay. Raises ProjectionNotFound."""
        self._calls.call(contract.delete, contract.Named(name=name))

    def rebuild(
        self,
        name: str,
        *,
        partition: str = "",
        from_event_id: str = "",
        to_event_id: str = "",
        dry_run: bool = False,
        wait: bool = False,
        timeout: Duration = "10m",
    ) -> RebuildJob:
        """Builds the projection anew; readers see the old version until the new one has caught up.

        partition: that one only. from_event_id, to_event_id: the first and the last event to fold. dry_run: only
        count them. wait: returns once the new version is the one that readers see, or the rebuild was cancelled;
        the status is `ended` where another was begun since.
        Raises ProjectionNotFound, RebuildUnderWay, EventNotFound, InvalidProjection; with wait, DeadlineExceeded while
        the rebuild goes on after `timeout`.
        """
        request = contract.Rebuild(
            name=name, partition=partition, from_event_id=from_event_id, to_event_id=to_event_id, dry_run=dry_run
        )
        job = (self._calls.call(contract.rebuild, request)).job
        return self._rebuilt(job, duration_ms(timeout) / 1000) if wait else job

    def _rebuilt(self, job: RebuildJob, timeout_s: float) -> RebuildJob:
        """The rebuild at its end. Raises DeadlineExceeded."""
        deadline, pause_s = monotonic() + timeout_s, None
        while job.status in contract.REBUILD_RUNS:
            pause_s = next_look_s(pause_s)
            if monotonic() + pause_s > deadline:
                raise DeadlineExceeded(
                    f"Projection {job.projection_name!r} is not rebuilt after {timeout_s:.3g} s: "
                    f"{job.events_processed} of {job.total_events} events. The rebuild goes on while a runner does."
                )
            sleep(pause_s)
            newest = (self._calls.call(contract.rebuild_job, contract.Named(name=job.projection_name))).job
            if newest.job_id != job.job_id:
                # Another was begun meanwhile, which it can only be when this one is over.
                return msgspec.structs.replace(job, status="ended")
            job = newest
        return job

    def rebuild_job(self, name: str) -> RebuildJob | None:
        """The last rebuild of a projection and how far it is; None when it was never rebuilt."""
        try:
            with expecting(contract.RebuildNotFound):
                return (self._calls.call(contract.rebuild_job, contract.Named(name=name))).job
        except contract.RebuildNotFound:
            return None

    def cancel_rebuild(self, name: str) -> str:
        """Drops the version being built; answers the status. Raises RebuildNotFound."""
        return (self._calls.call(contract.cancel_rebuild, contract.Named(name=name))).status

    def wait(self, name: str, *, min_seq: int = 0, partition: str = "", timeout: Duration | None = None) -> Waited:
        """Waits until every event of the projection up to position `min_seq` is saved.

        min_seq: 0 for all that is in the log now. timeout: 30 s unless given, at most 60 s; when it is over, the
        answer says `timed_out`. Raises ProjectionNotFound, NotWaitable, WaitsFull.
        """
        request = contract.Wait(name=name, min_seq=min_seq, partition=partition, timeout=_span(timeout))
        return self._calls.call(contract.wait, request, timeout=_call_time(timeout))

    def wait_for_event(
        self, name: str, event_id: str, *, partition: str = "", timeout: Duration | None = None
    ) -> Waited:
        """As wait, up to the position of an event. Raises EventNotFound too."""
        request = contract.WaitForEvent(event_id=event_id, projection=name, partition=partition, timeout=_span(timeout))
        return self._calls.call(contract.wait_for_event, request, timeout=_call_time(timeout))

    def wait_all(self, positions: Sequence[tuple[str, int]], *, timeout: Duration | None = None) -> list_[Waited | str]:
        """Waits for several (name, min_seq) under one deadline, at most 16; for each how it ended, or its error."""
        items = [contract.WaitItem(name=name, min_seq=min_seq) for name, min_seq in positions]
        request = contract.WaitBatch(items=items, timeout=_span(timeout))
        found = self._calls.call(contract.wait_batch, request, timeout=_call_time(timeout))
        return [each.result or each.error or "" for each in found.results]


def _is_known(event: SubscriptionEventFields, newest: tuple[str, datetime | None]) -> bool:
    """Whether an update is of a state that was there already when the state was asked for.

    Of those of the same millisecond only the same one is known to be.
    """
    event_id, at = newest
    if at is None or event.timestamp is None:
        return False
    return event.timestamp < at or (event.timestamp == at and event.data["last_event_id"] == event_id)


def _span(timeout: Duration | None) -> timedelta | None:
    return None if timeout is None else timedelta(milliseconds=duration_ms(timeout))


def _call_time(timeout: Duration | None) -> Any:
    """How long the call may take: the wait and a little more."""
    return (30_000 if timeout is None else duration_ms(timeout)) / 1000 + 10
