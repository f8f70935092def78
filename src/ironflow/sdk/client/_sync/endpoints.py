# Generated from ironflow/sdk/client/features/endpoints.py by generate_sync; edit that file.
"""`client.endpoints`: the endpoints of push functions and their circuit breakers."""

from collections.abc import Iterator

from ironflow.features.endpoints import contract
from ironflow.features.endpoints.contract import CircuitBreaker
from ironflow.sdk.client._sync.calls import Calls


class Endpoints:
    """Where push functions are executed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 100) -> Iterator[CircuitBreaker]:
        """Endpoints with their circuit breakers, by URL; asks for the next page when it is needed."""
        for page in self._calls.pages(contract.list_, contract.ListBreakers(limit=page_size)):
            for breaker in page.circuit_breakers:
                yield breaker

    def reset(self, endpoint: str) -> CircuitBreaker:
        """Closes the circuit breaker of an endpoint, given by URL or by the id of a function that is executed there.

        Raises EndpointNotFound.
        """
        return self._calls.call(contract.reset, contract.ResetBreaker(endpoint=endpoint))
