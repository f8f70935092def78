"""What other features ask of versions of code inside their own transactions."""

from ironflow.features.code_versions.rules import (
    CHANGES,
    CHARS_MAX,
    InFlight,
    OnCodeChange,
    Pins,
    decide_pins,
    may_go,
    newest_version,
)
from ironflow.features.code_versions.store import drop, first_seen, in_flight, move, pin, seen, version_of

__all__ = [
    "CHANGES",
    "CHARS_MAX",
    "InFlight",
    "OnCodeChange",
    "Pins",
    "decide_pins",
    "drop",
    "first_seen",
    "in_flight",
    "may_go",
    "move",
    "newest_version",
    "pin",
    "seen",
    "version_of",
]
