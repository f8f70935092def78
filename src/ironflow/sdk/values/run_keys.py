"""How a run is named by its function and key."""

from typing import Literal

# What a start does when a run of the function that has not ended has its key.
IfRunning = Literal["use", "refuse", "replace"]


def reference(run_id: str, key: str = "") -> str:
    """What operations take for a run: its id, or `function:key` where a key is given with the function's id."""
    return f"{run_id}:{key}" if key else run_id
