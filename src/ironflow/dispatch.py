"""The waist: every operation, from whichever wire, passes here on its way to its handler.

Authorise, deadline, handler, count. The only place besides the loop runner that catches surprises: they are logged
with their traceback and answered as an internal error without details.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.errors import DeadlineExceeded, Internal, IronflowError, Unimplemented
from ironflow.base.operation import Operation

logger = logging.getLogger(__name__)

Handler = Callable[[Call, Any], Awaitable[Any]]
# Raises Unauthenticated or PermissionDenied; given the call and the scope that the operation declares.
Authorise = Callable[[Call, str], None]


def allow_all(call: Call, scope: str) -> None:
    """Auth is not enforced yet; operations declare their scopes all the same."""


class Counts:
    """Calls by (operation, outcome), and the seconds they took; read by /metrics."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, float] = {}

    def add(self, operation: str, outcome: str, seconds: float) -> None:
        place = (operation, outcome)
        self.calls[place] = self.calls.get(place, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds


class Dispatch:
    """Calls handlers by operation."""

    def __init__(self, authorise: Authorise = allow_all) -> None:
        self._authorise = authorise
        self._handlers: dict[Operation[Any, Any], Handler] = {}
        self.counts = Counts()

    def bind(self, handlers: Mapping[Operation[Any, Any], Handler]) -> None:
        self._handlers.update(handlers)

    @property
    def operations(self) -> list[Operation[Any, Any]]:
        return list(self._handlers)

    async def __call__(
        self, operation: Operation[Any, Any], call: Call, request: msgspec.Struct, deadline_s: float | None = None
    ) -> Any:
        """The handler's answer. Raises IronflowError and nothing else (cancellation passes through)."""
        started = time.perf_counter()
        outcome = "ok"
        try:
            self._authorise(call, operation.scope)
            handler = self._handlers.get(operation)
            if handler is None:
                raise Unimplemented(f"This server does not offer {operation.name}.")
            if deadline_s is None:
                return await handler(call, request)
            async with asyncio.timeout(deadline_s):
                return await handler(call, request)
        except IronflowError as error:
            outcome = error.connect
            raise
        except TimeoutError:
            outcome = DeadlineExceeded.connect
            raise DeadlineExceeded(f"{operation.name} did not finish within {deadline_s} s.") from None
        except asyncio.CancelledError:
            outcome = "canceled"
            raise
        except Exception as surprise:
            outcome = Internal.connect
            logger.exception("operation failed", extra={"operation": operation.name})
            raise Internal() from surprise
        finally:
            self.counts.add(operation.name, outcome, time.perf_counter() - started)
