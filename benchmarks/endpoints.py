"""The process with the many endpoints of a benchmark: healthy ones answer at once, dead ones hang, refuse or reset.

    python -m benchmarks.endpoints HEALTHY DEAD

Each has a port of its own. Writes one JSON line with the URLs of both once all are there.
"""

import asyncio
import json
import resource
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

_ANSWER = b'{"status":"completed","steps":[],"result":{"done":true}}'
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_ANSWER),
    _ANSWER,
)
_RESET = struct.pack("ii", 1, 0)


class Healthy(asyncio.Protocol):
    """Answers each request, which has a Content-Length, without reading what it says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            whole = end + 4 + int(head[at + 15 : at + 25].split(b"\r")[0])
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            self.transport.write(_RESPONSE)


class Hanging(asyncio.Protocol):
    """Takes requests and answers none."""


class Resetting(Healthy):
    """Resets the connection at the first bytes of a request."""

    def data_received(self, data: bytes) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


async def serve(healthy: int, dead: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kinds: list[Callable[[], asyncio.Protocol] | None] = [Hanging, Resetting, None]
    urls: dict[str, list[str]] = {"healthy": [], "dead": []}
    # Those that refuse keep their ports, and do not listen.
    sockets: list[socket.socket] = []
    for number in range(healthy + dead):
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        sockets.append(bound)
        made = Healthy if number < healthy else kinds[number % len(kinds)]
        if made is not None:
            await asyncio.get_running_loop().create_server(made, sock=bound)
        urls["healthy" if number < healthy else "dead"].append(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
