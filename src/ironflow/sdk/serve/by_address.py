"""What a handler keeps for each server that calls it, in each event loop: bounded, since a request names the server."""

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

# Servers in the event loops of one handler. What is used least recently is forgotten; executions under way still use
# it, and its connections close with the last of them.
ADDRESSES_MAX = 32

_Key = tuple[asyncio.AbstractEventLoop, tuple[str, ...]]


class ByAddress(Generic[T]):
    """Values by address in the running event loop."""

    def __init__(self) -> None:
        self._values: OrderedDict[_Key, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, *address: str) -> T | None:
        """The value, used most recently from now on."""
        key = (asyncio.get_running_loop(), address)
        found = self._values.pop(key, None)
        if found is not None:
            self._values[key] = found
        return found

    def put(self, value: T, *address: str) -> T:
        """Keeps `value`, and returns it."""
        self._values[asyncio.get_running_loop(), address] = value
        while len(self._values) > ADDRESSES_MAX:
            self._values.popitem(last=False)
        return value

    def pop_all(self) -> list[T]:
        """Those of the running loop, which are kept no longer."""
        loop = asyncio.get_running_loop()
        return [self._values.pop(key) for key in list(self._values) if key[0] is loop]
