"""What a feature is installed with, and where it puts its handlers, loops, sockets and parts for other features.

    def install(parts: Parts) -> None:
        things = parts.provide(Things(parts.db, parts.need(RunRepository)))
        parts.bind(things.handlers())
        parts.loops.append(PurgeThings(parts.db))

Each feature has such a function in `install.py`. Only the composition calls it, in an order in which a feature comes
after those whose parts it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.loop import Loop
from ironflow.base.measures import Spread
from ironflow.base.operation import Operation
from ironflow.base.settings import Settings
from ironflow.base.socket import SocketHandler, SocketRoute
from ironflow.base.time import Clock, Millis
from ironflow.base.trace_context import RunTracing
from ironflow.log.holds import Hold
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import Sandbox

T = TypeVar("T")
L = TypeVar("L", bound=Lifecycle)

# Label values -> number.
Samples = Mapping[tuple[str, ...], float]


class Metric(NamedTuple):
    """A number for /metrics, read at each scrape. labels: the names of its labels.

    of_tenants: it shows of single tenants what the published series do not: only to those with a key.
    read: from memory. look: from the database. spread: of a histogram, from memory. One of the three is given.
    """

    name: str
    help: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...] = ()
    read: Callable[[], Samples] | None = None
    look: Callable[[Tx], Samples] | None = None
    spread: Callable[[], Mapping[tuple[str, ...], Spread]] | None = None
    of_tenants: bool = False


class PartMissing(IronflowError):
    """A feature needs a part that no feature before it provides."""

    code = "PART_MISSING"


@dataclass
class Parts:
    """The parts of one server.

    node: the incarnation of this process, new at every start, also where the operator named the node.
    address: `http://host:port` once the server listens, empty before.
    counters: numbers for `info`, by the name of its field. holds: what keeps events from being purged.
    loops_failing: the error of each failing loop, by name. warnings: each gives its text while there is a reason.
    tracing: where runs are in traces; None while no spans are recorded.
    """

    settings: Settings
    clock: Clock
    ids: Ids
    db: Database
    notifier: Notifier
    sandbox: Sandbox
    node: str
    started_at: Millis
    loops_failing: Mapping[str, str]
    address: str = ""
    handlers: dict[Operation[Any, Any], Any] = field(default_factory=dict)
    sockets: dict[SocketRoute, SocketHandler] = field(default_factory=dict)
    loops: list[Loop] = field(default_factory=list)
    lifecycles: list[Lifecycle] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    counters: dict[str, Callable[[Tx], int]] = field(default_factory=dict)
    warnings: list[Callable[[], str | None]] = field(default_factory=list)
    tracing: RunTracing | None = None
    _provided: dict[type, object] = field(default_factory=dict)

    def bind(self, handlers: Mapping[Operation[Any, Any], Any]) -> None:
        """Binds operations to their handlers. A later binding of an operation replaces an earlier one."""
        self.handlers.update(handlers)

    def provide(self, part: T) -> T:
        """Gives a part to the features that are installed later; they find it by its class."""
        self._provided[type(part)] = part
        return part

    def follow(self, part: L) -> L:
        """Has the server start, drain and stop the part."""
        self.lifecycles.append(part)
        return part

    def need(self, kind: type[T]) -> T:
        """The part of this class. Raises PartMissing."""
        found = self._provided.get(kind)
        if not isinstance(found, kind):
            raise PartMissing(
                f"A feature needs {kind.__module__}.{kind.__qualname__}, and no feature installed before it provides "
                "one. Put the feature that provides it earlier in the composition."
            )
        return found
