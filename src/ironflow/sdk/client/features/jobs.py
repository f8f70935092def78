"""`client.workers`: the workers that run functions."""

from ironflow.features.jobs import contract
from ironflow.features.jobs.contract import Worker
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Workers:
    """Workers that are alive."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 1000) -> Listing[Worker]:
        """Every worker; asks for the next page when it is needed."""
        return Listing(
            self._calls, contract.list_workers, contract.ListWorkers(limit=page_size), lambda page: page.workers
        )
