"""What is decided about slots; pure.

A run whose function has a limit is `queued` until it is admitted to its key; then it keeps the slot until its lease
ends: by waiting, ending or pausing. A run that is paused while it has a slot keeps it, unless its function says
`release`; one that slept, waited or queued had none, and takes none by being paused. A run that needs two slots, of
its actor and of its function's limit, gets both or none. A run whose function says `hold: run` keeps its slot from its
first execution to its end, also while it waits.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from ironflow.engine.model import Run
from ironflow.features.functions.in_tx import Startable

# Serial execution for each value of a function's actor key.
ACTOR_PREFIX = "actor:"
KEY_PREFIX = "key:"
# A limit that functions share: the prefix, its name, a slash and the value of the function's key.
SCOPE_PREFIX = "scope:"


class SlotPool(NamedTuple):
    """The slots of one key of a function. paired: one of its runs needs a slot of another pool, too.

    function_id: empty for a limit that functions share.
    """

    environment: str
    function_id: str
    slot_key: str
    paired: bool = False


def pools_of(run: Run) -> list[SlotPool]:
    """The pools that a run needs a slot of; none when its function has no limit."""
    keys = run.slot_keys
    return [pool_of(run.environment, run.function_id, key, paired=len(keys) > 1) for key in keys]


def pool_of(environment: str, function_id: str, slot_key: str, *, paired: bool) -> SlotPool:
    """The pool of a slot that a run of this function needs."""
    return SlotPool(environment, "" if scope_of(slot_key) else function_id, slot_key, paired)


def scope_key(scope: str, key: str) -> str:
    """The slot key of a limit that functions share."""
    return f"{SCOPE_PREFIX}{scope}/{key}"


def scope_of(slot_key: str) -> str:
    """The name of the limit that functions share; empty for other slots."""
    return slot_key[len(SCOPE_PREFIX) :].partition("/")[0] if slot_key.startswith(SCOPE_PREFIX) else ""


def key_of(slot_key: str) -> str:
    """The value of the limit's key or of the actor key; empty for a limit without a key."""
    text = slot_key[len(SCOPE_PREFIX) :] if scope_of(slot_key) else slot_key
    return text.partition("/" if scope_of(slot_key) else ":")[2]


def kind_of(slot_key: str | None) -> str:
    """Of an actor, of the function's own limit, or of a limit that functions share, with its name; empty for None."""
    if slot_key is None:
        return ""
    scope = scope_of(slot_key)
    return f"{SCOPE_PREFIX}{scope}" if scope else slot_key.partition(":")[0]


def slot_limit(function: Startable | None, slot_key: str) -> int:
    """How many runs of a function with that slot key may run at a time; 0 for any number."""
    if function is None:
        return 0
    if slot_key.startswith(ACTOR_PREFIX):
        return 1 if function.actor_key else 0
    return function.concurrency_limit


def by_function(pools: Iterable[SlotPool]) -> list[list[SlotPool]]:
    """The pools of each function, in the order in which they are locked."""
    return [list(group) for _, group in groupby(sorted(pools), key=lambda pool: pool[:2])]
