"""Ironflow: one server that records every event, runs durable workflows on them and lets you go back to any moment.

This module is light on purpose: names are imported when they are first used, so that
`import ironflow` costs a few milliseconds in a program that only emits one event.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ironflow.base.version import VERSION as __version__

if TYPE_CHECKING:
    from ironflow import errors, projection, sync, upcaster, worker
    from ironflow.base.errors import (
        InvokeError,
        IronflowError,
        NonRetryableError,
        RetryAfterError,
        RunCancelledError,
        RunFailedError,
        StepError,
        StepTimeoutError,
    )
    from ironflow.sdk.client import Client
    from ironflow.sdk.context import Context
    from ironflow.sdk.controls import CancelOn, CircuitBreaker, Concurrency, Debounce, Retry, Throttle
    from ironflow.sdk.definitions import EventDefinition, define_event
    from ironflow.sdk.event import Event
    from ironflow.sdk.function import function
    from ironflow.sdk.upcasting import UpcasterChainError, UpcasterRegistry

_HOMES = {
    "ironflow.base.errors": (
        "InvokeError",
        "IronflowError",
        "NonRetryableError",
        "RetryAfterError",
        "RunCancelledError",
        "RunFailedError",
        "StepError",
        "StepTimeoutError",
    ),
    "ironflow.sdk.client": ("Client",),
    "ironflow.sdk.context": ("Context",),
    "ironflow.sdk.controls": ("CancelOn", "CircuitBreaker", "Concurrency", "Debounce", "Retry", "Throttle"),
    "ironflow.sdk.event": ("Event",),
    "ironflow.sdk.function": ("function",),
    "ironflow.sdk.definitions": ("EventDefinition", "define_event"),
    "ironflow.sdk.upcasting": ("UpcasterChainError", "UpcasterRegistry"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("errors", "projection", "sync", "upcaster", "worker")

__all__ = [
    "CancelOn",
    "CircuitBreaker",
    "Client",
    "Concurrency",
    "Context",
    "Debounce",
    "Event",
    "EventDefinition",
    "InvokeError",
    "IronflowError",
    "NonRetryableError",
    "Retry",
    "RetryAfterError",
    "RunCancelledError",
    "RunFailedError",
    "StepError",
    "StepTimeoutError",
    "Throttle",
    "UpcasterChainError",
    "UpcasterRegistry",
    "__version__",
    "define_event",
    "errors",
    "function",
    "projection",
    "sync",
    "upcaster",
    "worker",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"ironflow.{name}")
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ironflow' has no attribute {name!r}")
