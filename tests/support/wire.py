"""A transport for `Client` that sends requests to the application in this process, without a socket.

client = Client("http://server", transport=Wire(server))
"""

from collections.abc import Mapping

from multidict import CIMultiDict

from ironflow.sdk.wire.transport import Answer
from tests.support.server import Server


class Wire:
    """Takes the place of the network between a client and a server."""

    def __init__(self, server: Server) -> None:
        self._http = server.http()

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        found = await self._http.request(method, path, headers=dict(headers), content=body, timeout=timeout)
        return Answer(found.status_code, CIMultiDict(found.headers), found.content)

    async def close(self) -> None:
        await self._http.aclose()
