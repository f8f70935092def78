"""`ctx.client` in tests without a server: what the test gives."""

from collections.abc import Callable, Coroutine
from typing import Any


class GivenClients:
    """client: a client, or a double with those methods that handlers use; the same for async and plain handlers."""

    def __init__(self, client: Any) -> None:
        self.of_loop = client

    def of_thread(self, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> Any:
        return self.of_loop
