# Generated from ironflow/sdk/client/features/endpoints.py by generate_sync; edit that file.
"""`client.endpoints`: the endpoints of push functions and their circuit breakers."""

from ironflow.features.endpoints import contract
from ironflow.features.endpoints.contract import CircuitBreaker
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Endpoints:
    """Where push functions are executed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 100) -> Listing[CircuitBreaker]:
        """Endpoints with their circuit breakers, by URL; asks for the next page when it is needed."""
        return Listing(
            self._calls, contract.list_, contract.ListBreakers(limit=page_size), lambda page: page.circuit_breakers
        )

    def reset(self, endpoint: str) -> CircuitBreaker:
        """Closes the circuit breaker of an endpoint, given by URL or by the id of a function that is executed there.

        Raises EndpointNotFound.
        """
        return self._calls.call(contract.reset, contract.ResetBreaker(endpoint=endpoint))
