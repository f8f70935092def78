"""What other features ask of versions of code inside their own transactions."""

from ironflow.features.code_versions.rules import (
    CHANGES,
    CHARS_MAX,
    CodeVersion,
    InFlight,
    OnCodeChange,
    Pins,
    decide_pins,
    may_go,
    newest_version,
)
from ironflow.features.code_versions.store import (
    drop,
    first_seen,
    forget,
    in_flight,
    move,
    pin,
    seen,
    unused,
    version_of,
)

__all__ = [
    "CHANGES",
    "CHARS_MAX",
    "CodeVersion",
    "InFlight",
    "OnCodeChange",
    "Pins",
    "decide_pins",
    "drop",
    "first_seen",
    "forget",
    "in_flight",
    "may_go",
    "move",
    "newest_version",
    "pin",
    "seen",
    "unused",
    "version_of",
]
