"""What other features do with slots inside their own transactions."""

from ironflow.features.slots.rules import (
    ACTOR_PREFIX,
    KEY_PREFIX,
    SlotPool,
    by_function,
    kind_of,
    pools_of,
    scope_key,
    scope_of,
    slot_limit,
)
from ironflow.features.slots.store import Gate, holders, queued_pools

__all__ = [
    "ACTOR_PREFIX",
    "KEY_PREFIX",
    "Gate",
    "SlotPool",
    "by_function",
    "holders",
    "kind_of",
    "pools_of",
    "queued_pools",
    "scope_key",
    "scope_of",
    "slot_limit",
]
