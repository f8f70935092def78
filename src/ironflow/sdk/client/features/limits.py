"""`client.limits`: how much keys and environments may do."""

from collections.abc import AsyncIterator

from ironflow.features.limits import contract
from ironflow.features.limits.contract import Limit
from ironflow.sdk.client.connection.calls import Calls


class Limits:
    """Limits. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def set(
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
        return await self._calls.call(contract.set_, request)

    async def list(self, *, page_size: int = 1000) -> AsyncIterator[Limit]:
        """Every limit by subject."""
        async for page in self._calls.pages(contract.list_, contract.ListLimits(limit=page_size)):
            for each in page.limits:
                yield each

    async def delete(self, subject: str) -> None:
        """Raises LimitNotFound."""
        await self._calls.call(contract.delete, contract.NamedLimit(subject=subject))
