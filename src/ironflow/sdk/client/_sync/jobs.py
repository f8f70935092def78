# Generated from ironflow/sdk/client/features/jobs.py by generate_sync; edit that file.
"""`client.workers`: the workers that run functions."""

from collections.abc import Iterator

from ironflow.features.jobs import contract
from ironflow.features.jobs.contract import Worker
from ironflow.sdk.client._sync.calls import Calls


class Workers:
    """Workers that are alive."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 1000) -> Iterator[Worker]:
        """Every worker; asks for the next page when it is needed."""
        for page in self._calls.pages(contract.list_workers, contract.ListWorkers(limit=page_size)):
            for worker in page.workers:
                yield worker
