"""Ironflow: one server that records every event, runs durable workflows on them and lets you go back to any moment.

This module is light on purpose: names are imported when they are first used, so that
`import ironflow` costs a few milliseconds in a program that only emits one event.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ironflow.base.version import VERSION as __version__

if TYPE_CHECKING:
    from ironflow.base.errors import IronflowError, NonRetryableError, RetryAfterError
    from ironflow.sdk.client import Client
    from ironflow.sdk.function import Concurrency, Retry, function

_HOMES = {
    "Client": "ironflow.sdk.client",
    "Concurrency": "ironflow.sdk.function",
    "Retry": "ironflow.sdk.controls",
    "function": "ironflow.sdk.function",
    "IronflowError": "ironflow.base.errors",
    "NonRetryableError": "ironflow.base.errors",
    "RetryAfterError": "ironflow.base.errors",
}

__all__ = [
    "Client",
    "Concurrency",
    "IronflowError",
    "NonRetryableError",
    "Retry",
    "RetryAfterError",
    "__version__",
    "function",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ironflow' has no attribute {name!r}")
    return getattr(import_module(home), name)
