"""The client of a house: it speaks HTTP with the application itself, without a socket.

client = Client("http://house", transport=Wire(house))
"""

from collections.abc import Mapping

from multidict import CIMultiDict

from ironflow.sdk.transport import Answer
from tests.support.house import House


class Wire:
    """The network between a client and a house."""

    def __init__(self, house: House) -> None:
        self._http = house.http()

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        found = await self._http.request(method, path, headers=dict(headers), content=body, timeout=timeout)
        return Answer(found.status_code, CIMultiDict(found.headers), found.content)

    async def close(self) -> None:
        await self._http.aclose()
