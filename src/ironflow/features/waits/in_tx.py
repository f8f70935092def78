"""What other features do with waits inside their own transactions."""

from ironflow.features.waits.look_back import LookBack, Looked, LookFurther
from ironflow.features.waits.rules import Wait, matches
from ironflow.features.waits.store import add, cancels, drop, drop_all, drop_waits, hand_over, matching

__all__ = [
    "LookBack",
    "LookFurther",
    "Looked",
    "Wait",
    "add",
    "cancels",
    "drop",
    "drop_all",
    "drop_waits",
    "hand_over",
    "matches",
    "matching",
]
