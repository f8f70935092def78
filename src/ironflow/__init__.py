"""Ironflow: one server that records every event, runs durable workflows on them and lets you go back to any moment.

This module is light on purpose: names are imported when they are first used, so that
`import ironflow` costs a few milliseconds in a program that only emits one event.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ironflow.base.version import VERSION as __version__

if TYPE_CHECKING:
    from ironflow import (
        constants,
        core,
        errors,
        patterns,
        projection,
        protocol,
        serve,
        signing,
        sync,
        upcaster,
        webhooks,
        worker,
    )
    from ironflow.base.errors import (
        InvokeError,
        InvokeTimeoutError,
        IronflowError,
        NonRetryableError,
        RunCancelledError,
        RunEndedError,
        RunFailedError,
        StepError,
        StepTimeoutError,
        WaitTimeoutError,
    )
    from ironflow.base.retry_after import RetryAfterError
    from ironflow.sdk.client.client import Client
    from ironflow.sdk.client.detecting import detect_transport
    from ironflow.sdk.client.features.streams import Append
    from ironflow.sdk.client.views.asking import AskPending, AskRefused, AskUnanswered
    from ironflow.sdk.definition.controls import (
        CancelOn,
        CircuitBreaker,
        Concurrency,
        Debounce,
        Retry,
        Throttle,
    )
    from ironflow.sdk.definition.entity import entity
    from ironflow.sdk.definition.function import function
    from ironflow.sdk.definition.handler import handler
    from ironflow.sdk.durable.context import Context, SyncContext
    from ironflow.sdk.durable.job.event import Event
    from ironflow.sdk.durable.steps.alternatives import event, invoke, sleep
    from ironflow.sdk.durable.steps.current_step import CurrentStep, current_step
    from ironflow.sdk.durable.steps.handles import Handle
    from ironflow.sdk.durable.steps.messages import Message
    from ironflow.sdk.durable.steps.steps import Steps
    from ironflow.sdk.values.codec import Codec
    from ironflow.sdk.values.definitions import EventDefinition, define_event
    from ironflow.sdk.values.upcasting import UpcasterChainError, UpcasterRegistry
    from ironflow.sdk.wire.reconnect import Reconnect
    from ironflow.sdk.wire.retries import Retries

_HOMES = {
    "ironflow.base.errors": (
        "InvokeError",
        "InvokeTimeoutError",
        "IronflowError",
        "NonRetryableError",
        "RunCancelledError",
        "RunEndedError",
        "RunFailedError",
        "StepError",
        "StepTimeoutError",
        "WaitTimeoutError",
    ),
    "ironflow.base.retry_after": ("RetryAfterError",),
    "ironflow.sdk.client.client": ("Client",),
    "ironflow.sdk.client.detecting": ("detect_transport",),
    "ironflow.sdk.client.features.streams": ("Append",),
    "ironflow.sdk.client.views.asking": ("AskPending", "AskRefused", "AskUnanswered"),
    "ironflow.sdk.durable.context": ("Context", "SyncContext"),
    "ironflow.sdk.definition.controls": (
        "CancelOn",
        "CircuitBreaker",
        "Concurrency",
        "Debounce",
        "Retry",
        "Throttle",
    ),
    "ironflow.sdk.durable.job.event": ("Event",),
    "ironflow.sdk.definition.entity": ("entity",),
    "ironflow.sdk.definition.function": ("function",),
    "ironflow.sdk.definition.handler": ("handler",),
    "ironflow.sdk.durable.steps.current_step": ("CurrentStep", "current_step"),
    "ironflow.sdk.durable.steps.alternatives": ("event", "invoke", "sleep"),
    "ironflow.sdk.durable.steps.handles": ("Handle",),
    "ironflow.sdk.durable.steps.messages": ("Message",),
    "ironflow.sdk.durable.steps.steps": ("Steps",),
    "ironflow.sdk.values.codec": ("Codec",),
    "ironflow.sdk.values.definitions": ("EventDefinition", "define_event"),
    "ironflow.sdk.values.upcasting": ("UpcasterChainError", "UpcasterRegistry"),
    "ironflow.sdk.wire.reconnect": ("Reconnect",),
    "ironflow.sdk.wire.retries": ("Retries",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "constants",
    "core",
    "errors",
    "patterns",
    "projection",
    "protocol",
    "serve",
    "signing",
    "sync",
    "upcaster",
    "webhooks",
    "worker",
)

__all__ = [
    "Append",
    "AskPending",
    "AskRefused",
    "AskUnanswered",
    "CancelOn",
    "CircuitBreaker",
    "Client",
    "Codec",
    "Concurrency",
    "Context",
    "CurrentStep",
    "Debounce",
    "Event",
    "EventDefinition",
    "Handle",
    "InvokeError",
    "InvokeTimeoutError",
    "IronflowError",
    "Message",
    "NonRetryableError",
    "Reconnect",
    "Retries",
    "Retry",
    "RetryAfterError",
    "RunCancelledError",
    "RunEndedError",
    "RunFailedError",
    "StepError",
    "StepTimeoutError",
    "Steps",
    "SyncContext",
    "Throttle",
    "UpcasterChainError",
    "UpcasterRegistry",
    "WaitTimeoutError",
    "__version__",
    "constants",
    "core",
    "current_step",
    "define_event",
    "detect_transport",
    "entity",
    "errors",
    "event",
    "function",
    "handler",
    "invoke",
    "patterns",
    "projection",
    "protocol",
    "serve",
    "signing",
    "sleep",
    "sync",
    "upcaster",
    "webhooks",
    "worker",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"ironflow.{name}")
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ironflow' has no attribute {name!r}")
