"""What a program has called for errors and retries of a client, and which of the client's methods they are of."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.sdk.client.connection.status import Observers
from ironflow.sdk.user_code.logs import SdkLogger

CLIENT = "ironflow.sdk.client."
# Modules whose functions are no methods of the client's.
_INSIDE = ("calls", "listing")
# Features of the client that have another name than their module.
_FEATURES = {"jobs": "workers", "pubsub": "topics"}


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """method: the client's, such as `emit` or `streams.append`. endpoint: the path that was asked.

    status_code: of the answer; None without one.
    """

    method: str
    endpoint: str
    status_code: int | None = None


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A call that is made again. attempt: the one that failed, from 1; max_attempts: None while only time limits them.

    delay: seconds until the next one.
    """

    attempt: int
    max_attempts: int | None
    error: IronflowError
    delay: float


OnClientError = Callable[[IronflowError, ErrorContext], Any]
OnRetry = Callable[[RetryEvent], Any]


# Errors that the SDK answers with something else, so that no method raises them.
_expected: ContextVar[tuple[type[IronflowError], ...]] = ContextVar("ironflow_expected_errors", default=())


@contextmanager
def expecting(*kinds: type[IronflowError]) -> Iterator[None]:
    """Within it, errors of these kinds are not reported to `on_error`."""
    token = _expected.set((*_expected.get(), *kinds))
    try:
        yield
    finally:
        _expected.reset(token)


def is_expected(fault: IronflowError) -> bool:
    return isinstance(fault, _expected.get())


@dataclass(frozen=True, slots=True)
class Hooks:
    """Of one client: its functions, its logger, and the observers of its subscriptions."""

    on_error: OnClientError | None
    on_retry: OnRetry | None
    logger: SdkLogger
    observers: Observers


def method_called() -> str:
    """The method of the client's within which this is called, such as `streams.append`; empty outside of one.

    It is read from the stack, so that no call needs to name it. An error that is thrown into async generators leaves
    their frames out; therefore a call looks before it awaits anything.
    """
    frame, found = sys._getframe(1), ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(CLIENT):
            name, home = frame.f_code.co_name, module.rpartition(".")[2]
            if not name.startswith(("_", "<")) and not module.startswith(f"{CLIENT}connection") and home not in _INSIDE:
                found = name if home == "client" else f"{_FEATURES.get(home, home)}.{name}"
        elif found:
            break
        frame = frame.f_back
    return found
