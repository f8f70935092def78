"""`client.debounces`: events that are being gathered and have not started a run yet."""

from ironflow.features.debounces import contract
from ironflow.features.debounces.contract import Debounce
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Debounces:
    """Lanes of gathered events."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, function_id: str = "", page_size: int = 100) -> Listing[Debounce]:
        """Pending lanes by age; asks for the next page when it is needed."""
        request = contract.ListDebounces(function_id=function_id, limit=page_size)
        return Listing(self._calls, contract.list_, request, lambda page: page.entries)

    async def cancel(self, debounce_id: str) -> None:
        """Deletes the gathered events of a lane: they start no run. Raises DebounceNotFound."""
        await self._calls.call(contract.cancel, contract.CancelDebounce(id=debounce_id))
