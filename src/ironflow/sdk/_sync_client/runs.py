# Made from ironflow/sdk/rooms/runs.py by ironflow.sdk.generate_sync: change that one and run it.
"""`client.runs`: look at runs, cancel them, wait for them."""

from time import sleep
from builtins import list as list_
from collections.abc import Iterator
from datetime import datetime
from time import monotonic

from ironflow.base.duration import Duration, duration_ms
from ironflow.features.runs import contract
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk._sync_client.calls import Calls
from ironflow.sdk.outcomes import next_look_s, still_going
from ironflow.sdk.views import Run, Step, view


class Runs:
    """Runs of functions."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, run_id: str) -> Run:
        """One run. Raises RunNotFound."""
        return view(Run, self._calls.call(contract.get, contract.GetRun(id=run_id)))

    def list(
        self,
        *,
        function_id: str = "",
        status: RunStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        search: str = "",
        event_id: str = "",
        page_size: int = 100,
    ) -> Iterator[Run]:
        """Runs, newest first; asks for the next page when it is needed.

        search: a part of a run, function or event id, or of an event name.
        """
        request = contract.ListRuns(
            function_id=function_id,
            status=None if status is None else RunStatus(status),
            since=since,
            until=until,
            search=search,
            event_id=event_id,
            limit=page_size,
        )
        for page in self._calls.pages(contract.list_, request):
            for run in page.runs:
                yield view(Run, run)

    def steps(self, run_id: str) -> list_[Step]:
        """The recorded steps of a run by sequence. Raises RunNotFound."""
        return [
            view(Step, step)
            for page in self._calls.pages(contract.steps, contract.GetRunSteps(run_id=run_id))
            for step in page.steps
        ]

    def cancel(self, run_id: str, *, reason: str = "") -> Run:
        """Ends a run as cancelled at once. Raises RunNotFound, RunEnded."""
        return view(Run, self._calls.call(contract.cancel, contract.CancelRun(id=run_id, reason=reason)))

    def wait(self, run_id: str, *, timeout: Duration = "30s") -> Run:
        """The run, once it has ended in whatever way.

        Raises RunNotFound, or DeadlineExceeded after `timeout`; the run itself goes on then.
        """
        timeout_s = duration_ms(timeout) / 1000
        deadline = monotonic() + timeout_s
        pause_s = None
        while not (run := self.get(run_id)).status.ended:
            pause_s = next_look_s(pause_s)
            if monotonic() + pause_s > deadline:
                raise still_going(run, timeout_s)
            sleep(pause_s)
        return run
