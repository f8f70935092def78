"""`client.debounces`: events that are being gathered and have not started a run yet."""

from collections.abc import AsyncIterator

from ironflow.features.debounces import contract
from ironflow.features.debounces.contract import Debounce
from ironflow.sdk.client.connection.calls import Calls


class Debounces:
    """Lanes of gathered events."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list(self, *, function_id: str = "", page_size: int = 100) -> AsyncIterator[Debounce]:
        """Pending lanes by age; asks for the next page when it is needed."""
        request = contract.ListDebounces(function_id=function_id, limit=page_size)
        async for page in self._calls.pages(contract.list_, request):
            for entry in page.entries:
                yield entry

    async def cancel(self, debounce_id: str) -> None:
        """Deletes the gathered events of a lane: they start no run. Raises DebounceNotFound."""
        await self._calls.call(contract.cancel, contract.CancelDebounce(id=debounce_id))
