# Generated from ironflow/sdk/client/features/limits.py by generate_sync; edit that file.
"""`client.limits`: how much keys and environments may do."""

from ironflow.features.limits import contract
from ironflow.features.limits.contract import Limit
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Limits:
    """Limits. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def set(
        self,
        subject: str,
        *,
        requests_per_second: float = 0,
        burst: int = 0,
        connections: int = 0,
        event_bytes_per_day: int = 0,
        stored_bytes: int = 0,
    ) -> Limit:
        """Replaces the limits of `key:ID`, `env:NAME`, `key:*` or `env:*`; 0 is none. Raises InvalidLimit.

        event_bytes_per_day, stored_bytes: of environments only.
        """
        request = contract.SetLimit(
            subject=subject,
            requests_per_second=requests_per_second,
            burst=burst,
            connections=connections,
            event_bytes_per_day=event_bytes_per_day,
            stored_bytes=stored_bytes,
        )
        return self._calls.call(contract.set_, request)

    def list(self, *, page_size: int = 1000) -> Listing[Limit]:
        """Every limit by subject."""
        return Listing(self._calls, contract.list_, contract.ListLimits(limit=page_size), lambda page: page.limits)

    def delete(self, subject: str) -> None:
        """Raises LimitNotFound."""
        self._calls.call(contract.delete, contract.NamedLimit(subject=subject))
