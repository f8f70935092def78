"""The open sockets, streams and held requests of this process, by the principal that opened them."""

from collections.abc import Callable, Iterator
from typing import Literal

from ironflow.base.errors import IronflowError
from ironflow.base.lifecycle import Lifecycle

Kind = Literal["websocket", "event_stream", "stream", "held_request"]
KINDS: tuple[Kind, ...] = ("websocket", "event_stream", "stream", "held_request")


class Connection:
    """One entry of the registry, present while its `with` block runs.

    close: ends the connection with an error that its client is sent; it returns at once.
    """

    __slots__ = ("_registry", "close", "kind", "principal")

    def __init__(
        self, registry: "Connections", kind: Kind, principal: str, close: Callable[[IronflowError], None]
    ) -> None:
        self._registry = registry
        self.kind: Kind = kind
        self.principal = principal
        self.close = close

    def __enter__(self) -> "Connection":
        self._registry.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._registry.remove(self)


class Connections(Lifecycle):
    """Which connections are open, how many of each kind, and whose.

    ending: the server stops, and ends connections itself; until then it is the client that ends one.
    """

    def __init__(self) -> None:
        self.ending = False
        self._by_principal: dict[str, dict[Connection, None]] = {}
        self._counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    def drain(self) -> None:
        self.ending = True

    def opened(self, kind: Kind, principal: str, close: Callable[[IronflowError], None]) -> Connection:
        """The connection to enter with `with`; it is registered until the block ends."""
        return Connection(self, kind, principal, close)

    def add(self, connection: Connection) -> None:
        self._by_principal.setdefault(connection.principal, {})[connection] = None
        self._counts[connection.kind] += 1

    def remove(self, connection: Connection) -> None:
        connections = self._by_principal[connection.principal]
        del connections[connection]
        if not connections:
            del self._by_principal[connection.principal]
        self._counts[connection.kind] -= 1

    def counts(self) -> dict[Kind, int]:
        return dict(self._counts)

    def principals(self) -> list[str]:
        """The principals that have connections."""
        return list(self._by_principal)

    def of(self, principal: str) -> Iterator[Connection]:
        """The connections of one principal, oldest first."""
        return iter(tuple(self._by_principal.get(principal, ())))

    def close_all_of(self, principal: str, error: IronflowError) -> int:
        """Ends every connection of the principal with `error`; returns how many there were."""
        count = 0
        for connection in self.of(principal):
            connection.close(error)
            count += 1
        return count
