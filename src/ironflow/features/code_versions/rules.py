"""Which version of a function's code makes which run; pure."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from ironflow.base.time import Millis

# What becomes of runs under way when the code of their function changes; empty takes the server's setting.
OnCodeChange = Literal["", "continue", "warn", "pause", "pin"]
CHANGES = ("continue", "warn", "pause", "pin")
CHARS_MAX = 200


class Pins(NamedTuple):
    """Which runs of a pinned function a worker takes. version: its own. fresh: whether those without a version too."""

    version: str
    fresh: bool


class CodeVersion(NamedTuple):
    """A version of a function's code that some worker has served."""

    environment: str
    function_id: str
    version: str


class InFlight(NamedTuple):
    """Runs that have not ended, by the version that makes them."""

    version: str
    runs: int


def newest_version(serving: Iterable[str], first_seen: Mapping[str, Millis]) -> str:
    """The version that new runs begin with: of those that live workers serve, the one that was seen first last.

    A version that is not known, as that of a worker that names none, is the oldest.
    """
    return max(serving, key=lambda version: (first_seen.get(version, 0), version), default="")


def decide_pins(version: str, serving: Iterable[str], first_seen: Mapping[str, Millis]) -> Pins:
    """serving: the versions of all live workers of the function, also of the worker that asks."""
    return Pins(version, version == newest_version([*serving, version], first_seen))


def may_go(version: str, runs: int, newest: str) -> bool:
    """Whether the workers of a version are needed no more."""
    return version != newest and not runs
