"""Whether a client is still connected, asked of the system.

An HTTP server that does not read while a request is processed notices too late that the client has disconnected:
h2corn does not report it on HTTP/1.1. A held poll must not be given jobs that no worker will receive, so the system is
asked at that moment for the state of the connection, which both of its addresses identify. The descriptor belongs to
the HTTP server and is not touched: its number may be another file's by now.

Linux answers by netlink (sock_diag(7)). Elsewhere every client counts as connected; what was handed to one that had
disconnected comes back when its reservation ends.
"""

import errno
import socket
import struct
import weakref

import msgspec

# (host, port).
Address = tuple[str, int]


class Link(msgspec.Struct, frozen=True):
    """The two ends of a connection. local: None when the HTTP server does not say it."""

    peer: Address
    local: Address | None


# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_TCP = 6
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEAD = struct.Struct("=IHHII")
_ANY = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_REST = struct.Struct("=III")
_ANSWER_BYTES = 4096
# include/net/tcp_states.h: the first is open at both ends; of the others the peer has closed its own.
_ESTABLISHED = 1
_LISTEN = 10


class Peers:
    """Asks for connections by their addresses. Keeps one descriptor of its own, opened at the first question."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        self._is_offered = True
        # Local addresses at which a connection was found. A server that reports another address than its socket's
        # would have every client taken for gone.
        self._proven: set[Address] = set()

    def is_connected(self, link: Link | None) -> bool:
        """False when the peer has closed its connection, or the server has; True also where that cannot be known."""
        if link is None or link.local is None or not self._is_offered:
            return True
        try:
            state = self._state(link.peer, link.local)
        except (OSError, struct.error):
            # No netlink here, or no address. The next question has a socket of its own, so that it gets no old answer.
            self.close()
            return True
        if state is None:
            return link.local not in self._proven
        self._proven.add(link.local)
        return state == _ESTABLISHED

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _state(self, peer: Address, local: Address) -> int | None:
        """The connection's state; None when there is no such connection. Raises OSError."""
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        question = b"".join(
            (
                _ANY.pack(family, _TCP, 0, 0, _ALL_STATES),
                _PORTS.pack(local[1], peer[1]),
                socket.inet_pton(family, local[0]).ljust(16, b"\0"),
                socket.inet_pton(family, peer[0]).ljust(16, b"\0"),
                _REST.pack(0, _NO_COOKIE, _NO_COOKIE),
            )
        )
        netlink = self._open()
        if netlink is None:
            return None
        netlink.send(_HEAD.pack(_HEAD.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + question)
        answer = netlink.recv(_ANSWER_BYTES)
        if _HEAD.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
            return self._refused(-struct.unpack_from("=i", answer, _HEAD.size)[0])
        state = answer[_HEAD.size + 1]
        # Without such a connection the kernel answers with the socket that listens at the local address.
        return None if state == _LISTEN else state

    def _refused(self, number: int) -> None:
        if number != errno.ENOENT:
            raise OSError(number, "sock_diag")

    def _open(self) -> socket.socket | None:
        if self._netlink is None:
            if not hasattr(socket, "AF_NETLINK"):
                self._is_offered = False
                return None
            try:
                self._netlink = socket.socket(
                    socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
                )
            except OSError as fault:
                # A system call filter, or a kernel without it. Out of descriptors passes.
                self._is_offered = fault.errno in (errno.EMFILE, errno.ENFILE)
                raise
            # The kernel answers while it is asked; one that does not must not stop the event loop.
            self._netlink.setblocking(False)
            weakref.finalize(self, self._netlink.close)
        return self._netlink
