"""Publishing a message from a handler: a step like any other, so that it happens once.

Source: protocol/step-semantics.md 8.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.sdk.values.payload import Raw

# Topic, message and idempotency key -> what the step's result is: {"eventId", "sequence"}.
Publish = Callable[[str, Raw, str], Awaitable[dict[str, Any]]]


class NotConfigured(IronflowError):
    """This handler runs without a server to publish to."""

    code = "NOT_CONFIGURED"


def step_name(topic: str) -> str:
    return f"publish:{topic}"


def default_key(step_id: str) -> str:
    """The key of a message whose sender names none: its step's, so that a step run twice publishes once."""
    return "step-" + hashlib.sha256(step_id.encode()).hexdigest()


async def nowhere(topic: str, message: Raw, key: str) -> dict[str, Any]:
    """Raises NotConfigured."""
    raise NotConfigured(f"Topic {topic!r} cannot be published to: this handler runs without a server.")
