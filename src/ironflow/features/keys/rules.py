"""What is decided about keys of runs; pure. Source: docs/guides/run-keys.md."""

from collections.abc import Iterator
from typing import Literal

from ironflow.base.run_keys import IfRunning

# A reference has a few colons at most; each is looked at.
_COLONS_MAX = 8

Claim = Literal["started", "existing", "refused", "replaces"]


def decide_claim(holder: str | None, if_running: IfRunning) -> Claim:
    """What becomes of a start. holder: the run that has the key and has not ended, None when there is none.

    Source: docs/guides/run-keys.md, "When a run has the key already".
    """
    if holder is None:
        return "started"
    if if_running == "replace":
        return "replaces"
    return "refused" if if_running == "refuse" else "existing"


def references(text: str) -> Iterator[tuple[str, str]]:
    """The functions and keys that `function:key` may mean; function ids and keys may have colons themselves."""
    at = text.find(":")
    for _ in range(_COLONS_MAX):
        if at < 0:
            return
        if text[:at] and text[at + 1 :]:
            yield text[:at], text[at + 1 :]
        at = text.find(":", at + 1)


def held_text(function_id: str, key: str, run_id: str) -> str:
    """The message of RunKeyHeld."""
    return (
        f"Run {run_id} of function {function_id!r} has the key {key!r} and has not ended. Wait for its end, take "
        "another key, or start with if_running `use` or `replace`."
    )
