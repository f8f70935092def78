"""The open sockets, streams and held requests of this process, by whose they are."""

from collections.abc import Callable, Iterator
from typing import Literal

from ironflow.base.call import Principal
from ironflow.base.errors import IronflowError
from ironflow.base.lifecycle import Lifecycle

Kind = Literal["websocket", "event_stream", "stream", "held_request"]
KINDS: tuple[Kind, ...] = ("websocket", "event_stream", "stream", "held_request")


class Connection:
    """One entry of the registry, present while its `with` block runs.

    principal: with the access that it was opened with. close: ends the connection with an error that its client is
    sent; it returns at once. closing: `close` was called.
    """

    __slots__ = ("_registry", "close", "closing", "kind", "principal")

    def __init__(
        self, registry: "Connections", kind: Kind, principal: Principal, close: Callable[[IronflowError], None]
    ) -> None:
        self._registry = registry
        self.kind: Kind = kind
        self.principal = principal
        self.close = close
        self.closing = False

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
        self._by_holder: dict[str, dict[Connection, None]] = {}
        self._counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    def drain(self) -> None:
        self.ending = True

    def opened(self, kind: Kind, principal: Principal, close: Callable[[IronflowError], None]) -> Connection:
        """The connection to enter with `with`; it is registered until the block ends."""
        return Connection(self, kind, principal, close)

    def add(self, connection: Connection) -> None:
        self._by_holder.setdefault(connection.principal.holder, {})[connection] = None
        self._counts[connection.kind] += 1

    def remove(self, connection: Connection) -> None:
        holder = connection.principal.holder
        connections = self._by_holder[holder]
        del connections[connection]
        if not connections:
            del self._by_holder[holder]
        self._counts[connection.kind] -= 1

    def counts(self) -> dict[Kind, int]:
        return dict(self._counts)

    def principals(self, kind: str) -> list[Principal]:
        """The principals whose connections are open and not closing, each once for each access that it has there.

        kind: what their names begin with, such as `key:`.
        """
        held = [connections for holder, connections in self._by_holder.items() if holder.startswith(kind)]
        return list(dict.fromkeys(each.principal for connections in held for each in connections if not each.closing))

    def of(self, holder: str) -> Iterator[Connection]:
        """The connections of one holder, oldest first."""
        return iter(tuple(self._by_holder.get(holder, ())))

    def close_all_of(self, holder: str, error: IronflowError) -> int:
        """Ends every connection of the holder with `error`; returns how many there were."""
        open_ones = [each for each in self.of(holder) if not each.closing]
        for connection in open_ones:
            connection.closing = True
            connection.close(error)
        return len(open_ones)
