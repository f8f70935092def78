"""Whether subscriptions are connected, and the functions of the user's program that are called when that changes."""

from collections.abc import Callable
from typing import Any, Literal
from uuid import uuid4

from ironflow.base.errors import IronflowError
from ironflow.sdk.user_code.call import observe_now

ConnectionState = Literal["connecting", "connected", "reconnecting", "disconnected"]
OnChange = Callable[[ConnectionState], object]
OnFault = Callable[[IronflowError], object]


class Observers:
    """Plain functions that are called for all subscriptions of a client, or for one; their failures go to stderr."""

    def __init__(self, beside: "Observers | None" = None) -> None:
        """beside: those that are called, too."""
        self._beside = beside
        self._on_change: list[OnChange] = []
        self._on_fault: list[OnFault] = []

    def add_on_change(self, fn: OnChange) -> Callable[[], None]:
        """Calls `fn(state)` from now on. Returns what removes it."""
        return _added(self._on_change, fn)

    def add_on_fault(self, fn: OnFault) -> Callable[[], None]:
        """Calls `fn(error)` from now on. Returns what removes it."""
        return _added(self._on_fault, fn)

    def changed(self, state: ConnectionState) -> None:
        for fn in tuple(self._on_change):
            observe_now(fn, state)
        if self._beside is not None:
            self._beside.changed(state)

    def failed(self, fault: IronflowError) -> None:
        for fn in tuple(self._on_fault):
            observe_now(fn, fault)
        if self._beside is not None:
            self._beside.failed(fault)


def _added(functions: list[Any], fn: Any) -> Callable[[], None]:
    # A function that is added twice is called twice, and each removal removes one.
    functions.append(fn)
    is_there = True

    def remove() -> None:
        nonlocal is_there
        if is_there:
            is_there = False
            functions.remove(fn)

    return remove


class Observed:
    """What a subscription shows of its status, whichever way it is iterated over."""

    _status: "Status"

    @property
    def id(self) -> str:
        """Made by the client; the same over all its connections."""
        return self._status.id

    @property
    def pattern(self) -> str:
        """What it follows; empty for a member of a group that named none."""
        return self._status.pattern

    @property
    def state(self) -> ConnectionState:
        """`connecting`, `connected`, `reconnecting`; `disconnected` before an event is awaited and at its end."""
        return self._status.state

    @property
    def is_connected(self) -> bool:
        return self._status.state == "connected"

    def on_connection_change(self, fn: OnChange) -> Callable[[], None]:
        """Calls `fn(state)` when its state changes. Returns what removes it."""
        return self._status.observers.add_on_change(fn)

    def on_subscription_error(self, fn: OnFault) -> Callable[[], None]:
        """Calls `fn(error)` for each failure, whether it goes on or not. Returns what removes it."""
        return self._status.observers.add_on_fault(fn)


class Status:
    """Of one subscription. id: made here, and the same over all its connections."""

    def __init__(self, pattern: str, observers: Observers | None = None) -> None:
        self.id = f"sub_{uuid4().hex[:12]}"
        self.pattern = pattern
        self.state: ConnectionState = "disconnected"
        self.observers = Observers(beside=observers)

    def move(self, state: ConnectionState) -> None:
        """Notes the state, and calls the observers when it is another one."""
        if state != self.state:
            self.state = state
            self.observers.changed(state)

    def opening(self) -> None:
        """A connection is being opened: the first, or another one after it."""
        self.move("connecting" if self.state == "disconnected" else "reconnecting")

    def broke(self, fault: IronflowError, *, again: bool) -> None:
        """again: whether it is connected again; else `fault` is raised."""
        if again:
            self.move("reconnecting")
        self.observers.failed(fault)
