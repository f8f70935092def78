"""`client.workers`: the workers that run functions."""

from collections.abc import AsyncIterator

from ironflow.features.jobs import contract
from ironflow.features.jobs.contract import Worker
from ironflow.sdk.client.connection.calls import Calls


class Workers:
    """Workers that are alive."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list(self, *, page_size: int = 1000) -> AsyncIterator[Worker]:
        """Every worker; asks for the next page when it is needed."""
        async for page in self._calls.pages(contract.list_workers, contract.ListWorkers(limit=page_size)):
            for worker in page.workers:
                yield worker
