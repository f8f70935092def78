# Generated from ironflow/sdk/client/features/bulk.py by generate_sync; edit that file.
"""`client.bulk`: cancel, retry, resume or delete many runs at once."""

from time import sleep
from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import Literal

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import DeadlineExceeded
from ironflow.features.bulk import contract
from ironflow.features.bulk.contract import Bulk
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views.run_results import next_look_s


class BulkJobs:
    """Jobs that do the same to all runs of a filter; the server works through them by itself."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def start(
        self,
        action: Literal["cancel", "retry", "resume", "pause", "delete"],
        *,
        function_id: str = "",
        statuses: Sequence[RunStatus | str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        event_id: str = "",
        parent_run_id: str = "",
        key: str = "",
        search: str = "",
        error: str = "",
        output: str = "",
        failed_step: str = "",
        reason: str = "",
        force: bool = False,
        dry_run: bool = False,
        function_version: int = 0,
    ) -> Bulk:
        """Starts a job; the filter has at least one field. Raises InvalidBulk.

        delete: removes ended runs with their steps, for ever. dry_run: only count, in `matched`, up to 10,000: `more`
        says whether there are more. reason: recorded with the runs. function_version: only runs created with this
        version of the function.
        error: text of the error. failed_step: name of the step that failed last. output: PATH=VALUE, such as
        "order.total=1200".
        force: of a cancel: without the compensations that run before, also where they run already.
        """
        request = contract.StartBulk(
            action=action,
            function_id=function_id,
            statuses=[RunStatus(each) for each in statuses],
            since=since,
            until=until,
            event_id=event_id,
            parent_run_id=parent_run_id,
            key=key,
            search=search,
            error=error,
            output=output,
            failed_step=failed_step,
            reason=reason,
            force=force,
            dry_run=dry_run,
            function_version=function_version,
        )
        return self._calls.call(contract.start, request)

    def get(self, job_id: str) -> Bulk:
        """How far a job has come. Raises BulkNotFound."""
        return self._calls.call(contract.get, contract.NamedBulk(id=job_id))

    def list(self, *, page_size: int = 100) -> Listing[Bulk]:
        """Jobs, newest first; asks for the next page when it is needed."""
        return Listing(self._calls, contract.list_, contract.ListBulks(limit=page_size), lambda page: page.jobs)

    def stop(self, job_id: str) -> Bulk:
        """Stops a job; what it has changed stays changed. Raises BulkNotFound, BulkEnded."""
        return self._calls.call(contract.stop, contract.NamedBulk(id=job_id))

    def undo(self, job_id: str) -> Bulk:
        """Starts a job that takes back what an ended one did within a day: pauses runs that were resumed, or resumes
        those that were paused. Raises BulkNotFound, BulkNotUndoable.
        """
        return self._calls.call(contract.undo, contract.NamedBulk(id=job_id))

    def wait(self, job_id: str, *, timeout: Duration = "30s") -> Bulk:
        """The job, once it is done or stopped. Raises BulkNotFound, or DeadlineExceeded while it goes on."""
        deadline = monotonic() + duration_ms(timeout) / 1000
        pause_s = None
        while (job := self.get(job_id)).status == "running":
            pause_s = next_look_s(pause_s)
            if monotonic() + pause_s > deadline:
                raise DeadlineExceeded(
                    f"Bulk job {job.id} is not done yet: {job.changed + job.refused} of {job.matched} runs. It goes on."
                )
            sleep(pause_s)
        return job
