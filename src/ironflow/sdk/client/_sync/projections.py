# Generated from ironflow/sdk/client/features/projections.py by generate_sync; edit that file.
"""`client.projections`: states of read models, their progress and their control."""

from time import sleep
from builtins import list as list_
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import DeadlineExceeded
from ironflow.features.projections import contract
from ironflow.features.projections.contract import ProjectionInfo, RebuildJob, Registered, Status, Waited
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client.views import ProjectionState
from ironflow.sdk.client.views.run_results import next_look_s
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.values.payload import from_payload


class Projections:
    """Projections, by name."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, name: str, *, partition: str = "", as_of: datetime | None = None) -> ProjectionState:
        """The state as readers see it; `state` is None before the first save.

        partition: of a partitioned projection. as_of: as it was then. Raises ProjectionNotFound, NotRecorded.
        """
        request = contract.GetProjection(name=name, partition=partition, as_of=as_of)
        found = self._calls.call(contract.envelope, request)
        row = found.state
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

    def list(self, *, status: str = "", mode: str = "", page_size: int = 100) -> Iterator[ProjectionInfo]:
        """Projections by name, those of SQL after the others. status: active, rebuilding, paused or error."""
        offset = 0
        while True:
            request = contract.ListProjections(status=status, mode=mode, limit=page_size, offset=offset)
            page = self._calls.call(contract.list_, request)
            for projection in page.projections:
                yield projection
            offset += len(page.projections)
            if not page.projections or offset >= page.total_count:
                return

    def status(self, name: str) -> Status:
        """The progress of a projection: cursor, lag, error, rebuild. Raises ProjectionNotFound."""
        return self._calls.call(contract.status, contract.Named(name=name))

    def partitions(self, name: str, *, prefix: str = "", page_size: int = 1000) -> Iterator[str]:
        """The partitions that have a state, in order. Raises ProjectionNotFound."""
        request = contract.ListPartitions(name=name, q=prefix, limit=page_size)
        for page in self._calls.pages(contract.partitions, request):
            for partition in page.partitions:
                yield partition

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
        while job.status == "rebuilding":
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


def _span(timeout: Duration | None) -> timedelta | None:
    return None if timeout is None else timedelta(milliseconds=duration_ms(timeout))


def _call_time(timeout: Duration | None) -> Any:
    """How long the call may take: the wait and a little more."""
    return (30_000 if timeout is None else duration_ms(timeout)) / 1000 + 10
