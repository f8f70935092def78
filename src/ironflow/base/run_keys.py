"""Keys of runs as users write them. Source: docs/guides/run-keys.md."""

import re
from typing import Literal

from ironflow.base.errors import AlreadyExists, InvalidArgument

KEY_CHARS_MAX = 256
# A slash would end the key in the path of a request.
_FORBIDDEN = re.compile(r"[\s/\x00-\x1f\x7f]")

# What becomes of a start whose key a run has that has not ended. Empty: `use`.
IfRunning = Literal["", "use", "refuse", "replace"]
IF_RUNNING: tuple[IfRunning, ...] = ("", "use", "refuse", "replace")


class InvalidRunKey(InvalidArgument):
    """A key of a run is text of 1 to 256 characters without spaces or slashes; if_running is use, refuse or replace."""

    code = "INVALID_RUN_KEY"


class RunKeyHeld(AlreadyExists):
    """Another run of the function has this key and has not ended."""

    code = "RUN_KEY_HELD"


def check_key(key: str) -> None:
    """Raises InvalidRunKey."""
    if not key or len(key) > KEY_CHARS_MAX or _FORBIDDEN.search(key):
        raise InvalidRunKey(
            f"{key[:60]!r} is no key of a run: write 1 to {KEY_CHARS_MAX} characters without spaces or slashes."
        )


def check_if_running(text: str, where: str = "if_running") -> IfRunning:
    """Raises InvalidRunKey. where: the name of the field."""
    for known in IF_RUNNING:
        if text == known:
            return known
    raise InvalidRunKey(f"{where} is {text[:40]!r}; write use, refuse or replace.")
