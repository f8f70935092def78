"""The server of clients that are made without an address, where it is not the one that the environment names.

A time machine is such a server: what is tested in it must not reach the developer's own.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ironflow.base.errors import FailedPrecondition

if TYPE_CHECKING:
    from ironflow.sdk.wire.transport import AsyncTransport


class World(NamedTuple):
    """url: an address that leads nowhere else. transport: to its server."""

    url: str
    transport: "AsyncTransport"


class Iterated(Protocol):
    """An iterator over events. waits: it waits for an event that has not come. has_events: it has begun to ask for
    events, and is not closed."""

    @property
    def waits(self) -> bool: ...

    @property
    def has_events(self) -> bool: ...


@runtime_checkable
class InProcess(Protocol):
    """A transport to a server in the same process, which opens no socket. Each subscription is passed to it."""

    def subscribed(self, subscription: Iterated) -> None: ...


class AnotherWorld(FailedPrecondition):
    """A blocking client cannot reach a time machine, which runs in the loop of the test. Use `ctx.client`, or `Client`
    in an async function; a client of another server is made with its address."""

    code = "ANOTHER_WORLD"


present: ContextVar[World | None] = ContextVar("ironflow_world", default=None)


def async_transport_of(url: str) -> "AsyncTransport | None":
    """The transport to the world of this address; None where the address is one of the network."""
    world = present.get()
    return world.transport if world is not None and url == world.url else None


def transport_of(url: str) -> None:
    """As `async_transport_of`, for blocking clients. Raises AnotherWorld where there is one."""
    if async_transport_of(url) is not None:
        raise AnotherWorld
