"""Whether a client is still there, asked of its socket.

A server that does not read while a request is being answered learns too late that its client has gone: h2corn says
nothing on HTTP/1.1. A held poll must not be given jobs that nobody will receive, so the socket is asked at that moment:
one byte peeked at is `closed` when there is none and never will be.
"""

import os
import socket
import stat
from collections.abc import Iterator

# Where the open files of this process are listed, on Linux and macOS.
_OPEN_FILES = "/dev/fd"
_KNOWN_MAX = 10_000

Peer = tuple[str, int]


class Peers:
    """Finds the sockets of this process by their peers' addresses."""

    def __init__(self) -> None:
        self._files: dict[Peer, int] = {}

    def is_connected(self, peer: Peer | None) -> bool:
        """False when the peer has closed its connection, or the server has; True also for one that was never found."""
        if peer is None:
            return True
        known = self._files.get(peer)
        found = _look(known, peer) if known is not None else None
        if found is None:
            self._files.pop(peer, None)
            found = self._search(peer)
            if found is None and known is not None:
                # It was there: the server has closed its end meanwhile, and perhaps given the number to another.
                return False
        return found is not False

    def _search(self, peer: Peer) -> bool | None:
        if len(self._files) > _KNOWN_MAX:
            self._files.clear()
        for file in _open_sockets():
            found = _look(file, peer)
            if found is not None:
                self._files[peer] = file
                return found
        return None


def _open_sockets() -> Iterator[int]:
    try:
        names = os.listdir(_OPEN_FILES)
    except OSError:
        return
    for name in names:
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                yield int(name)
        except (OSError, ValueError):
            # Closed since it was listed.
            continue


def _look(file: int, peer: Peer) -> bool | None:
    """Whether the socket behind `file` is open at its other end; None when it is not the socket of `peer`."""
    try:
        probe = socket.socket(fileno=os.dup(file))
    except OSError:
        return None
    try:
        if probe.getpeername()[:2] != peer:
            return None
        return probe.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    except (OSError, ValueError):
        return None
    finally:
        probe.close()
